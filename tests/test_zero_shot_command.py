"""`ssl-restore denoise --zero-shot`: its options, files of every kind, and what goes wrong."""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import pixels, save_restorer, write_photo

from ssl_restore import discover, rng, weights
from ssl_restore.evaluation import metrics
from ssl_restore.inference.tiles import restore_tensor
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.solvers import recorrupted_fine_tuning
from ssl_restore.training import checkpoint
from ssl_restore_cli.main import main

PHOTOS = Path(__file__).parents[1] / "data_samples" / "photos"
QUICK = {"steps": 2, "width": 8, "batch": 2, "patch": 32, "precision": "fp32"}
CALLS = {"denoise": ["--zero-shot"], "dehaze": []}  # of commands, what makes a solver work
NAMES = [(task, name) for task in CALLS for name in discover.solvers_for(task)]
each = pytest.mark.parametrize(("task", "name"), NAMES)


def denoise(*arguments, task="denoise"):
    result = CliRunner().invoke(main, [task, *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def two_steps(monkeypatch):
    """Every solver makes two small steps."""
    plain = discover.solver

    def small(name):
        solve = plain(name)
        known = discover.settings(solve)
        return partial(solve, **{k: v for k, v in QUICK.items() if k in known})

    monkeypatch.setattr(discover, "solver", small)


@pytest.fixture
def quick(two_steps, monkeypatch, tmp_path_factory):
    """And the built-in denoiser is a small one."""
    path = save_restorer(tmp_path_factory.mktemp("weights") / "denoise.safetensors", task="denoise")
    monkeypatch.setattr(weights, "built_in", lambda task, quality="good": path)


def solved(source, target, *arguments, task="denoise"):
    result = denoise(source, target, *CALLS[task], *arguments, task=task)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{target}\n"
    return images.read(target)


def noisy_photo(side=128, sigma=25 / 255):
    """The middle of a photograph, clean and with noise, uint8."""
    whole = images.read(sorted(PHOTOS.glob("*.jpg"))[3]).pixels
    top, left = ((length - side) // 2 for length in whole.shape[:2])
    clean = np.ascontiguousarray(whole[top : top + side, left : left + side])
    eps = torch.randn((1, 3, side, side), generator=torch.Generator().manual_seed(0))
    return clean, images.to_pixels(images.to_tensor(clean) + sigma * eps, clean)


@each
@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint16), (3, np.uint8)])
def test_size_depth_grey_alpha_and_profile_are_kept(task, name, channels, dtype, quick, tmp_path):
    plain = pixels(70, 85, channels=channels, dtype=dtype)
    alpha = pixels(70, 85, channels=1, dtype=dtype, seed=1)[:, :, 0]
    images.write(tmp_path / "in.png", Picture(plain, alpha, icc=b"profile" * 20))
    before = images.read(tmp_path / "in.png")
    result = solved(tmp_path / "in.png", tmp_path / "out.png", "--method", name, task=task)
    assert result.pixels.shape == plain.shape
    assert result.pixels.dtype == dtype
    assert not np.array_equal(result.pixels, plain)
    assert np.array_equal(result.alpha, alpha)
    assert result.icc == before.icc
    assert np.array_equal(images.read(tmp_path / "in.png").pixels, plain)


@each
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (17, 9)])
def test_tiny_pictures_come_through(task, name, size, quick, tmp_path):
    source = write_photo(tmp_path / "in.png", *size)
    result = solved(source, tmp_path / "out.png", "--method", name, task=task)
    assert result.pixels.shape == (*size, 3)


@pytest.mark.parametrize("value", [0, 90, 255])
def test_constant_picture_comes_back_and_the_reason_is_said(value, tmp_path):
    images.write(tmp_path / "in.png", Picture(np.full((80, 80, 3), value, np.uint8)))
    result = denoise(tmp_path / "in.png", tmp_path / "out.png", "--zero-shot")
    assert result.exit_code == 0
    assert "in.png: hardly any noise was found" in result.stderr
    change = images.read(tmp_path / "out.png").pixels.astype(int) - value
    assert np.abs(change).max() <= 2


def test_saturated_picture_is_restored_and_the_reason_is_said(tmp_path):
    draws = np.random.default_rng(0).integers(-60, 20, (96, 96, 3)).clip(0, 255).astype(np.uint8)
    images.write(tmp_path / "in.png", Picture(draws))
    result = denoise(tmp_path / "in.png", tmp_path / "out.png", "--zero-shot")
    assert result.exit_code == 0
    assert result.stderr.count("restored without learning") == 1


def test_noise_free_photograph_comes_back_nearly_unchanged(tmp_path):
    clean, _ = noisy_photo()
    images.write(tmp_path / "in.png", Picture(clean))
    result = solved(tmp_path / "in.png", tmp_path / "out.png", "--seconds", 5)
    assert metrics.psnr(result.pixels, clean) > 40


def test_learning_keeps_fine_regular_texture_that_the_built_in_denoiser_smears():
    """Of three draws of the noise; the mean gain is beyond four standard errors."""
    rows, columns = np.mgrid[:64, :64]
    weave = np.sin(2.1 * rows + 0.4 * columns) * np.sin(1.7 * columns - 0.5 * rows)
    tones = np.float32((0.5, 0.45, 0.4)) + 0.3 * weave[:, :, None]
    clean = torch.from_numpy(np.float32(tones)).permute(2, 0, 1)[None]
    alone, _ = checkpoint.load(weights.built_in("denoise"))
    lines, gains = [], []
    for seed in range(3):
        noisy = clean + 0.16 * torch.randn(clean.shape, generator=rng.derive(seed, "noise"))
        learned = recorrupted_fine_tuning.solve(
            noisy, generator=rng.derive(seed, "solve"), steps=15, batch=4, patch=32,
            notify=lines.append,
        )["clean"]  # fmt: skip
        pair = restore_tensor(alone, noisy), learned
        before, after = (float((x - clean).square().mean()) for x in pair)
        gains.append(np.log(before / after))
    assert lines == []
    assert np.mean(gains) > 4 * np.std(gains, ddof=1) / len(gains) ** 0.5


@each
def test_same_seed_gives_the_same_file_and_another_one_not(task, name, two_steps, tmp_path):
    _, noisy = noisy_photo(64)
    images.write(tmp_path / "in.png", Picture(noisy))
    files = []
    for number, seed in enumerate((1, 1, 2)):
        target = tmp_path / f"{number}.png"
        solved(tmp_path / "in.png", target, "--method", name, "--seed", seed, task=task)
        files.append(target.read_bytes())
    assert files[0] == files[1]
    draws = "generator" in inspect.signature(discover.solver(name)).parameters
    assert (files[0] != files[2]) is draws


def test_result_does_not_depend_on_the_other_pictures_of_the_folder(quick, tmp_path):
    for name in "ab":
        write_photo(tmp_path / "in" / f"{name}.png", seed=ord(name))
    assert denoise(tmp_path / "in", tmp_path / "all", "--zero-shot").exit_code == 0
    alone = solved(tmp_path / "in" / "b.png", tmp_path / "b.png")
    assert np.array_equal(images.read(tmp_path / "all" / "b.png").pixels, alone.pixels)


def test_strength_zero_gives_the_picture_back_to_the_bit(quick, tmp_path):
    source = write_photo(tmp_path / "in.png")
    result = solved(source, tmp_path / "out.png", "--strength", 0)
    assert np.array_equal(result.pixels, images.read(source).pixels)


def test_seconds_end_the_learning(tmp_path):
    source = write_photo(tmp_path / "in.png", 64, 64)
    method = ("--method", "zero_shot_noise2noise")
    result = denoise(source, tmp_path / "out.png", "--zero-shot", *method, "--seconds", 1)
    assert result.exit_code == 0
    assert "1 restored, by zero_shot_noise2noise" in result.stderr


def test_input_is_never_overwritten_and_a_result_only_when_asked(quick, tmp_path):
    source = write_photo(tmp_path / "in.png")
    before = source.read_bytes()
    result = denoise(source, source, "--zero-shot", "--overwrite")
    assert result.exit_code == 1
    assert "is the input itself" in result.stderr
    assert source.read_bytes() == before
    target = write_photo(tmp_path / "out.png", seed=5)
    result = denoise(source, target, "--zero-shot")
    assert result.exit_code == 1
    assert "exists; --overwrite replaces it" in result.stderr
    assert denoise(source, target, "--zero-shot", "--overwrite").exit_code == 0


def test_broken_picture_of_a_folder_is_named_and_the_rest_is_written(quick, tmp_path):
    write_photo(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "torn.png").write_bytes(b"no picture")
    result = denoise(tmp_path / "in", tmp_path / "out", "--zero-shot")
    assert result.exit_code == 1
    assert result.stderr.count("torn.png") == 1
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["good.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--method", "deep_image_prior"), 2, "belong to --zero-shot"),
        (("--seconds", 5), 2, "belong to --zero-shot"),
        (("--zero-shot", "--method", "deep_image_pior"), 2, "did you mean 'deep_image_prior'?"),
        (("--zero-shot", "--seconds", 0), 2, "--seconds"),
        (("--zero-shot", "--tile", 1), 2, "--tile: 1 is too small"),
        (("--zero-shot", "--max-pixels", 10), 1, "over the limit"),
        (("--zero-shot", "--device", "gpu7"), 2, "--device: 'gpu7' is unknown"),
    ],
)
def test_wrong_call_is_one_line(arguments, code, said, quick, tmp_path):
    source = write_photo(tmp_path / "in.png", 64, 64)
    result = denoise(source, tmp_path / "out.png", *arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out.png").exists()
    if code == 1:
        assert result.stderr.count("\n") == 1


def test_weights_are_where_learning_begins_and_refused_by_a_method_that_begins_with_none(
    quick, tmp_path
):
    source = write_photo(tmp_path / "in.png", 64, 64)
    tiny = save_restorer(tmp_path / "restorer.safetensors", seed=1, task="denoise")
    own = solved(source, tmp_path / "a.png", "--weights", tiny).pixels
    assert not np.array_equal(own, solved(source, tmp_path / "b.png").pixels)
    result = denoise(source, tmp_path / "c.png", "--zero-shot", "--weights", tiny,
                     "--method", "deep_image_prior")  # fmt: skip
    assert result.exit_code == 2
    assert "deep_image_prior starts from none: leave --weights out" in result.stderr
