"""Blur of one layer: what it is at its limits, and what it leaves alone."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from degradations import (
    BlurParams,
    LayeredBlur,
    LayeredBlurParams,
    blur,
    blur_layer,
    to_display,
    to_linear,
)

SIZE = (1, 3, 40, 56)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def picture(seed=0):
    return torch.rand(SIZE, generator=stream(seed), dtype=torch.float64)


def disc_matte(radius=9.0):
    y, x = torch.meshgrid(torch.arange(40.0) - 20, torch.arange(56.0) - 28, indexing="ij")
    return (radius + 0.5 - torch.hypot(x, y)).clamp(0, 1).double().view(1, 1, 40, 56)


def layer(matte=None, length=0.0, radius=0.0, *, behind=False):
    one = torch.ones(1, dtype=torch.float64)
    matte = disc_matte() if matte is None else matte
    return LayeredBlurParams(matte, length * one, one, radius * one, torch.tensor([behind]))


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize(("length", "radius"), [(9.0, 0.0), (0.0, 3.0), (5.0, 2.0)])
def test_a_layer_of_everything_is_blur_of_the_picture(length, radius, behind):
    everything = torch.ones(1, 1, 40, 56, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    expected = blur(picture(), BlurParams(0 * one, radius * one, length * one, one))
    params = layer(everything, length, radius, behind=behind)
    torch.testing.assert_close(blur_layer(picture(), params), expected)


@pytest.mark.parametrize("behind", [False, True])
def test_a_layer_of_nothing_and_one_that_stands_still_are_not_seen(behind):
    nothing = torch.zeros(1, 1, 40, 56, dtype=torch.float64)
    moved = blur_layer(picture(), layer(nothing, 9.0, behind=behind))
    torch.testing.assert_close(moved, picture())
    still = blur_layer(picture(), layer(behind=behind))  # of hard edges: none is half covered
    hard = layer(disc_matte().round(), behind=behind)
    torch.testing.assert_close(blur_layer(picture(), hard), picture())
    assert (still - picture()).abs().mean() < 0.02


@pytest.mark.parametrize("behind", [False, True])
def test_an_even_picture_stays_even(behind):
    even = torch.full(SIZE, 0.5, dtype=torch.float64)
    matte = 0.999 * disc_matte() if not behind else 1 - 0.999 * disc_matte()
    moved = blur_layer(even, layer(matte, 8.0, behind=behind))
    torch.testing.assert_close(moved, even, atol=2e-3, rtol=0)


def test_the_ground_stays_sharp_away_from_the_thing_and_the_thing_is_blurred():
    moved = blur_layer(picture(), layer(length=8.0))
    y, x = torch.meshgrid(torch.arange(40.0) - 20, torch.arange(56.0) - 28, indexing="ij")
    away, within = torch.hypot(x, y) > 15, torch.hypot(x, y) < 5
    torch.testing.assert_close(moved[..., away], picture()[..., away])
    assert moved[..., within].std() < 0.7 * picture()[..., within].std()


def test_a_thing_before_a_moving_ground_stays_sharp_to_its_edge():
    moved = blur_layer(picture(), layer(1 - disc_matte().round(), 8.0, behind=True))
    thing = disc_matte().round()[0, 0] > 0
    torch.testing.assert_close(moved[..., thing], picture()[..., thing])
    assert moved[..., ~thing].std() < 0.7 * picture()[..., ~thing].std()


def test_a_ground_does_not_take_the_light_of_the_thing_before_it():
    thing = disc_matte().round()
    image = to_display((0.2 + 0.7 * thing).expand(SIZE))
    light = to_linear(blur_layer(image, layer(1 - thing, radius=5.0, behind=True)))
    torch.testing.assert_close(light, to_linear(image), atol=1e-6, rtol=0)


def test_a_moving_thing_covers_as_much_ground_as_its_size():
    image = to_display(disc_matte().round().expand(SIZE))  # white before black
    light = to_linear(blur_layer(image, layer(disc_matte().round(), 10.0)))
    assert light.sum().item() == pytest.approx(3 * disc_matte().round().sum().item())
    assert light.max() <= 1 + 1e-9
    assert (light > 0.01).sum() > 1.3 * (to_linear(image) > 0.01).sum()


def test_the_prior_moves_some_layers_and_defocuses_the_others():
    params = LayeredBlur().sample((64, 3, 24, 32), stream(2))
    moves = params.length_px > 0
    assert 0.4 < moves.double().mean() < 0.8
    assert torch.equal(params.radius_px > 0, ~moves)
    area = params.matte.mean((1, 2, 3))
    assert params.behind is not None
    assert area[params.behind].min() > area[~params.behind].median()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"matte": torch.full((1, 1, 40, 56), 1.5)}, "matte must be at least 0 and at most 1"),
        ({"length_px": torch.tensor([60.0])}, r"length_px must be .* at most 56 \(px in a picture"),
        ({"radius_px": torch.tensor([30.0])}, "radius_px must be at least 0 and at most 28"),
        ({"length_px": torch.ones(2)}, "1 images need as many ways, got 2"),
    ],
)
def test_parameters_that_cannot_be_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        blur_layer(picture(), dataclasses.replace(layer(length=math.pi), **change))
