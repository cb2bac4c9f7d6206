"""A derainer that learns from one kind of rain rehearses what it knew of others."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from degradations.rain import Rain
from degradations.sensor import Sensor
from ssl_restore import rng
from ssl_restore.networks import unet
from ssl_restore.objectives.rehearsal import Rehearsal
from ssl_restore.objectives.synthetic_rain import SyntheticRain
from ssl_restore.recipes import rrcl
from ssl_restore.training import checkpoint, warm_start
from ssl_restore.types import Batch


def trained(seed, **keywords):
    torch.manual_seed(seed)
    net = unet.build(width=4, blocks=(1, 1), **keywords).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return net


def rehearsal(restorer, start):
    rendered = SyntheticRain(restorer, Rain(rain_free=0.0), Sensor())
    return Rehearsal(restorer, start, rendered)


@pytest.fixture
def batch():
    return Batch(torch.rand(3, 3, 32, 32, generator=rng.derive(0, "clean")), None, warm=True)


def test_it_is_the_distance_to_the_start_on_rendered_rain(batch):
    restorer, start = trained(0), trained(1)
    objective = rehearsal(restorer, start)
    known = objective.prepare(batch, rng.derive(0, "r"))
    assert (known.rainy - batch.clean).abs().flatten(1).amax(1).min() > 0.05  # all are rained on
    term = objective(known, rng.derive(0, "r"))["rehearsal"]
    apart = (restorer(known.rainy) - start(known.rainy)).square().mean()
    away = (known.rainy - start(known.rainy)).square().mean()
    assert term.item() == pytest.approx((apart / away).item(), rel=1e-4)


def test_leaving_the_rain_where_it_is_costs_one(batch):
    objective = rehearsal(unet.build(width=4, blocks=(1, 1)), trained(1))
    assert objective(batch, rng.derive(0, "r"))["rehearsal"].item() == pytest.approx(1, rel=1e-3)


def test_the_start_has_nothing_to_learn(batch):
    start = trained(1, thorough=True)
    restorer = copy.deepcopy(start)
    term = rehearsal(restorer, start)(batch, rng.derive(0, "r"))["rehearsal"]
    term.backward()
    assert term.item() == 0
    assert all(w.grad is None or not w.grad.any() for w in restorer.parameters())


def test_from_scratch_there_is_nothing_to_forget(batch):
    objective, cold = rehearsal(trained(0), trained(1)), replace(batch, warm=False)
    assert objective.prepare(cold, rng.derive(0, "r")) is cold
    assert objective(cold, rng.derive(0, "r"))["rehearsal"].item() == 0


def test_a_run_rehearses_the_weights_that_it_started_from(tmp_path):
    """Of an older network, too, that had fewer outputs."""
    torch.manual_seed(0)
    older = unet.build(width=4)
    with torch.no_grad():
        for weight in older.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    header = checkpoint.Header("derain", "unet", {"width": 4})
    checkpoint.save(tmp_path / "old.safetensors", older, header)
    stored, _ = checkpoint.load(tmp_path / "old.safetensors", task="derain")
    recipe = warm_start.start_from(rrcl.build(width=4), tmp_path / "old.safetensors")
    picture = torch.rand(1, 3, 32, 32)
    assert recipe.anchor is not None
    assert torch.allclose(recipe.anchor(picture), stored.core(picture), atol=1e-5)
    assert not any(weight.requires_grad for weight in recipe.anchor.parameters())
