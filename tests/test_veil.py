"""The veil of heavy rain: its laws, its limits, and the same veil in rain."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from degradations.rain import Rain, add_rain
from degradations.veil import Veil, VeilParams, add_veil


def picture(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)).double()


def veil(depth, airlight=0.8):
    return VeilParams(torch.full((2, 1, 1, 1), depth), torch.full((2, 3), airlight))


def test_optical_depths_of_two_veils_of_one_airlight_add_up():
    image = picture(2, 3, 6, 5)
    twice = add_veil(add_veil(image, veil(0.3)), veil(0.5))
    torch.testing.assert_close(twice, add_veil(image, veil(0.8)), rtol=1e-6, atol=1e-6)


def test_no_depth_leaves_the_picture_and_a_great_one_the_airlight():
    image = picture(2, 3, 6, 5)
    assert torch.equal(add_veil(image, veil(0.0)), image)
    far = add_veil(image, veil(100.0, airlight=0.7))
    torch.testing.assert_close(far, torch.full_like(far, 0.7), rtol=1e-6, atol=1e-6)


def test_an_even_veil_is_that_of_rain_without_streaks():
    image = picture(1, 3, 12, 10).float()
    rain = Rain(rain_free=1, veil=1, transmission=(0.7, 0.7), airlight=(0.6, 0.6))
    params = rain.sample((1, 3, 12, 10), torch.Generator().manual_seed(0))
    depth = -params.transmission.log().view(1, 1, 1, 1)
    alike = add_veil(image, VeilParams(depth, params.airlight.view(1, 1).expand(1, 3)))
    torch.testing.assert_close(add_rain(image, params), alike)


def test_the_prior_keeps_its_ranges_and_grows_with_the_distance():
    drawn = Veil(optical_depth=(0.4, 1.0), even=0.0).sample(
        (64, 3, 24, 24), torch.Generator().manual_seed(0)
    )
    assert drawn.optical_depth.amax(dim=(1, 2, 3)).min() >= 0.4 - 1e-6
    assert drawn.optical_depth.max() <= 1.0 + 1e-6
    top, bottom = drawn.optical_depth[:, :, :6].mean(), drawn.optical_depth[:, :, -6:].mean()
    assert top > 2 * bottom  # the ground is near below and far above


def test_a_map_of_another_size_and_a_depth_below_0_are_refused():
    image = picture(2, 3, 6, 5)
    wrong = dataclasses.replace(veil(0.3), optical_depth=torch.zeros(2, 1, 5, 5))
    with pytest.raises(ValueError, match="optical_depth must have the shape"):
        add_veil(image, wrong)
    with pytest.raises(ValueError, match="optical_depth must be at least 0"):
        add_veil(image, veil(-0.1))
