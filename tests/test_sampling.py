"""Batches degraded with parameters of their own."""

from __future__ import annotations

import pytest
import torch

from degradations import (
    Haze,
    Noise,
    Rain,
    Sensor,
    degrade,
    degrade_chosen,
    degrade_share,
    sample_params,
)

SHAPE = (4, 3, 8, 9)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def image():
    return torch.rand(SHAPE, generator=stream(1))


def test_parameters_are_those_of_the_prior_on_the_device_of_the_image(image):
    params = sample_params(Haze(), image, stream())
    assert torch.equal(params.airlight, Haze().sample(SHAPE, stream()).airlight)
    assert sample_params(Haze(), image.to("meta"), stream()).airlight.device.type == "meta"


def test_a_batch_is_degraded_by_what_was_drawn_for_it(image):
    params = Rain(rain_free=0).sample(SHAPE, stream())
    rainy = degrade(image, Rain(rain_free=0), stream())
    assert torch.equal(rainy, Rain().apply(image, params))


def test_the_chosen_are_degraded_alike_in_all_batches_and_the_others_stay(image):
    chosen = torch.tensor([True, False, True, False])
    zero = torch.zeros_like(image)
    noisy, grain = degrade_chosen(chosen, (image, zero), Noise(gain=(0, 0)), stream())
    assert torch.equal(noisy[~chosen], image[~chosen])
    assert not grain[~chosen].any()
    torch.testing.assert_close(noisy[chosen] - image[chosen], grain[chosen])
    assert grain[chosen].std() > 0.01


def test_none_chosen_draws_nothing_and_changes_nothing(image):
    generator = stream()
    (same,) = degrade_chosen(torch.zeros(4, dtype=torch.bool), (image,), Noise(), generator)
    assert same is image
    assert torch.equal(generator.get_state(), stream().get_state())


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_so_many_of_a_large_batch_are_degraded(share):
    dark = torch.full((400, 1, 1, 1), 0.2)
    bright = degrade_share(share, dark, Sensor(gain=(2, 2)), stream())
    assert (bright > 0.3).float().mean().item() == pytest.approx(share, abs=0.08)
