"""Shadows: light that is missing, in linear light."""

from __future__ import annotations

import dataclasses

import torch

from degradations.color import to_display, to_linear
from degradations.shadow import Shadow, ShadowParams, add_shadow, shadow_mask


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
