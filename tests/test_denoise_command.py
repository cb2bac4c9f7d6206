"""`ssl-restore denoise`: its own weights and its strength.  The rest is shared with `derain`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import random_restorer, save_restorer, write_photo

from degradations.noise import CorrelatedNoise
from ssl_restore import weights
from ssl_restore.evaluation.metrics import psnr
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.tiles import restore
from ssl_restore.inference.wrappers import Strength
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore_cli.main import main

COW = Path(__file__).parents[1] / "data_samples" / "photos" / "cow.jpg"


def denoise(*arguments):
    call = ["denoise", *map(str, arguments), "--precision", "fp32"]
    result = CliRunner().invoke(main, call)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def tiny(tmp_path):
    return save_restorer(tmp_path / "restorer.safetensors", task="denoise")


def strong(tiny, tmp_path, strength, **photo):
    """Pixels of a photograph, and of its result at a strength (None: the default)."""
    source, target = write_photo(tmp_path / "a.png", **photo), tmp_path / f"{strength}.png"
    option = () if strength is None else ("--strength", strength)
    result = denoise(source, target, "--weights", tiny, *option)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{target}\n"
    return images.read(source).pixels, images.read(target).pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strength_zero_gives_the_picture_back_to_the_bit(tiny, tmp_path, dtype):
    source, result = strong(tiny, tmp_path, 0, dtype=dtype)
    assert np.array_equal(result, source)


def test_strength_one_is_the_default_and_the_restorer(tiny, tmp_path):
    source, plain = strong(tiny, tmp_path, None)
    _, one = strong(tiny, tmp_path, 1)
    expected = restore(load_restorer(tiny, "cpu"), source, precision="fp32")
    assert np.array_equal(plain, one)
    assert np.array_equal(plain, expected)
    assert not np.array_equal(plain, source)


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_change_grows_in_proportion_to_the_strength_and_is_clipped(tiny, tmp_path, strength):
    source, one = strong(tiny, tmp_path, 1, dtype=np.uint16)
    _, other = strong(tiny, tmp_path, strength, dtype=np.uint16)
    inside = (one > 0) & (one < 65535)  # where the restored one was not clipped itself
    expected = source + strength * (one.astype(float) - source)
    assert np.abs(other - expected.clip(0, 65535))[inside].max() <= 1 + strength
    assert inside.mean() > 0.3


def test_strength_takes_tiles_as_the_restorer_does():
    restorer = random_restorer()
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    half = Strength(restorer, 0.5).eval()
    assert (half.stride, half.reach) == (restorer.stride, restorer.reach)
    whole, tiled = (restore(half, pixels, tile=t, precision="fp32") for t in (0, 16))
    assert np.abs(whole.astype(int) - tiled).max() <= 1


@pytest.mark.parametrize("strength", [-0.1, 2.1, "much"])
def test_strength_out_of_range_is_a_wrong_call(tiny, tmp_path, strength):
    call = ("a.png", "b.png", "--weights", tiny, "--strength", strength)
    result = denoise(*call)
    assert result.exit_code == 2
    assert "--strength" in result.stderr


def test_folder_goes_to_a_folder(tiny, tmp_path):
    for name in ("a.png", "inner/b.png"):
        write_photo(tmp_path / "in" / name)
    result = denoise(tmp_path / "in", tmp_path / "out", "--weights", tiny, "--recursive")
    assert result.exit_code == 0
    assert (tmp_path / "out" / "a.png").is_file()
    assert (tmp_path / "out" / "inner" / "b.png").is_file()


def test_each_task_opens_its_own_built_in_restorer(tmp_path, monkeypatch):
    asked = []
    files = {t: save_restorer(tmp_path / f"{t}.safetensors", task=t) for t in ("denoise", "derain")}
    monkeypatch.setattr(
        weights, "built_in", lambda task, quality="good": asked.append(task) or files[task]
    )
    monkeypatch.setattr(weights, "MIXED", ())
    source = write_photo(tmp_path / "a.png")
    for task in ("denoise", "derain"):
        call = [task, str(source), str(tmp_path / f"{task}.png"), "--precision", "fp32"]
        assert CliRunner().invoke(main, call).exit_code == 0
    assert asked == ["denoise", "derain"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("denoise", ["denoise"]),
        ("dehaze", ["dehaze"]),
        ("upscale", ["upscale"]),
        ("upscale_x4", ["upscale", "--scale", "4"]),
        ("veil", ["derain", "--veil"]),
    ],
)
def test_an_installation_without_a_built_in_restorer_says_so(tmp_path, monkeypatch, name, command):
    for file in weights.FOLDER.glob("*.safetensors"):
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / f"{name}.safetensors").unlink()
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    source = write_photo(tmp_path / "a.png")
    result = CliRunner().invoke(main, [*command, str(source), str(tmp_path / "b.png")])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert f"lacks the built-in restorer {name} (" in result.stderr
    assert "--weights" in result.stderr


def test_best_quality_is_not_the_good_one_and_not_for_zero_shot(tiny, tmp_path):
    write_photo(tmp_path / "in.png", 40, 52)
    for quality in ("good", "best"):
        call = (tmp_path / "in.png", tmp_path / f"{quality}.png", "--weights", tiny)
        assert denoise(*call, "--quality", quality).exit_code == 0
    good, best = (images.read(tmp_path / f"{q}.png").pixels for q in ("good", "best"))
    assert not np.array_equal(good, best)
    result = denoise(tmp_path / "in.png", tmp_path / "z.png", "--zero-shot", "--quality", "best")
    assert result.exit_code == 2
    assert "leave --quality best out" in result.stderr


def test_coarse_noise_mostly_goes_with_grain_and_mostly_stays_without(tmp_path):
    photo = images.read(COW).pixels[:150, :203]  # no multiple of anything
    clean = images.to_tensor(photo)
    prior = CorrelatedNoise(sigma=(0.06, 0.06), width_px=(2.5, 2.5))
    noise = prior.sample(tuple(clean.shape), torch.Generator().manual_seed(0))
    noisy = images.to_pixels(prior.apply(clean, noise), photo)
    images.write(tmp_path / "in.png", Picture(noisy))
    level = {"input": psnr(noisy, photo)}
    for grain in ("1", "2"):
        result = denoise(tmp_path / "in.png", tmp_path / f"{grain}.png", "--grain", grain)
        assert result.exit_code == 0, result.stderr
        level[grain] = psnr(images.read(tmp_path / f"{grain}.png").pixels, photo)
    assert level["2"] > level["1"] + 1
    assert level["2"] > level["input"] + 2
    result = denoise(tmp_path / "in.png", tmp_path / "z.png", "--zero-shot", "--grain", "2")
    assert result.exit_code == 2
    assert "leave --grain out" in result.stderr
