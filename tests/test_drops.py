"""Drops on the lens: what refraction must do, whatever the picture."""

from __future__ import annotations

import pytest
import torch

from degradations.drops import DropsParams, add_drops


def drop(bend=3.0, light=1.0, radius=10.0, present=True):
    one = torch.ones(1, 1, dtype=torch.float64)
    return DropsParams(20 * one, 16 * one, radius * one, bend * one, light * one, one * present > 0)


def ramp_down():
    rows = torch.linspace(0, 1, 33, dtype=torch.float64).view(1, 1, -1, 1)
    return rows.expand(1, 3, 33, 41).contiguous()


def test_outside_the_drop_the_picture_is_as_it_was():
    image = torch.rand(1, 3, 33, 41, generator=torch.Generator().manual_seed(0)).double()
    wet = add_drops(image, drop(light=0.5))
    y, x = torch.meshgrid(torch.arange(33), torch.arange(41), indexing="ij")
    outside = (x - 20) ** 2 + (y - 16) ** 2 >= 100
    torch.testing.assert_close(wet[..., outside], image[..., outside])
    assert (wet != image)[..., ~outside].any()


@pytest.mark.parametrize("params", [drop(bend=0.0), drop(present=False)])
def test_a_flat_drop_and_an_absent_one_are_not_seen(params):
    torch.testing.assert_close(add_drops(ramp_down(), params), ramp_down())


def test_even_light_passes_unchanged_but_for_what_is_lost():
    even = torch.full((1, 3, 33, 41), 0.5, dtype=torch.float64)
    torch.testing.assert_close(add_drops(even, drop()), even)
    assert add_drops(even, drop(light=0.6))[0, 0, 16, 20] == pytest.approx(0.3)


def test_light_is_bent_along_the_slope_of_the_dome():
    # h = (1 - r^2)^2: its slope is -4 (1 - r^2) (x - c) / radius^2, and bends towards the middle.
    ramps = torch.stack(torch.meshgrid(torch.arange(33.0), torch.arange(41.0), indexing="ij"))
    places = ramps[None].double() / 41  # the picture shows where each pixel looks
    seen = (add_drops(places, drop(bend=0.4, radius=14.0)) - places) * 41
    y, x = (ramps.double() - torch.tensor([16.0, 20.0]).view(2, 1, 1)).unbind(0)
    place = torch.stack([y, x]).requires_grad_()
    height = (1 - place.square().sum(0) / 14**2).square()
    (slope,) = torch.autograd.grad(height.sum(), place)
    core = y.square() + x.square() < 0.7 * 14**2
    expected = 0.4 * 14**2 / 4 * slope
    torch.testing.assert_close(seen[0][:, core], expected[:, core], rtol=0, atol=1e-9)


@pytest.mark.parametrize("bend", [0.5, 1.0, 3.0])
def test_the_middle_shows_the_scene_scaled_and_upside_down_above_one(bend):
    wet, rain_free = add_drops(ramp_down(), drop(bend, radius=40.0)), ramp_down()
    slope = (wet[0, 0, 17, 20] - wet[0, 0, 15, 20]) / (
        rain_free[0, 0, 17, 20] - rain_free[0, 0, 15, 20]
    )
    assert slope.item() == pytest.approx(1 - bend, abs=0.01)
