"""Broken pixels: how they are told, and a restorer that gets pictures without them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import Untouched, random_restorer

import ssl_restore_samples
from degradations import SaltPepper, degrade
from ssl_restore import rng
from ssl_restore.calibration.broken_pixels import (
    SORTING_NETWORK,
    Limits,
    limits_of,
    median_around,
    median_of_8,
    mend,
)
from ssl_restore.evaluation.metrics import psnr
from ssl_restore.inference.mended import Mended, mended
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images


@pytest.fixture(scope="module")
def photo():
    pixels = images.read(ssl_restore_samples.photographs() / "fjord_turquoise.jpg").pixels
    return np.ascontiguousarray(pixels[:200, :220])


def broken(photo, share):
    clean = images.to_tensor(photo)
    prior = SaltPepper(share=(share, share), salt=(0.5, 0.5))
    return images.to_pixels(degrade(clean, prior, rng.derive(0, "salt")), photo)


def limits(pixels):
    planes = np.moveaxis(pixels / np.float32(255), 2, 0)
    around = np.stack([median_around(plane) for plane in planes])
    return limits_of(planes - around, around)


def test_the_network_sorts_every_row_of_zeros_and_ones():
    """Which is enough for it to sort whatever there is (the principle of Knuth)."""
    for bits in itertools.product((0, 1), repeat=8):
        values = list(bits)
        for low, high in SORTING_NETWORK:
            values[low], values[high] = sorted((values[low], values[high]))
        assert values == sorted(bits)


def test_median_of_8_is_that_of_numpy():
    values = np.random.default_rng(0).random((8, 5, 6))
    found = median_of_8(list(values), np.minimum, np.maximum)
    np.testing.assert_allclose(found, np.median(values, axis=0))


def test_limit_of_a_brightness_is_five_times_what_is_usual_there():
    around = np.repeat(np.linspace(0, 1, 8, dtype=np.float32), 1000).reshape(80, 100)
    draws = np.random.default_rng(0).normal(size=around.shape)
    found = limits_of((0.1 * around + 0.02) * draws, around)
    levels = np.linspace(0, 1, 8)
    assert found.limits == pytest.approx(5 * (0.1 * levels + 0.02), rel=0.1)
    assert found.at(np.array([-1.0, 2.0], np.float32)).tolist() == pytest.approx(
        [found.limits[0], found.limits[-1]]
    )


def test_a_picture_is_mended_as_its_planes_are(photo):
    """Where no neighbour makes a pixel detail, with limits of one plane."""
    pixels = broken(photo[:, :, :1], 0.1)
    plane = pixels[:, :, 0] / np.float32(255)
    expected, _ = mend(plane)
    found = mended(torch.from_numpy(plane)[None, None], limits(pixels))
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-6)


def test_pixels_with_enough_neighbours_like_them_are_detail():
    image = torch.full((1, 1, 7, 7), 0.5)
    image[..., 3, 1:6] = 0.9  # a line
    image[..., 1, 4] = 0.1  # a pixel
    found = Limits((0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), (0.1,) * 8)
    all_gone, line_stays = (mended(image, replace(found, alike=alike)) for alike in (9, 2))
    assert torch.equal(all_gone, torch.full_like(image, 0.5))
    assert line_stays[0, 0, 3, 2:5].tolist() == pytest.approx([0.9] * 3)
    assert line_stays[0, 0, 1, 4] == 0.5


@pytest.mark.parametrize(("share", "alike", "gain"), [(0.005, 2, 1), (0.06, 3, 10), (0.2, 3, 8)])
def test_mending_brings_a_picture_nearer_to_the_clean_one(photo, share, alike, gain):
    pixels = broken(photo, share)
    restorer = Mended(Untouched(), replace(limits(pixels), alike=alike)).eval()
    restorer.register_parameter("on", torch.nn.Parameter(torch.zeros(1)))  # tiles ask its device
    assert psnr(restore(restorer, pixels, precision="fp32"), photo) > psnr(pixels, photo) + gain


def test_tiles_are_mended_as_the_whole_picture_is(photo):
    pixels = broken(photo, 0.06)
    restorer = Mended(random_restorer(), limits(pixels)).eval()
    whole, tiled = (restore(restorer, pixels, tile=t, precision="fp32") for t in (0, 32))
    assert np.abs(whole.astype(int) - tiled).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 3)])
def test_the_smallest_pictures_are_mended(size):
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    assert mended(image, limits(np.zeros((9, 9, 3), np.uint8))).shape == image.shape
