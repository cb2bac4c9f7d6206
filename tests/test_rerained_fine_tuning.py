"""Learning from one rainy picture: what is learned, what the guard keeps, files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from moving import save_photographs
from tiny import random_restorer

from degradations.rain import Rain
from ssl_restore import rng
from ssl_restore.adapters import stream
from ssl_restore.calibration import rain as rain_calibration
from ssl_restore.evaluation import rain_left
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.networks import denoiser
from ssl_restore.solvers import rerained_fine_tuning
from ssl_restore.training import checkpoint, material
from ssl_restore_cli.main import main


@pytest.fixture(autouse=True)
def few_photographs(tmp_path, monkeypatch):
    folder = save_photographs(tmp_path / "photographs")
    monkeypatch.setattr(material, "bundled_photographs", lambda: folder)


def texture(seed=0, side=160):
    """(side, side, 3) uint8, smooth in no direction more than in another."""
    draws = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, side // 4, side // 4, generator=draws)
    whole = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bicubic").clamp(0, 1)
    return images.to_pixels(0.2 + 0.4 * whole, np.zeros((side, side, 3), np.uint8))


def rainy(pixels, brightness=0.4):
    rain = Rain(
        rain_free=0, angle_rad=(0, 0),
        angle_spread_rad=(0.01, 0.01), population_spread_rad=(0.01, 0.01),
        populations=(1, 1), brightness=(brightness,) * 2, coverage=(0.3, 0.3), width_px=(2, 2),
        length_px=(40, 40),
    )  # fmt: skip
    params = rain.sample((1, 3, *pixels.shape[:2]), torch.Generator().manual_seed(1))
    return images.to_pixels(rain.apply(images.to_tensor(pixels), params), pixels)


def test_a_result_with_less_rain_is_kept():
    before, after = rainy(texture(), brightness=0.1), texture()
    assert rain_left.rejected_reason(before, before, after, 0.0) is None


def test_a_result_with_more_rain_is_not():
    before, after = texture(), rainy(texture())
    assert "along the rain" in rain_left.rejected_reason(after, before, after, 0.0)


def test_a_blurred_result_is_not_kept_although_it_has_less_rain():
    before = rainy(texture())
    blurred = torch.nn.functional.avg_pool2d(images.to_tensor(before), 5, 1, 2)
    after = images.to_pixels(blurred, before)
    assert "texture" in rain_left.rejected_reason(before, before, after, 0.0)


def test_a_result_may_lack_more_texture_where_it_has_less_rain():
    """Ends and edges of streaks are texture, too."""
    clean, before = texture(), rainy(texture())
    after = (0.93 * clean).astype(np.uint8)  # energy of 0.86
    assert rain_left.rejected_reason(before, before, after, 0.0) is None
    assert "texture" in rain_left.rejected_reason(before, clean, after, 0.0)


def test_rain_left_is_the_share_that_was_not_removed():
    clean = texture()
    whole, half = rainy(clean, brightness=0.2), rainy(clean, brightness=0.1)
    assert rain_left.rain_and_texture_left(whole, whole)["rain_left"] == 1
    removed = rain_left.rain_and_texture_left(whole, clean)
    some = rain_left.rain_and_texture_left(whole, half)
    assert abs(removed["rain_left"]) < 0.05
    assert some["rain_left"] == pytest.approx(0.25, abs=0.06)  # energy: the square of the light
    assert removed["texture_left"] == pytest.approx(1, abs=0.15)


def solve(pixels, restorer, **keywords):
    """The picture restored, 8 bits, and the lines that were said."""
    lines = []
    clean = rerained_fine_tuning.solve(
        images.to_tensor(pixels), generator=rng.derive(0, "solve"), restorer=restorer,
        notify=lines.append, **{"steps": 2, "precision": "fp32", **keywords},
    )["clean"]  # fmt: skip
    return images.to_pixels(clean, pixels), lines


def test_restorer_itself_stays_as_it_was_and_the_same_seed_gives_the_same_picture():
    restorer = random_restorer(strength=0.05).eval()
    weights = {key: value.clone() for key, value in restorer.state_dict().items()}
    pixels, shares = rainy(texture()), []
    (one, _), (again, _) = (solve(pixels, restorer, progress=shares.append) for _ in range(2))
    assert all(torch.equal(value, weights[key]) for key, value in restorer.state_dict().items())
    assert np.array_equal(one, again)
    assert shares[: len(shares) // 2] == sorted(shares[: len(shares) // 2])
    assert (shares[0], shares[-1]) == (0, 1)


def test_statistics_of_norms_rest(monkeypatch):
    """One picture has none of its own that are worth learning: they led astray."""
    learned = []
    fit = stream.fit
    monkeypatch.setattr(stream, "fit", lambda r, *a, **k: learned.append(r) or fit(r, *a, **k))
    restorer = random_restorer(strength=0.05).eval()
    solve(rainy(texture()), restorer)
    before, after = restorer.state_dict(), learned[0].restorer.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before if "running" in key)
    assert not all(torch.equal(before[key], after[key]) for key in before if "conv" in key)


def without_learning(pixels, restorer):
    """Up to the rounding of 16 bits and of folded norms."""
    return restore(restorer, pixels, precision="fp32").astype(int)


def test_where_the_guard_rejects_it_the_picture_is_restored_as_without(monkeypatch):
    monkeypatch.setattr(rain_left, "LEAST_LOST", -1.0)  # no texture is ever enough
    pixels, restorer = rainy(texture()), random_restorer(strength=0.05).eval()
    restored, lines = solve(pixels, restorer)
    assert lines == ["restored without what was learned: texture was lost"]
    assert np.abs(without_learning(pixels, restorer) - restored).max() <= 1


@pytest.mark.parametrize("side", [64, 160])
def test_a_small_or_rain_free_picture_is_restored_without_learning(monkeypatch, side):
    monkeypatch.setattr(rain_calibration, "RAINY_FROM", 1.1)  # nothing is rain enough
    pixels, restorer = texture(side=side), random_restorer(strength=0.05).eval()
    restored, (line,) = solve(pixels, restorer)
    reason = "no rain found to learn from" if side == 160 else "64x64 is too small; 160 pixels are"
    assert line.startswith(reason)
    assert line.endswith("restored without learning")
    assert np.abs(without_learning(pixels, restorer) - restored).max() <= 1


@pytest.mark.parametrize("option", ["--adapt", "--veil"])
def test_weights_of_a_denoiser_are_refused(tmp_path, option):
    weights = tmp_path / "denoiser.safetensors"
    header = checkpoint.Header("denoise", "denoiser", {"width": 4})
    checkpoint.save(weights, denoiser.build(width=4), header)
    images.write(tmp_path / "in.png", Picture(texture()))
    arguments = ["derain", str(tmp_path / "in.png"), str(tmp_path / "out.png"), option]
    result = CliRunner().invoke(main, [*arguments, "--weights", str(weights)])
    assert result.exit_code == 1
    assert "weights of the task denoise, not of derain" in result.stderr
    assert not (tmp_path / "out.png").exists()


def test_command_adapts_and_says_so(tmp_path):
    images.write(tmp_path / "in.png", Picture(rainy(texture())))
    arguments = ["derain", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--adapt"]
    result = CliRunner().invoke(main, [*arguments, "--seconds", "1"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.png").is_file()
    assert "1 restored" in result.stderr


def test_a_broken_picture_is_named_and_the_rest_is_written(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    images.write(source / "good.png", Picture(rainy(texture())))
    images.write(source / "small.png", Picture(texture(side=64)))
    (source / "torn.png").write_bytes(b"no picture")
    arguments = ["derain", str(source), str(tmp_path / "out"), "--adapt", "--seconds", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"good.png", "small.png"}
    assert "small.png: 64x64 is too small" in result.stderr
    assert "torn.png" in result.stderr
