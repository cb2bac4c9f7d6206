"""Calibration of noise: what it tells of noise that is known, its file, its command, and `fit`."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import save_pictures
from scipy.fft import dctn

import ssl_restore_samples
from degradations.noise import CorrelatedNoise, ImpulseNoise, Noise
from ssl_restore import rng
from ssl_restore.calibration import noise as noise_calibration
from ssl_restore.calibration import rain_file
from ssl_restore.calibration.noise import NoiseCalibration, PictureNoise, measure
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.images import Picture
from ssl_restore.training import checkpoint
from ssl_restore_cli.main import main

MEASURED = PictureNoise("a.png", 0.01, 0.02, 0.07, 0.4, 2.0, 0.01)
PHOTOS = ("cow.jpg", "fjord_turquoise.jpg", "petra.jpg", "gibbon.jpg")


@pytest.fixture(scope="module")
def photographs():
    folder = ssl_restore_samples.photographs()
    whole = (images.to_tensor(images.read(folder / name).pixels) for name in PHOTOS)
    return [image[:, :, :320, :320] for image in whole]


def noisy(clean, prior, index=0, *, stored=True):
    """(H, W, 3) of a photograph (1, 3, H, W) with noise, as a file of 8 bits holds it."""
    generator = rng.derive(7, "noise", index)
    result = prior.apply(clean, prior.sample(tuple(clean.shape), generator))
    if stored:
        result = (result * 255).round().clamp(0, 255) / 255
    return result[0].permute(1, 2, 0).numpy()


def medians(photographs, prior):
    """Of every number the median over the photographs, each of which is measured alone."""
    rows = [measure("x", noisy(clean, prior, i)) for i, clean in enumerate(photographs)]
    return {name: float(np.median([getattr(row, name) for row in rows]))
            for name in PictureNoise.__dataclass_fields__ if name != "file"}  # fmt: skip


def flat(prior, level=0.5, side=240):
    clean = torch.full((1, 3, side, side), level)
    return measure("x", noisy(clean, prior, stored=False))


# Known noise


@pytest.mark.parametrize("sigma", [0.02, 0.15])
def test_white_noise_on_flat_ground_is_told_without_bias(sigma):
    found = flat(Noise(gain=(0, 0), sigma=(sigma, sigma)))
    assert found.level == pytest.approx(sigma, rel=0.02)
    assert found.correlation < 0.05
    assert found.length_px == 1
    assert found.impulse_share < 1e-3


@pytest.mark.parametrize("sigma", [15 / 255, 50 / 255])
def test_gaussian_noise_on_photographs_is_told_to_a_tenth(photographs, sigma):
    found = medians(photographs, Noise(gain=(0, 0), sigma=(sigma, sigma)))
    assert found["level"] == pytest.approx(sigma, rel=0.1)
    assert found["correlation"] < noise_calibration.WHITE_BELOW
    assert found["length_px"] == 1
    assert found["impulse_share"] < 1e-3


@pytest.mark.parametrize(("gain", "sigma"), [(0.02, 0.0), (0.005, 0.05)])
def test_shot_and_read_noise_are_told_apart(photographs, gain, sigma):
    found = medians(photographs, Noise(gain=(gain, gain), sigma=(sigma, sigma)))
    assert found["gain"] == pytest.approx(gain, rel=0.3)
    assert found["sigma"] == pytest.approx(sigma, abs=0.03)
    assert found["level"] == pytest.approx((gain / 2 + sigma**2) ** 0.5, rel=0.1)


@pytest.mark.parametrize(("width", "rho", "length"), [(0.5, 0.26, 2), (0.8, 0.66, (2, 3))])
def test_correlation_of_neighbours_is_told_to_a_tenth(photographs, width, rho, length):
    found = medians(photographs, CorrelatedNoise(sigma=(0.08, 0.08), width_px=(width, width)))
    assert found["correlation"] == pytest.approx(rho, abs=0.1)
    assert found["length_px"] in (length if isinstance(length, tuple) else (length,))
    assert found["level"] == pytest.approx(0.08, rel=0.12)


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_share_of_broken_pixels_is_told_to_a_tenth(photographs, share):
    found = medians(photographs, ImpulseNoise(share=(share, share)))
    assert found["impulse_share"] == pytest.approx(share, rel=0.1)


def test_black_and_white_pixels_are_counted_and_none_is_guessed_beside(photographs):
    rows = []
    for clean in photographs:
        rank = torch.rand(1, 1, *clean.shape[2:], generator=rng.derive(1, "salt"))
        salted = torch.where(rank < 0.03, torch.zeros(()), torch.where(rank > 0.97, 1.0, clean))
        rows.append(measure("x", salted[0].permute(1, 2, 0).numpy()).impulse_share)
    assert np.median(rows) == pytest.approx(0.06, rel=0.1)


def test_clean_photographs_have_little_noise(photographs):
    rows = [measure("x", clean[0].permute(1, 2, 0).numpy()) for clean in photographs]
    assert np.median([row.level for row in rows]) < 0.012
    assert max(row.impulse_share for row in rows) < 0.005


def test_grey_pictures_are_measured_too(photographs):
    grey = noisy(photographs[0][:, :1], Noise(gain=(0, 0), sigma=(0.1, 0.1)))
    assert measure("x", grey).level == pytest.approx(0.1, rel=0.15)


# The parts


def test_correlations_of_a_spectrum_equal_those_of_the_patches_it_was_taken_from():
    """Over random patches of a known covariance, all pairs of pixels counted one by one."""
    draws = np.random.default_rng(0)
    white = draws.normal(size=(20_000, 8, 12)).astype(np.float32)
    patches = sum(w * white[:, :, k : k + 8] for k, w in enumerate((0.5, 1, 0.7)))
    spectrum = (dctn(patches, axes=(1, 2), norm="ortho") ** 2).mean(axis=0)
    across, down = noise_calibration.correlations(spectrum.astype(np.float32))
    total = (patches**2).mean()
    slow = [(patches[:, :, lag:] * patches[:, :, :-lag]).mean() / total for lag in (1, 2, 3, 4)]
    assert across.tolist() == pytest.approx(slow, abs=0.12)  # DCT takes it for reflected
    assert np.abs(down).max() < 0.03


def test_line_is_found_under_points_that_texture_lifted():
    levels = np.linspace(0.05, 0.95, 24)
    variances = 0.01 * levels + 0.02**2
    lifted = variances.copy()
    lifted[::4] *= 3
    for seen in (variances, lifted):
        gain, dark = noise_calibration.fit_line(levels, seen)
        assert gain == pytest.approx(0.01, rel=0.1)
        assert dark == pytest.approx(0.02**2, abs=3e-4)


def test_noise_that_falls_with_the_light_is_taken_for_constant():
    gain, dark = noise_calibration.fit_line(np.linspace(0.1, 0.9, 8), np.linspace(0.02, 0.01, 8))
    assert gain == 0
    assert 0.01 <= dark <= 0.02


def test_mended_pixels_are_the_broken_ones_and_take_the_median_around_them():
    plane = np.random.default_rng(0).normal(0.5, 0.02, (40, 40)).astype(np.float32)
    plane[10, 10] = 0.9
    around = sorted(plane[row, column] for row in (9, 10, 11) for column in (9, 10, 11)
                    if (row, column) != (10, 10))  # fmt: skip
    mended, broken = noise_calibration.mend(plane)
    assert np.argwhere(broken > 0).tolist() == [[10, 10]]
    assert mended[10, 10] == pytest.approx((around[3] + around[4]) / 2)
    assert np.array_equal(np.delete(mended, 410), np.delete(plane, 410))


# Bad input


def write(path, array):
    images.write(path, Picture(array))
    return path


def test_picture_that_cannot_be_measured_is_named_and_the_others_are(tmp_path, photographs):
    good = noisy(photographs[0][:, :, :128, :128], Noise(gain=(0, 0), sigma=(0.1, 0.1)))
    write(tmp_path / "a.png", (good * 255).round().astype(np.uint8))
    write(tmp_path / "black.png", np.zeros((80, 80, 3), np.uint8))
    write(tmp_path / "small.png", np.full((63, 200, 3), 99, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    measured = noise_calibration.calibrate(images.find(tmp_path))
    found, skipped = measured.calibration, measured.skipped
    assert [picture.file for picture in found.pictures] == ["a.png"]
    said = "\n".join(skipped)
    assert "black.png: black or white pixels nearly everywhere" in said
    assert "small.png: 200x63 is too small; 64 pixels are needed" in said
    assert "broken.png: not a PNG" in said


def test_constant_picture_has_no_noise():
    found = measure("x", np.full((100, 100, 3), 0.5, np.float32))
    assert (found.gain, found.sigma, found.impulse_share) == (0, 0, 0)


def test_folder_of_which_nothing_can_be_measured_is_refused(tmp_path):
    path = write(tmp_path / "a.png", np.zeros((80, 80, 3), np.uint8))
    with pytest.raises(UserError, match=r"no picture could be measured.*a\.png"):
        noise_calibration.calibrate([path])


# The file


def test_file_gives_back_what_was_written(tmp_path):
    found = NoiseCalibration((MEASURED, PictureNoise("b.png", 0.0, 0.1, 0.1, 0.0, 1.0, 0.0)))
    found.write(tmp_path / "noise.json")
    assert noise_calibration.read(tmp_path / "noise.json") == found
    folder = json.loads((tmp_path / "noise.json").read_text())["folder"]
    assert folder["sigma"]["median"] == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 99}, "format 99, this version reads 2"),
        ({"kind": "rain"}, "is no calibration of noise"),
        ({"pictures": [{"file": "a"}]}, "damaged"),
        ({"pictures": []}, "damaged"),
        (None, "no calibration"),
    ],
)
def test_file_that_is_none_is_refused(tmp_path, change, said):
    path = tmp_path / "noise.json"
    NoiseCalibration((MEASURED,)).write(path)
    content = json.loads(path.read_text())
    path.write_text("{" if change is None else json.dumps({**content, **change}))
    with pytest.raises(UserError, match=re.escape(said)):
        noise_calibration.read(path)


def test_noise_is_not_read_as_rain(tmp_path):
    NoiseCalibration((MEASURED,)).write(tmp_path / "noise.json")
    with pytest.raises(UserError, match="a calibration of noise, not of rain"):
        rain_file.read(tmp_path / "noise.json")


# The commands


def run(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def folder(tmp_path, photographs):
    """`folder(prior)` writes two noisy crops and names their folder."""

    def make(prior):
        (tmp_path / "noisy").mkdir()
        for i, clean in enumerate(photographs[:2]):
            crop = noisy(clean[:, :, :192, :192], prior, i)
            write(tmp_path / "noisy" / f"{i}.png", (crop * 255).round().astype(np.uint8))
        return tmp_path / "noisy"

    return make


def test_command_prints_and_writes_the_noise(tmp_path, folder):
    pictures = folder(Noise(gain=(0, 0), sigma=(0.1, 0.1)))
    result = run("calibrate", "--noise", pictures, "-o", tmp_path / "noise.json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("2 pictures\n")
    assert "impulse_share" in result.stdout
    found = noise_calibration.read(tmp_path / "noise.json")
    assert found.median("level") == pytest.approx(0.1, rel=0.15)  # small and textured
    again = run("calibrate", "--noise", pictures, "-o", tmp_path / "noise.json")
    assert again.exit_code == 1
    assert "exists; --overwrite replaces it" in again.stderr


def test_options_for_rain_are_refused_with_noise(tmp_path):
    result = run("calibrate", "--noise", tmp_path, "-o", "n.json", "--sheet", "s.png")
    assert result.exit_code == 2
    assert "--sheet" in result.stderr


TINY = ("--set=width=4", "--set=batch=2", "--steps=2")


def learn(pictures, run_folder, recipe, *more):
    result = run("fit", "--images", pictures, "--recipe", recipe, "-o", run_folder, *TINY, *more)
    assert result.exit_code == 0, result.stderr
    return result.stderr, checkpoint.read_header(run_folder / "restorer.safetensors")


def test_fit_notices_noise_that_neighbours_share_and_says_what_it_does(tmp_path, folder):
    pictures = folder(CorrelatedNoise(sigma=(0.1, 0.1), width_px=(0.6, 0.6)))
    said, header = learn(pictures, tmp_path / "run", "neighbor2neighbor")
    assert len(re.findall("neighbouring pixels share their noise", said)) == 1
    assert "every 2nd pixel" in said
    assert (header.network, header.keywords) == ("shuffled", {"width": 4, "shuffle": 2})
    assert header.settings["noise_calibration"] == "noise.json"
    resumed = run("fit", "--resume", tmp_path / "run")
    assert resumed.exit_code == 0, resumed.stderr


def test_fit_takes_white_noise_pixel_by_pixel(tmp_path, folder):
    pictures = folder(Noise(gain=(0, 0), sigma=(0.1, 0.1)))
    said, header = learn(pictures, tmp_path / "run", "neighbor2neighbor")
    assert "share their noise" not in said
    assert header.network == "denoiser"
    assert not (tmp_path / "run" / "rain.json").exists()


def test_shuffle_that_is_given_is_taken_as_it_is(tmp_path, folder):
    pictures = folder(CorrelatedNoise(sigma=(0.1, 0.1), width_px=(0.6, 0.6)))
    said, header = learn(pictures, tmp_path / "run", "noise2void", "--set=shuffle=1")
    assert "share their noise" not in said
    assert header.network == "denoiser"


def test_recorruption_takes_the_measured_strength(tmp_path, folder):
    pictures = folder(Noise(gain=(0.01, 0.01), sigma=(0.02, 0.02)))
    said, _ = learn(pictures, tmp_path / "run", "recorrupted")
    assert "noise measured: variance" in said


def test_fit_goes_on_without_a_calibration_where_nothing_can_be_measured(tmp_path):
    pictures = save_pictures(tmp_path / "in", 2, size=(48, 50))  # too small to be measured
    said, header = learn(pictures, tmp_path / "run", "noise2void")
    assert "not calibrated, learning as if the noise of each pixel were its own" in said
    assert header.network == "denoiser"


def test_restorer_of_whole_pictures_learns_on_every_second_pixel_and_stays_one(tmp_path, folder):
    pictures = folder(CorrelatedNoise(sigma=(0.1, 0.1), width_px=(0.6, 0.6)))
    learn(pictures, tmp_path / "a", "neighbor2neighbor", "--no-calibrate")
    start = tmp_path / "a" / "restorer.safetensors"
    other_draw = ("--start", start, "--seed=1")  # whose first weights would be others
    said, header = learn(pictures, tmp_path / "b", "neighbor2neighbor", *other_draw)
    assert "every 2nd pixel" in said
    assert header.network == "denoiser"
    one, _ = checkpoint.load(start)
    other, _ = checkpoint.load(tmp_path / "b" / "restorer.safetensors")
    far = max((a - b).abs().max().item() for a, b in
              zip(one.parameters(), other.parameters(), strict=True))  # fmt: skip
    assert far < 0.01
    resumed = run("fit", "--resume", tmp_path / "b")
    assert resumed.exit_code == 0, resumed.stderr
