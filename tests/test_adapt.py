"""Adapting to one picture: what is learned, what the guard keeps, files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import random_restorer

from degradations.rain import Rain
from degradations.rain_like import MeasuredRain
from ssl_restore.calibration.rain_file import PictureRain
from ssl_restore.errors import UserError
from ssl_restore.inference import folders
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.networks import denoiser
from ssl_restore.solvers import rerained_fine_tuning
from ssl_restore.training import checkpoint
from ssl_restore_cli.main import main

FOUND = PictureRain("", 0.9, MeasuredRain(angle_rad=0.0), 1.0, 0.02, 0.2, 0.2)


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
    kept = rerained_fine_tuning.guarded(before, before, after, FOUND)
    assert kept.kept
    assert np.array_equal(kept.pixels, after)


def test_a_result_with_more_rain_is_not():
    before, after = texture(), rainy(texture())
    denied = rerained_fine_tuning.guarded(after, before, after, FOUND)
    assert not denied.kept
    assert np.array_equal(denied.pixels, before)
    assert "along the rain" in denied.reason


def test_a_blurred_result_is_not_kept_although_it_has_less_rain():
    before = rainy(texture())
    image = images.to_tensor(before)
    blurred = torch.nn.functional.avg_pool2d(image, 5, 1, 2)
    denied = rerained_fine_tuning.guarded(before, before, images.to_pixels(blurred, before), FOUND)
    assert not denied.kept
    assert "texture" in denied.reason


def test_restorer_itself_stays_as_it_was_and_the_same_seed_gives_the_same_picture():
    restorer = random_restorer(strength=0.05).eval()
    weights = {key: value.clone() for key, value in restorer.state_dict().items()}
    pixels = rainy(texture())
    shares = []
    one, again = (
        rerained_fine_tuning.adapt(
            restorer, pixels, steps=2, precision="fp32", progress=shares.append
        )
        for _ in range(2)
    )
    assert all(torch.equal(value, weights[key]) for key, value in restorer.state_dict().items())
    assert np.array_equal(one.pixels, again.pixels)
    assert one.pixels.shape == pixels.shape
    assert shares == [0.0, 0.5] * 2


def test_statistics_of_norms_rest():
    """One picture has none of its own that are worth learning: they led astray."""
    learned = []
    fit = rerained_fine_tuning.fit

    def watched(recipe, *arguments, **keywords):
        learned.append(recipe)
        return fit(recipe, *arguments, **keywords)

    restorer = random_restorer(strength=0.05).eval()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rerained_fine_tuning, "fit", watched)
        rerained_fine_tuning.adapt(restorer, rainy(texture()), steps=2, precision="fp32")
    before, after = restorer.state_dict(), learned[0].restorer.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before if "running" in key)
    assert not all(torch.equal(before[key], after[key]) for key in before if "conv" in key)


def test_picture_too_small_to_measure_is_refused():
    with pytest.raises(UserError, match="160 pixels are needed"):
        rerained_fine_tuning.adapt(random_restorer().eval(), texture(side=120), steps=1)


def test_where_the_guard_denies_the_picture_is_restored_as_without(tmp_path, monkeypatch):
    monkeypatch.setattr(rerained_fine_tuning, "LEAST_LOST", -1.0)  # no texture is ever enough
    images.write(tmp_path / "in.png", Picture(rainy(texture())))
    restorer = random_restorer(strength=0.05).eval()
    job = folders.Job(tmp_path / "in.png", tmp_path / "out.png")
    skipped, denied = rerained_fine_tuning.adapt_all([job], restorer, seconds=0.1, precision="fp32")
    assert not skipped
    assert len(denied) == 1
    assert "in.png: restored without --adapt" in denied[0]
    expected = restore(restorer, images.read(job.source).pixels, precision="fp32")
    assert np.array_equal(images.read(job.target).pixels, expected)


def test_a_picture_that_could_not_be_written_is_not_said_to_be_restored(tmp_path, monkeypatch):
    monkeypatch.setattr(
        rerained_fine_tuning.rain_calibration, "RAINY_FROM", 1.1
    )  # nothing is rain enough
    images.write(tmp_path / "in.png", Picture(texture()))
    (tmp_path / "file").touch()
    job = folders.Job(tmp_path / "in.png", tmp_path / "file" / "out.png")
    skipped, denied = rerained_fine_tuning.adapt_all([job], random_restorer().eval(), seconds=0.1)
    assert len(skipped) == 1
    assert not denied


def test_a_dry_picture_is_restored_without_learning(monkeypatch):
    monkeypatch.setattr(
        rerained_fine_tuning.rain_calibration, "RAINY_FROM", 1.1
    )  # nothing is rain enough
    restorer = random_restorer(strength=0.05).eval()
    found = rerained_fine_tuning.adapt(restorer, rainy(texture()), steps=2, precision="fp32")
    assert not found.kept
    assert found.reason == "no rain found to learn from"


@pytest.mark.parametrize("option", ["--adapt", "--veil"])
def test_weights_of_a_denoiser_are_refused(tmp_path, option):
    weights = tmp_path / "denoiser.safetensors"
    header = checkpoint.Header(network="denoiser", keywords={"width": 4})
    checkpoint.save(weights, denoiser.build(width=4), header)
    images.write(tmp_path / "in.png", Picture(texture()))
    arguments = ["derain", str(tmp_path / "in.png"), str(tmp_path / "out.png"), option]
    result = CliRunner().invoke(main, [*arguments, "--weights", str(weights)])
    assert result.exit_code == 1
    assert f"{option}: these weights are of a Denoiser" in result.stderr
    assert not (tmp_path / "out.png").exists()


def test_command_adapts_and_says_so(tmp_path):
    images.write(tmp_path / "in.png", Picture(rainy(texture())))
    arguments = ["derain", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--adapt"]
    result = CliRunner().invoke(main, [*arguments, "--seconds", "1"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.png").is_file()
    assert "1 restored" in result.stderr


def test_small_and_broken_pictures_are_named_and_the_rest_is_written(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    images.write(source / "good.png", Picture(rainy(texture())))
    images.write(source / "small.png", Picture(texture(side=64)))
    (source / "torn.png").write_bytes(b"no picture")
    arguments = ["derain", str(source), str(tmp_path / "out"), "--adapt", "--seconds", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]
    assert "small.png" in result.stderr
    assert "torn.png" in result.stderr
