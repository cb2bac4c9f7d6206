"""A derainer that learns from one kind of rain rehearses what it knew of others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from degradations.rain import Rain
from degradations.sensor import Sensor
from ssl_restore import rng
from ssl_restore.networks import unet
from ssl_restore.objectives.rehearsal import Rehearsal
from ssl_restore.objectives.synthetic_rain import SyntheticRain
from ssl_restore.recipes import derain_unpaired, rrcl
from ssl_restore.training import checkpoint, warm_start
from ssl_restore.types import Batch


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = unet.build(width=4, **unet.LEARNED)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return net


@pytest.fixture
def batch():
    clean, degraded = torch.rand(2, 3, 3, 32, 32, generator=rng.derive(0, "patches"))
    return Batch(clean, degraded, warm=True)


def test_after_a_warm_start_it_learns_from_rendered_rain(net, batch):
    learned = SyntheticRain(net, Rain(rain_free=0.0), Sensor())
    objective = Rehearsal(learned)
    known = objective.prepare(batch, rng.derive(0, "r"))
    assert (known.rainy - batch.clean).abs().flatten(1).amax(1).min() > 0.05  # all are rained on
    expected = learned(known, rng.derive(0, "r"))
    assert objective(known, rng.derive(0, "r")) == expected
    assert expected["restore"] > 0


def test_from_scratch_there_is_nothing_to_forget(net, batch):
    objective = Rehearsal(SyntheticRain(net, Rain(rain_free=0.0), Sensor()))
    cold = replace(batch, warm=False)
    assert objective.prepare(cold, rng.derive(0, "r")) is cold
    assert objective(cold, rng.derive(0, "r")) == {"restore": 0, "veil": 0}


@pytest.mark.parametrize(
    ("recipe", "applied_at"),
    [(rrcl.build(width=4), 900), (rrcl.build(width=4, rehearsal=0.0), None),
     (derain_unpaired.build(width=4), 500)],
)  # fmt: skip
def test_what_rehearses_is_applied_at_the_sizes_of_its_start(tmp_path, net, recipe, applied_at):
    path = tmp_path / "start.safetensors"
    keywords = {"width": 4, **unet.LEARNED}
    checkpoint.save(path, net, checkpoint.Header("derain", "unet", keywords, coarse_from=900))
    assert warm_start.start_from(recipe, path).coarse_from == applied_at
