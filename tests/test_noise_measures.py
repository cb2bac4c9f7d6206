"""What `calibrate --noise` tells beside strength: of channels, of the range, of odd pictures."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.fft import dctn
from scipy.optimize import nnls

import ssl_restore_samples
from degradations import CameraNoise, Grain, SaltPepper, degrade
from ssl_restore import rng
from ssl_restore.calibration import noise as noise_calibration
from ssl_restore.calibration.flat_patches import channel_correlation, patches, spectra, usable
from ssl_restore.calibration.noise import NoiseCalibration, PictureNoise, measure, measure_pixels
from ssl_restore.calibration.noise_sample import sample_of
from ssl_restore.errors import UserError
from ssl_restore.evaluation.noise_left import noise_and_texture_left
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.io.used_range import used_white
from ssl_restore.recipes.from_noisy import chosen_strength
from ssl_restore_cli.main import main

PHOTOS = ("cow.jpg", "fjord_turquoise.jpg", "petra.jpg")
WHITE = {"size_px": (0.2, 0.2), "midtones": (0, 0), "tilt": (0, 0)}


@pytest.fixture(scope="module")
def photographs():
    folder = ssl_restore_samples.photographs()
    whole = (images.to_tensor(images.read(folder / name).pixels) for name in PHOTOS)
    return [image[:, :, :256, :256] for image in whole]


def stored(values, most=255, dtype=np.uint8):
    """(1, 3, H, W) -> (H, W, 3), as a file holds it whose white is `most`."""
    return np.rint(values[0].permute(1, 2, 0).clamp(0, 1).numpy() * most).astype(dtype)


def noisy(clean, prior, index=0, **file):
    return stored(degrade(clean, prior, rng.derive(3, "noise", index)), **file)


def median(photographs, prior, name):
    rows = [measure_pixels("x", noisy(clean, prior, i)) for i, clean in enumerate(photographs)]
    return float(np.median([getattr(row, name) for row in rows]))


# Channels


@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_correlation_of_channels_is_told_to_a_twentieth(photographs, shared):
    prior = Grain(sigma=(0.1, 0.1), shared=(shared, shared), **WHITE)
    assert median(photographs, prior, "channel_correlation") == pytest.approx(shared, abs=0.06)
    assert median(photographs, prior, "level") == pytest.approx(0.1, rel=0.12)


def test_coarse_grain_of_one_luma_is_shared_by_channels_and_neighbours(photographs):
    prior = Grain(sigma=(0.1, 0.1), shared=(1, 1), size_px=(0.8, 0.8))
    assert median(photographs, prior, "channel_correlation") > 0.9
    assert median(photographs, prior, "correlation") > 0.5


def test_noise_of_a_camera_is_shared_by_neighbours(photographs):
    prior = CameraNoise(iso=(6400, 6400), full_well=(1e4, 1e4), hot_share=(0, 0))
    assert median(photographs, prior, "correlation") > 0.3


def test_correlation_of_channels_is_that_of_all_pixels_of_noise_alone():
    draws = np.random.default_rng(0)
    common, own = draws.normal(size=(96, 96)), draws.normal(size=(3, 96, 96))
    strengths = np.array([1.0, 2.0, 0.5])[:, None, None]  # as after white balance
    planes = 0.5 + 0.02 * strengths * (0.6**0.5 * common + 0.4**0.5 * own)
    told = channel_correlation(list(planes.astype(np.float32)), 4)
    pairs = [np.corrcoef(planes[i].ravel(), planes[j].ravel())[0, 1] for i in range(3)
             for j in range(i)]  # fmt: skip
    assert told == pytest.approx(np.mean(pairs), abs=0.05)


def test_channels_that_are_one_share_everything_and_are_measured_as_one(photographs):
    grey = photographs[0][:, :1] + 0.1 * torch.randn(1, 1, 256, 256, generator=rng.derive(0, "n"))
    three = stored(grey.expand(-1, 3, -1, -1))
    one, all_three = measure_pixels("x", three[:, :, :1]), measure_pixels("x", three)
    assert (one.channel_correlation, all_three.channel_correlation) == (0, 1)
    assert replace(all_three, channel_correlation=0.0) == one


def test_two_channels_equal_and_one_not_are_in_between(photographs):
    picture = noisy(photographs[1], Grain(sigma=(0.1, 0.1), shared=(0, 0), **WHITE))
    picture[:, :, 1] = picture[:, :, 0]
    assert measure_pixels("x", picture).channel_correlation == pytest.approx(1 / 3, abs=0.1)


# The range


@pytest.mark.parametrize("bits", [8, 10, 12, 15, 16])
def test_white_is_that_of_the_bits_that_are_used(photographs, bits):
    picture = noisy(photographs[0], Grain(sigma=(0.1, 0.1)), most=2**bits - 1, dtype=np.uint16)
    assert used_white(picture) == 2**bits - 1
    picture[100, 100] = picture[7, 30, 1] = 65535  # hot
    assert used_white(picture) == 2**bits - 1


def test_white_of_eight_bits_is_255_whatever_they_use():
    assert used_white(np.full((20, 20, 3), 3, np.uint8)) == 255


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (2, 2), (200, 3)])
def test_white_of_the_smallest_pictures_and_of_black_is_told(size):
    assert used_white(np.zeros((*size, 1), np.uint16)) == 255
    assert used_white(np.full((*size, 3), 60_000, np.uint16)) == 65535


def test_numbers_are_relative_to_the_white_that_is_used(photographs):
    prior = Grain(sigma=(0.1, 0.1), shared=(0, 0), **WHITE)
    eight = measure_pixels("x", noisy(photographs[1], prior))
    ten = measure_pixels("x", noisy(photographs[1], prior, most=1023, dtype=np.uint16))
    assert ten.white == pytest.approx(1023 / 65535)
    assert ten.level == pytest.approx(eight.level, rel=0.02)
    assert eight.white == 1


def test_learning_gets_the_strength_in_units_of_the_file(tmp_path):
    row = PictureNoise("a", 0.01, 0.02, 0.07, 0.1, 1.0, 0.0, 0.0, white=1 / 16)
    NoiseCalibration((row,)).write(tmp_path / "noise.json")
    gain, sigma, _ = chosen_strength(0.0, 0.0, str(tmp_path / "noise.json"))
    assert (gain, sigma) == pytest.approx((0.01 / 16, 0.02 / 16), rel=1e-4)


def test_noise_left_is_the_same_share_in_ten_bits(photographs):
    clean, prior = photographs[0], Grain(sigma=(0.1, 0.1), shared=(0, 0), **WHITE)
    shares = []
    for most, dtype in ((255, np.uint8), (1023, np.uint16)):
        pair = [stored(image, most, dtype) for image in
                (degrade(clean, prior, rng.derive(0, "n")), clean)]  # fmt: skip
        shares.append(noise_and_texture_left(*pair)["noise_left"])
    assert shares[0] == pytest.approx(shares[1], rel=0.1)


# Odd pictures


def test_margins_of_one_colour_are_not_taken_for_the_absence_of_noise(photographs):
    picture = noisy(photographs[0], Grain(sigma=(0.1, 0.1), shared=(0, 0), **WHITE))
    picture[:80] = picture[-80:] = 30
    assert measure_pixels("x", picture).level == pytest.approx(0.1, rel=0.15)


def test_patches_of_one_value_tell_of_noise_where_all_are():
    given = patches(np.full((80, 80), 0.4, np.float32), 4)
    assert usable(given).all()
    given = np.concatenate([given, np.random.default_rng(0).random((150, 8, 8), np.float32)])
    assert usable(given).sum() == 150


def of_odd_pictures():
    draws = np.random.default_rng(0)
    ramp = np.tile(np.arange(128, dtype=np.uint8)[:, None, None] + 60, (1, 128, 3))
    yield "one colour", np.full((128, 128, 3), (20, 90, 200), np.uint8), {"level": 0}
    yield "only noise", draws.integers(0, 256, (128, 128, 3), np.uint8), {"correlation": 0}
    yield "ramp", ramp, {"level": 0, "impulse_share": 0}
    yield "stripes", np.tile(np.uint8([[[70], [180]]]), (128, 64, 3)), {"impulse_share": 0}


@pytest.mark.parametrize(("name", "picture", "expected"), list(of_odd_pictures()))
def test_odd_pictures_have_finite_numbers(name, picture, expected):
    row = measure_pixels(name, picture)
    assert all(np.isfinite(getattr(row, f.name)) for f in fields(row) if f.name != "file")
    for field, value in expected.items():
        assert getattr(row, field) == pytest.approx(value, abs=0.05)


@pytest.mark.parametrize("value", [0, 255])
def test_black_white_and_one_bit_pictures_are_refused_by_name(value):
    flat = np.full((90, 90, 3), value, np.uint8)
    one_bit = (np.random.default_rng(0).random((90, 90, 1)) < 0.5) * np.uint8(255)
    for picture in (flat, one_bit):
        with pytest.raises(UserError, match=r"x\.png: black or white pixels nearly everywhere"):
            measure_pixels("x.png", picture)


def test_impulses_hide_no_other_noise_which_hides_some_of_them(photographs):
    clean = degrade(photographs[1], Grain(sigma=(0.08, 0.08), shared=(0, 0), **WHITE),
                    rng.derive(0, "grain"))  # fmt: skip
    picture = noisy(clean, SaltPepper(share=(0.05, 0.05), salt=(0.5, 0.5)))
    row = measure_pixels("x", picture)
    assert 0.015 < row.impulse_share < 0.055
    assert row.level == pytest.approx(0.08, rel=0.2)


# The parts


def test_spectra_are_those_of_the_cosine_transform():
    given = np.random.default_rng(0).random((20, 8, 8), np.float32)
    np.testing.assert_allclose(spectra(given), dctn(given, axes=(1, 2), norm="ortho"), atol=1e-5)


def test_weights_at_least_0_are_those_of_scipy():
    draws = np.random.default_rng(0)
    for _ in range(50):
        columns, target = draws.normal(size=(9, 2)), draws.normal(size=9)
        expected, _ = nnls(columns, target)
        found = noise_calibration._at_least_0(columns[:, 0], columns[:, 1], target)
        assert found == pytest.approx(tuple(expected), abs=1e-9)


# Samples, files, commands


def test_a_sample_tells_what_the_whole_picture_tells(photographs):
    whole = np.tile(noisy(photographs[0], Grain(sigma=(0.1, 0.1), shared=(0, 0), **WHITE)),
                    (4, 3, 1))  # fmt: skip
    sample = sample_of(whole)
    assert sample.shape == (384, 384, 3)
    one, other = (measure("x", noise_calibration.display_values(p)) for p in (whole, sample))
    assert other.level == pytest.approx(one.level, rel=0.05)
    small = whole[:100, :384]
    assert np.array_equal(sample_of(small), small)


def test_file_of_the_format_before_is_read(tmp_path):
    path = tmp_path / "noise.json"
    row = PictureNoise("a.png", 0.01, 0.02, 0.07, 0.4, 2.0, 0.01)
    NoiseCalibration((row,)).write(path)
    content = json.loads(path.read_text())
    content["format"] = 1
    for picture in content["pictures"]:
        del picture["channel_correlation"], picture["white"]
    path.write_text(json.dumps(content))
    assert noise_calibration.read(path) == NoiseCalibration((row,))


def test_command_tells_channels_and_range(tmp_path, photographs):
    prior = Grain(sigma=(0.1, 0.1), shared=(1, 1), **WHITE)
    picture = noisy(photographs[0], prior, most=1023, dtype=np.uint16)
    images.write(tmp_path / "a.png", Picture(picture))
    call = ["calibrate", "--noise", str(tmp_path / "a.png"), "-o", str(tmp_path / "n.json")]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line.split()[2] for line in result.stdout.splitlines()[2:]}
    assert float(rows["channel_correlation"]) > 0.9
    assert float(rows["white"]) == pytest.approx(1023 / 65535, abs=1e-3)
