"""`import ssl_restore`: images of any kind in, the same kind out, and mistakes in words."""

from __future__ import annotations

import doctest
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import KEYWORDS, pixels, random_restorer, save_restorer, write_photo

import ssl_restore as sr
from ssl_restore.errors import UserError
from ssl_restore.inference.tiles import restore as restore_pixels
from ssl_restore.io.picture import Picture
from ssl_restore.training import checkpoint

RESTORER = random_restorer()
PHOTO = pixels(40, 52)


def restore(image, **keywords):
    return sr.restore(image, RESTORER, **{"precision": "fp32", **keywords})


def test_every_name_of_the_interface_is_documented_and_exported():
    assert sorted(sr.__all__) == sr.__all__
    for name in sr.__all__:
        assert getattr(sr, name).__doc__, name


def test_five_lines_restore_a_picture(tmp_path):
    write_photo(tmp_path / "rainy.png", 40, 52)
    restorer = sr.load("derain")
    picture = sr.read(tmp_path / "rainy.png")
    clean = sr.restore(picture, restorer)
    sr.write(tmp_path / "clean.png", clean)
    assert np.array_equal(sr.read(tmp_path / "clean.png").pixels, clean.pixels)


def test_import_is_quick_and_brings_no_torch():
    code = "import sys, ssl_restore; print('torch' in sys.modules, 'numpy' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert said.split() == ["False", "False"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_of_8_and_16_bits_come_back_in_their_type(dtype, channels):
    array = pixels(40, 52, channels=channels, dtype=dtype)
    expected = restore_pixels(RESTORER, array, precision="fp32")
    assert np.array_equal(restore(array), expected)
    if channels == 1:
        assert np.array_equal(restore(array[:, :, 0]), expected[:, :, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_point_arrays_are_not_rounded(dtype):
    array = (PHOTO / 255).astype(dtype)
    restored = restore(array)
    assert (restored.shape, restored.dtype) == (array.shape, array.dtype)
    eight_bit = restore(PHOTO)
    assert np.abs(255 * restored.clip(0, 1) - eight_bit).max() <= 0.51
    assert len(np.unique(restored)) > 256


def test_tensors_keep_shape_type_and_batch():
    image = torch.from_numpy(PHOTO / 255).permute(2, 0, 1).float()
    one = restore(image)
    both = restore(torch.stack([image, image.flip(2)]))
    assert one.shape == image.shape
    torch.testing.assert_close(both[0], one)
    assert restore(image.double()).dtype == torch.float64
    assert not one.requires_grad
    assert restore(image[:1]).shape == image[:1].shape


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pillow_images_keep_mode_and_alpha(mode):
    alpha = np.linspace(0, 255, 40 * 52).astype(np.uint8).reshape(40, 52, 1)
    colours = PHOTO[:, :, :1] if mode[0] == "L" else PHOTO
    array = np.concatenate([colours, alpha], axis=2) if mode[-1] == "A" else colours
    image = Image.fromarray(array[:, :, 0] if mode == "L" else array)
    restored = restore(image)
    assert (restored.mode, restored.size) == (mode, image.size)
    if mode[-1] == "A":
        assert np.array_equal(np.asarray(restored)[:, :, -1], alpha[:, :, 0])


def test_a_path_gives_a_picture_with_what_its_file_said(tmp_path):
    path = tmp_path / "a.png"
    sr.write(path, Picture(PHOTO, alpha=PHOTO[:, :, 0]))
    for given in (path, str(path)):
        restored = restore(given)
        assert np.array_equal(restored.pixels, restore(PHOTO))
        assert np.array_equal(restored.alpha, PHOTO[:, :, 0])


def test_strength_quality_and_tiles_are_those_of_the_command_line():
    assert np.array_equal(restore(PHOTO, strength=0), PHOTO)
    assert not np.array_equal(restore(PHOTO, quality="best"), restore(PHOTO))
    assert np.abs(restore(PHOTO, tile=16).astype(int) - restore(PHOTO)).max() <= 1


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (PHOTO.astype(int), r"image: uint8, uint16 or floating-point .* got int64; convert"),
        (255.0 * PHOTO, r"image: values in \[0, 1\] .* got .* divide 8-bit values by 255"),
        (np.full((8, 8, 3), np.nan), r"image: values in \[0, 1\] are expected, got NaN"),
        (PHOTO[None], r"image: an array \(H, W\), .* got \(1, 40, 52, 3\)"),
        (np.zeros((8, 8, 4), np.uint8), r"image: an array .* got \(8, 8, 4\); .* alpha"),
        (np.zeros((0, 8, 3), np.uint8), r"image: an array .* got \(0, 8, 3\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"image: a floating-point tensor .* torch.uint8"),
        (torch.zeros(8, 8, 3), r"image: a tensor \(C, H, W\) .* got \(8, 8, 3\)"),
        (torch.zeros(8), r"image: a tensor \(C, H, W\) .* got \(8,\)"),
        (Image.new("P", (8, 8)), r"image: a Pillow image of mode L, .* got P; convert it first"),
        ([[0, 1]], r"image: a path, .* is expected, got list"),
        (None, r"image: a path, .* got NoneType"),
        ("nowhere.png", r"nowhere\.png: no such file"),
    ],
)
def test_what_is_no_image_is_refused_with_what_was_expected(image, expected):
    with pytest.raises(UserError, match=expected):
        restore(image)


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"strength": 3}, r"strength: 0 to 2 is expected, got 3"),
        ({"quality": "high"}, "quality: 'high' is unknown; use fast, good or best"),
        ({"tile": 1}, "tile: 1 is too small"),
        ({"tile": "a"}, "tile: a whole number of pixels is expected, got 'a'"),
        ({"tile": 64.5}, "tile: a whole number of pixels is expected, got 64.5"),
        ({"precision": "fp8"}, "precision: 'fp8' is unknown"),
    ],
)
def test_a_parameter_out_of_its_range_is_named(keywords, expected):
    with pytest.raises(UserError, match=expected):
        restore(PHOTO, **keywords)


def test_what_is_no_restorer_is_refused_and_a_given_one_stays_where_it_is():
    for wrong in (5, torch.nn.Identity(), None):
        with pytest.raises(UserError, match="restorer: a restorer, a task or a path is expected"):
            sr.restore(PHOTO, wrong)
    with pytest.raises(UserError, match="device: is for a restorer that is given by name"):
        sr.restore(PHOTO, RESTORER, device="cpu")


@pytest.mark.parametrize("source", [None, 3])
def test_what_is_neither_a_task_nor_a_path_is_refused(source):
    with pytest.raises(UserError, match=r"source: the name of a task .* or a path is expected"):
        sr.load(source)


def test_a_tensor_without_values_is_refused():
    with pytest.raises(UserError, match="meta device has no values"):
        restore(torch.zeros(1, 3, 32, 32, device="meta"))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    broken = random_restorer()
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    path = tmp_path / "nan.safetensors"
    checkpoint.save(path, broken, checkpoint.Header("derain", "unet", KEYWORDS))
    with pytest.raises(UserError, match=r"nan\.safetensors: holds weights that are not finite"):
        sr.load(path)


def test_load_takes_tasks_and_paths_and_refuses_other_tasks(tmp_path):
    path = save_restorer(tmp_path / "r.safetensors")
    assert sr.load(path).task == sr.load(str(path), task="derain").task == "derain"
    with pytest.raises(UserError, match="weights of the task derain, not of denoise"):
        sr.load(path, task="denoise")
    with pytest.raises(UserError, match="did you mean 'derain'"):
        sr.load("deraim")
    with pytest.raises(UserError, match="no such file"):
        sr.load(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match="task: "):
        sr.load("derain", task="denoise")


@pytest.mark.parametrize("device", ["mps", "xpu", "hip", "vulkan", "meta", "cuda:9", "abacus"])
def test_a_device_that_is_not_there_is_one_line(device):
    with pytest.raises(UserError, match=f"^device: .*{device}") as error:
        sr.load("derain", device=device)
    assert "\n" not in str(error.value)


def test_nothing_is_overwritten_unless_asked(tmp_path):
    sr.write(tmp_path / "a.png", PHOTO)
    with pytest.raises(UserError, match=r"a\.png: exists; `overwrite=True` replaces it"):
        sr.write(tmp_path / "a.png", PHOTO)
    sr.write(tmp_path / "a.png", Image.fromarray(PHOTO[:, ::-1].copy()), overwrite=True)
    assert np.array_equal(sr.read(tmp_path / "a.png").pixels, PHOTO[:, ::-1])
    with pytest.raises(UserError, match=r"image: an array of uint8 or uint16 .* round it first"):
        sr.write(tmp_path / "b.png", PHOTO / 255)
    with pytest.raises(UserError, match=r"image: a Picture, an array .* got str"):
        sr.write(tmp_path / "b.png", "picture")
    assert not (tmp_path / "b.png").exists()


def test_calibrate_and_evaluate_measure_folders(tmp_path):
    rows, columns = np.mgrid[:96, :96]
    smooth = (128 + 60 * np.sin(rows / 17) * np.cos(columns / 23))[..., None].repeat(3, 2)
    for number in range(2):
        noise = np.random.default_rng(number).normal(0, 12, smooth.shape)
        for folder, values in (("noisy", smooth + noise), ("clean", smooth)):
            (tmp_path / folder).mkdir(exist_ok=True)
            array = values.round().clip(0, 255).astype(np.uint8)
            sr.write(tmp_path / folder / f"{number}.png", array)
    calibration = sr.calibrate(tmp_path / "noisy", "noise")
    assert calibration.median("level") == pytest.approx(12 / 255, rel=0.15)
    one = sr.calibrate([tmp_path / "noisy" / "0.png"], "noise")
    assert len(one.pictures) == 1
    rows = sr.evaluate(tmp_path / "noisy", tmp_path / "clean", "denoise")
    assert {row.method for row in rows} == {"input", "median 3x3", "restorer"}
    means = {m: np.mean([r.scores["psnr_rgb"] for r in rows if r.method == m]) for m in
             {row.method for row in rows}}  # fmt: skip
    assert means["restorer"] > means["median 3x3"] > means["input"]
    with pytest.raises(UserError, match="unknown kind of calibration 'rains': did you mean 'rain'"):
        sr.calibrate(tmp_path / "noisy", "rains")


def test_fit_learns_a_restorer_that_can_be_used_at_once(tmp_path):
    for number in range(2):
        write_photo(tmp_path / "rainy" / f"{number}.png", 64, 64, seed=number)
    restorer = sr.fit(
        tmp_path / "rainy", clean=None, output=tmp_path / "run", steps=2, calibrate=False,
        settings={"batch": 2, "patch": 16}, precision="fp32",
    )  # fmt: skip
    assert restorer.task == "derain"
    assert (tmp_path / "run" / "restorer.safetensors").is_file()
    assert sr.restore(PHOTO, restorer).shape == PHOTO.shape
    with pytest.raises(UserError, match="unknown setting 'batches': did you mean 'batch'"):
        sr.fit(tmp_path / "rainy", output=tmp_path / "other", settings={"batches": 2})
    with pytest.raises(UserError, match="minutes"):
        sr.fit(tmp_path / "rainy", output=tmp_path / "other", minutes=1, steps=1)


DOCTESTS = sorted(
    path for path in Path(sr.__file__).parent.rglob("*.py") if ">>> " in path.read_text()
)


@pytest.mark.parametrize("path", DOCTESTS, ids=lambda path: path.stem)
def test_examples_of_the_docstrings_run(path):
    import importlib  # noqa: PLC0415

    parts = path.relative_to(Path(sr.__file__).parents[1]).with_suffix("").parts
    module = importlib.import_module(".".join(p for p in parts if p != "__init__"))
    began = time.perf_counter()
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0
    assert time.perf_counter() - began < 60
