"""Remaining rain without a truth, against rain that is known."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from degradations.rain import Rain
from degradations.streaks import streak_layer
from ssl_restore.evaluation.streak_energy import streak_energy, texture_energy
from ssl_restore.io import images

PHOTO = Path(__file__).parents[1] / "data_samples" / "photos" / "carcassonne.jpg"
SIDE = 192
RAIN = Rain(
    rain_free=0,
    angle_rad=(0.2, 0.2), population_spread_rad=(1e-6, 1e-6), angle_spread_rad=(0.02, 0.02),
    length_px=(40, 40), length_spread=(0.1, 0.1), width_px=(1.8, 1.8), width_spread=(0.1, 0.1),
    brightness=(0.25, 0.25), brightness_spread=(0.2, 0.2), coverage=(0.15, 0.15), ceiling=(10, 10),
    populations=(1, 1), ripple=(0, 0),
)  # fmt: skip
ALONG = torch.tensor([0.2])


def rain(seed=0, **changes):
    prior = Rain(**{**vars(RAIN), **changes})
    generator = torch.Generator().manual_seed(seed)
    return streak_layer(prior.sample((1, 3, SIDE, SIDE), generator), SIDE, SIDE)


@pytest.fixture(scope="module")
def photo():
    whole = images.to_tensor(images.read(PHOTO).pixels)
    return whole[:, :, 40 : 40 + SIDE, 60 : 60 + SIDE]


def noise(size=SIDE):
    return 0.1 * torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))


def bright_lines(picture, angle, sigma):
    """The slow version: every pixel by itself, the filter as a sampled kernel; mean of max(r,0)^2.

    -d^2/dn^2 of a Gaussian (sigma across n, 8 sigma along) is (1 - n^2 / sigma^2) / sigma^2 of it.
    """
    grey = picture[0].mean(0).double().numpy()
    reach = math.ceil(24 * sigma)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float)
    n = x * math.cos(angle) - y * math.sin(angle)
    d = x * math.sin(angle) + y * math.cos(angle)
    weight = np.exp(-(n**2) / (2 * sigma**2) - d**2 / (2 * (8 * sigma) ** 2))
    weight *= 2 * math.sqrt(2) * (1 - n**2 / sigma**2) / (2 * math.pi * 8 * sigma**2)
    height, width = grey.shape
    total, count = 0.0, 0
    for row in range(reach, height - reach):
        for column in range(reach, width - reach):
            window = grey[row - reach : row + reach + 1, column - reach : column + reach + 1]
            total += max(0.0, float((weight * window).sum())) ** 2
            count += 1
    return total / count


@pytest.mark.parametrize("sigma", [1.3, 1.5])  # at 1, a sampled kernel is coarse
def test_it_is_the_sum_over_pixels_and_a_sampled_kernel(sigma):
    picture = rain()[:, :, :84, :80].expand(-1, 3, -1, -1) + noise()[:, :, :84, :80]
    expected = bright_lines(picture, 0.2, sigma) - 0.5 * sum(
        bright_lines(picture, 0.2 + side * math.radians(20), sigma) for side in (-1, 1)
    )
    found = streak_energy(picture, ALONG, sigma).item()
    assert found == pytest.approx(expected, rel=0.02)


def test_a_long_streak_answers_its_brightness_at_its_core():
    x = torch.arange(128.0) - 64
    picture = 0.5 + 0.3 * torch.exp(-(x**2) / 2).expand(1, 3, 128, 128)
    n = torch.linspace(-8, 8, 1601)
    response = 0.3 * (1 - n**2 / 2) * torch.exp(-(n**2) / 4)  # of the Gaussian of variance 2
    expected = response.clamp_min(0).square().mean() * 16 / (128 - 48)
    found = streak_energy(picture, torch.zeros(1)).item()
    assert found == pytest.approx(expected.item(), rel=0.1)  # a little is seen 20 degrees off


def test_on_a_flat_ground_it_grows_with_the_square_of_the_brightness():
    layer = rain()
    one, two = (streak_energy(0.3 + s * layer, ALONG) for s in (1, 2))
    torch.testing.assert_close(two, 4 * one, rtol=1e-3, atol=0)


@pytest.mark.parametrize("angle", [-0.6, 0.0, 0.2, 1.4])
def test_rain_is_seen_along_it_and_not_across(angle):
    picture = rain(angle_rad=(angle, angle)) + 0.3
    there, mirrored, across = (
        streak_energy(picture, torch.tensor([a])).item()
        for a in (angle, angle + 0.9, angle + math.pi / 2)
    )
    assert there > 0
    assert abs(mirrored) < 0.05 * there
    assert abs(across) < 0.05 * there


def test_a_mirrored_picture_has_the_energy_of_the_mirrored_angle(photo):
    picture = photo + rain()
    torch.testing.assert_close(
        streak_energy(picture.flip(3), -ALONG), streak_energy(picture, ALONG), rtol=1e-3, atol=1e-9
    )


def test_noise_without_direction_cancels():
    picture = 0.5 + noise()
    rainy = streak_energy(0.5 + rain(), ALONG).item()
    assert abs(streak_energy(picture, ALONG).item()) < 0.01 * rainy
    assert texture_energy(picture, ALONG).item() > 0.01 * rainy


def test_a_clean_photograph_has_little_and_the_same_with_noise_or_rounding(photo):
    rainy = streak_energy(photo + rain(), ALONG).item()
    clean = streak_energy(photo, ALONG).item()
    assert abs(clean) < 0.1 * rainy
    noisy = streak_energy(photo + 0.2 * noise(), ALONG).item()
    assert abs(noisy - clean) < 0.02 * rainy


def test_it_falls_with_every_part_of_the_rain_taken_away(photo):
    layer = rain()
    left = [streak_energy(photo + s * layer, ALONG).item() for s in (1, 0.8, 0.6, 0.4, 0.2, 0)]
    assert all(more > less for more, less in pairwise(left))


def test_it_orders_pictures_by_the_light_of_their_rain(photo):
    amounts, energies = [], []
    for seed, (brightness, coverage) in enumerate(
        [(0.04, 0.05), (0.08, 0.1), (0.15, 0.1), (0.3, 0.1), (0.3, 0.25), (0.5, 0.3)]
    ):
        layer = rain(seed, brightness=(brightness,) * 2, coverage=(coverage,) * 2)
        amounts.append(layer.square().mean().item())
        energies.append(streak_energy(photo + layer, ALONG).item())
    assert np.array_equal(np.argsort(amounts), np.argsort(energies))


def test_dark_lines_count_about_half_of_bright_ones():
    bright, dark = (streak_energy(0.5 + s * rain(), ALONG).item() for s in (1, -1))
    assert 0.3 * bright < dark < 0.6 * bright


def test_wide_streaks_answer_to_a_wide_filter():
    """A picture of twice the size has the energy that it had, with twice the sigma."""
    layer = rain(length_px=(60, 60), width_px=(3, 3))
    larger = torch.nn.functional.interpolate(layer, scale_factor=2, mode="bicubic")
    one, two = streak_energy(layer, ALONG, 1.0), streak_energy(larger, ALONG, 2.0)
    torch.testing.assert_close(two, one, rtol=0.05, atol=0)


def test_rain_leaves_the_texture_energy_and_a_blur_takes_it(photo):
    before = texture_energy(photo, ALONG).item()
    assert texture_energy(photo + rain(), ALONG).item() == pytest.approx(before, rel=0.15)
    blurred = torch.nn.functional.avg_pool2d(photo, 5, 1, 2)
    assert texture_energy(blurred, ALONG).item() < 0.3 * before


def test_each_picture_of_a_batch_has_its_own_angle(photo):
    pictures = torch.cat([photo + rain(), photo + rain(1, angle_rad=(-0.4, -0.4))])
    angles = torch.tensor([0.2, -0.4])
    for measure in (streak_energy, texture_energy):
        singly = torch.cat(
            [measure(p[None], a[None]) for p, a in zip(pictures, angles, strict=True)]
        )
        torch.testing.assert_close(measure(pictures, angles), singly)


def test_a_picture_that_is_all_border_is_refused():
    with pytest.raises(ValueError, match="above 48 pixels for sigma 1, got 60x48"):
        streak_energy(torch.zeros(1, 3, 48, 60), ALONG)
