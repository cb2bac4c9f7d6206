"""Shadows: light that is missing, in linear light."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from degradations.color import to_display, to_linear
from degradations.shadow import CastShadow, Shadow, ShadowParams, add_shadow, shadow_mask
from degradations.shadow_shapes import SHAPES, shadow_field


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_umbra_keeps_the_gain_of_each_channel_and_the_light_keeps_all():
    field = torch.tensor([[-1.0, 1.0]]).view(1, 1, 1, 2)
    gain = torch.tensor([[0.2, 0.3, 0.5]])
    params = ShadowParams(field, torch.zeros(1), torch.tensor([1e-3]), gain)
    image = torch.rand(1, 3, 1, 2, generator=stream())
    shaded = add_shadow(image, params)
    torch.testing.assert_close(shaded[..., 0], image[..., 0])
    expected = to_display(to_linear(image[..., 1]) * gain[:, :, None])
    torch.testing.assert_close(shaded[..., 1], expected)


def test_a_shadow_that_keeps_all_light_is_none():
    params = Shadow().sample((2, 3, 9, 11), stream())
    image = torch.rand(2, 3, 9, 11, generator=stream(1))
    params = dataclasses.replace(params, gain=torch.ones(2, 3))
    torch.testing.assert_close(add_shadow(image, params), image)


def test_a_shadow_takes_the_same_share_of_any_light_and_two_shadows_do_in_any_order():
    first, second = (Shadow().sample((2, 3, 9, 11), stream(seed)) for seed in (1, 2))
    light = 0.2 + 0.8 * torch.rand(2, 3, 9, 11, generator=stream(3))
    share = to_linear(add_shadow(to_display(light), first)) / light
    dimmer = to_linear(add_shadow(to_display(0.4 * light), first)) / (0.4 * light)
    torch.testing.assert_close(share, dimmer, rtol=1e-4, atol=1e-5)
    assert share.max() <= 1.00001
    there = add_shadow(add_shadow(light, first), second)
    torch.testing.assert_close(there, add_shadow(add_shadow(light, second), first))


def test_half_of_the_light_is_lost_at_the_level():
    field = torch.full((1, 1, 1, 1), 0.7)
    params = ShadowParams(field, torch.tensor([0.7]), torch.tensor([0.1]), torch.zeros(1, 3))
    assert shadow_mask(params).item() == 0.5


def test_the_sky_lights_the_umbra_blue():
    gain = Shadow(blue=(0.1, 0.15)).sample((8, 3, 4, 4), stream()).gain
    assert (gain[:, 2] > gain[:, 0]).all()


def test_smooth_shadows_are_what_they_were():
    params = Shadow().sample((1, 3, 9, 11), stream())
    shaded = add_shadow(torch.full((1, 3, 9, 11), 0.5), params)
    golden = [0.3551, 0.4999, 0.5, 0.5, 0.3704, 0.4999, 0.5, 0.5, 0.385, 0.5, 0.5, 0.5]
    assert shaded[0, :, 4, ::3].flatten().tolist() == pytest.approx(golden, abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_asked_share_of_the_picture_lies_in_shadow(shape):
    prior = CastShadow(shapes=(shape,))
    shares = (shadow_mask(prior.sample((12, 3, 60, 80), stream(3))) > 0.5).double().mean((1, 2, 3))
    assert shares.min() > 0.04
    assert shares.max() < 0.71
    assert shares.std() > 0.05
    half = CastShadow(shapes=(shape,), coverage=(0.5, 0.5)).sample((4, 3, 60, 80), stream(4))
    share = (shadow_mask(half) > 0.5).double().mean((1, 2, 3))
    torch.testing.assert_close(share, torch.full((4,), 0.5).double(), atol=0.01, rtol=0)


@pytest.mark.parametrize("shape", ["walls", "polygon", "poles", "limbs"])
def test_fields_are_distances_in_pixels_where_edges_are_straight(shape, monkeypatch):
    monkeypatch.setattr("degradations.shadow_shapes._RAGGED", (0.0, 0.0))
    for seed in range(4):
        field, _ = shadow_field(90, 120, shape, (0.3, 0.3), stream(seed))
        down, across = torch.gradient(field.double())
        slope = torch.hypot(down, across)
        assert slope.max() < 1.42  # of two edges, where they meet
        assert (slope > 0.99).double().mean() > 0.7


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (300, 2)])
@pytest.mark.parametrize("shape", SHAPES)
def test_pictures_of_any_size_have_fields(shape, size):
    field, level = shadow_field(*size, shape, (0.05, 0.7), stream(5))
    assert field.shape == size
    assert field.isfinite().all()
    assert field.min() <= level <= field.max()


def test_the_penumbra_is_as_wide_as_its_map_says():
    ramp = torch.linspace(-20, 20, 401, dtype=torch.float64).view(1, 1, 1, -1).repeat(1, 1, 2, 1)
    wider = torch.tensor([1.0, 3.0], dtype=torch.float64).view(1, 1, 2, 1).expand_as(ramp)
    one = torch.ones(1, dtype=torch.float64)
    params = ShadowParams(ramp, 0 * one, one, torch.full((1, 3), 0.3), penumbra=wider)
    mask = shadow_mask(params)[0, 0]
    widths = ((mask > 0.1) & (mask < 0.9)).sum(1)
    assert (widths[1] / widths[0]).item() == pytest.approx(3, abs=0.1)


def test_light_in_the_umbra_varies_and_that_beside_it_does_not():
    params = CastShadow(attenuation=(0.3, 0.4)).sample((2, 3, 30, 40), stream(6))
    params = dataclasses.replace(params, softness=torch.full((2,), 1e-3))
    light = torch.full((2, 3, 30, 40), 0.5)
    share = to_linear(add_shadow(to_display(light), params)) / light
    mask = shadow_mask(params).expand_as(share)
    gain = params.gain[:, :, None, None] * params.attenuation
    torch.testing.assert_close(share[mask < 1e-6], torch.ones(()).expand(int((mask < 1e-6).sum())))
    dark = mask > 1 - 1e-6
    torch.testing.assert_close(share[dark], gain[dark], atol=1e-4, rtol=1e-3)
    assert share[dark].max() <= 1.0001


def test_cast_shadows_are_blue_and_never_add_light():
    params = CastShadow(gain=(0.9, 1.0), blueness=(1.5, 2.0)).sample((16, 3, 8, 8), stream(7))
    image = torch.rand(16, 3, 8, 8, generator=stream(8))
    assert (add_shadow(image, params) <= image + 1e-5).all()
    gain = CastShadow().sample((16, 3, 4, 4), stream(7)).gain
    assert (gain[:, 2] >= gain[:, 0]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shapes": ("cube",)}, "shapes must be some of walls, polygon, .*'cube'"),
        ({"coverage": (0.5, 1.5)}, "coverage must be at least 0 and at most 1"),
        ({"softness_px": (0.0, 1.0)}, "softness_px must be above 0"),
    ],
)
def test_a_prior_that_cannot_be_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        CastShadow(**change)
