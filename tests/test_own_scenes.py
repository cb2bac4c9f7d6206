"""Rain on scenes of the user's own pictures."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from tiny import Untouched, random_restorer

from degradations.rain import Rain
from ssl_restore import discover, rng
from ssl_restore.objectives.own_scenes import OwnScenes
from ssl_restore.objectives.rain_transfer import RainTransfer
from ssl_restore.objectives.synthetic_rain import EXPOSURE, WIDE, SyntheticRain
from ssl_restore.types import Batch

RAIN = Rain(rain_free=0.0)


def patches(seed=0, count=4, size=32):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_what_the_start_restores_is_turned_by_a_quarter():
    given = patches()
    scenes = OwnScenes(random_restorer(), Untouched(), RAIN).pseudo_clean(given)
    assert torch.equal(scenes, given.transpose(2, 3).flip(2))


def test_the_start_restores_as_thoroughly_as_it_can():
    start = random_restorer(thorough=True)
    given = patches(count=1)
    scene = OwnScenes(random_restorer(), copy.deepcopy(start), RAIN).pseudo_clean(given)
    most, usual = (
        start.layers(given, thorough=torch.tensor([told]))["clean"].clamp(0, 1) for told in (1, 0.5)
    )
    assert torch.equal(scene, most.transpose(2, 3).flip(2))
    assert not torch.allclose(most, usual, atol=1e-3)


def test_rain_is_rendered_on_what_was_restored_and_not_on_photographs():
    own = OwnScenes(random_restorer(), Untouched(), RAIN)
    given = Batch(clean=patches(1), degraded=patches(2), warm=True)
    other = replace(given, clean=patches(3))
    one, two = (own.prepare(batch, rng.derive(0, "own")) for batch in (given, other))
    assert torch.equal(one.rainy, two.rainy)
    changed = own.prepare(replace(given, degraded=patches(4)), rng.derive(0, "own"))
    assert not torch.equal(changed.veiled, one.veiled)


def transfer(wide_share):
    restorer = random_restorer()
    return RainTransfer(
        restorer, copy.deepcopy(restorer), RAIN,
        share=0.5, gain=(1.0, 1.0), threshold=0.01, coarse=0.0,
        wide=SyntheticRain(restorer, RAIN, EXPOSURE, WIDE), wide_share=wide_share,
        own=OwnScenes(restorer, Untouched(), RAIN), own_share=0.5,
    )  # fmt: skip


@pytest.mark.parametrize("warm", [True, False])
def test_the_end_of_a_batch_shows_own_scenes_after_a_warm_start(warm):
    given = Batch(clean=torch.zeros(8, 3, 32, 32), degraded=torch.ones(8, 3, 32, 32), warm=warm)
    light = transfer(0.5).prepare(given, rng.derive(0, "own")).veiled.mean(dim=(1, 2, 3))
    assert (light[:4] < 0.2).all()  # rain like that of the pictures
    assert (light[6:] > 0.4).all() == warm


def test_patches_are_larger_where_rain_could_not_be_measured():
    assert discover.recipe("derain_unpaired", {}).patch == 128
    assert discover.recipe("derain_unpaired", {"wide": 0.05}).patch == 64
    assert discover.recipe("derain_unpaired", {"patch": 32}).patch == 32


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("derain_unpaired", {"own": 0.0}), ("derain_unpaired", {"wide": 0.0}),
        ("rrcl", {"own": False}), ("rrcl", {"rehearsal": 0.0}),
    ],
)  # fmt: skip
def test_a_recipe_without_own_scenes_keeps_no_start(name, settings):
    assert discover.recipe(name, settings).anchor is None
    assert discover.recipe(name, {}).anchor is not None
