"""A restorer that learns from noisy pictures is held to the one that it started from."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.objectives.anchored import FLOOR, SHARE, Anchored
from ssl_restore.training import checkpoint, warm_start
from ssl_restore.types import Batch


class Gain(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, image):
        return self.gain * image


class Towards(nn.Module):
    """A loss that is least where the restorer's gain is 2."""

    def __init__(self, restorer):
        super().__init__()
        self.restorer = restorer

    def forward(self, batch, generator):
        return {"towards": (self.restorer(batch.degraded) - 2 * batch.degraded).square().mean()}


@pytest.fixture
def noisy():
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def anchored(gain=0.5, start=0.5):
    restorer = Gain(gain)
    return restorer, Anchored(Towards(restorer), restorer, Gain(start))


def test_anchor_is_the_share_of_what_the_start_takes_away_that_the_restorer_does_not(noisy):
    _, objective = anchored(gain=0.8)
    terms = objective(Batch(None, noisy, warm=True), torch.Generator())
    looked_at = noisy[: int(SHARE * 4)].flatten().tolist()
    apart = sum((0.8 * value - 0.5 * value) ** 2 for value in looked_at) / len(looked_at)
    away = sum((value - 0.5 * value) ** 2 for value in looked_at) / len(looked_at)
    assert terms["anchor"].item() == pytest.approx(apart / (away + FLOOR), rel=1e-5)
    assert terms["towards"].item() > 0


@pytest.mark.parametrize("light", [1.0, 0.01])
def test_leaving_the_noise_where_it_is_costs_one_however_weak_it_is(noisy, light):
    _, objective = anchored(gain=1.0)
    terms = objective(Batch(None, light * noisy, warm=True), torch.Generator())
    assert terms["anchor"].item() == pytest.approx(1, abs=0.1)


def test_start_that_takes_nothing_away_is_kept_to_as_well(noisy):
    _, objective = anchored(gain=1.0, start=1.0)
    terms = objective(Batch(None, noisy, warm=True), torch.Generator())
    assert terms["anchor"] == 0


def test_minimum_lies_between_the_start_and_what_is_learned(noisy):
    restorer, objective = anchored()
    optimizer = torch.optim.SGD(restorer.parameters(), lr=0.1)
    noisy[:] = noisy[0]  # so that both terms look at the same
    energy = noisy.square().mean().item()
    for _ in range(200):
        terms = objective(Batch(None, noisy, warm=True), torch.Generator())
        optimizer.zero_grad()
        (terms["towards"] + terms["anchor"]).backward()
        optimizer.step()
    pull = 1 / (0.25 * energy + FLOOR)  # (g - 2)^2 + pull (g - 0.5)^2 is least at
    assert restorer.gain.item() == pytest.approx((2 + 0.5 * pull) / (1 + pull), abs=1e-3)
    assert objective.start.gain.item() == 0.5
    assert not any(value.requires_grad for value in objective.start.parameters())


def test_from_scratch_there_is_nothing_to_be_held_to(noisy):
    _, objective = anchored(gain=1.3)
    assert objective(Batch(None, noisy, warm=False), torch.Generator())["anchor"] == 0


@pytest.mark.parametrize("name", ["neighbor2neighbor", "noise2void", "recorrupted", "sure"])
@pytest.mark.parametrize("shuffle", [1, 2])
def test_recipes_from_noisy_pictures_are_held_to_their_start(tmp_path, name, shuffle):
    build = discover.builder("recipes", name)
    patch = 32 * shuffle
    torch.manual_seed(0)
    other = build(width=4, patch=patch)
    header = checkpoint.Header(other.task, other.network, other.keywords)
    checkpoint.save(tmp_path / "start.safetensors", other.restorer, header)
    torch.manual_seed(1)
    recipe = warm_start.start_from(
        build(width=4, patch=patch, shuffle=shuffle), tmp_path / "start.safetensors"
    )
    assert recipe.network == "denoiser"  # of whole pictures, wherever it learns
    (group,) = recipe.players[0].optimizer.param_groups
    assert group["lr"] == pytest.approx(1e-4)  # a tenth
    noisy = torch.rand(2, 3, patch, patch, generator=torch.Generator().manual_seed(0))
    objective = recipe.players[0].objective
    recipe.restorer.eval()
    batch = Batch(None, noisy, warm=True)
    assert objective(batch, torch.Generator().manual_seed(0))["anchor"] == 0
    before = copy.deepcopy(recipe.anchor.state_dict())
    with torch.no_grad():
        for value in recipe.restorer.parameters():
            value.add_(0.1)
    assert objective(batch, torch.Generator().manual_seed(0))["anchor"] > 0
    assert all(torch.equal(value, before[key]) for key, value in recipe.anchor.state_dict().items())


def test_without_a_weight_there_is_no_anchor():
    recipe = discover.builder("recipes", "neighbor2neighbor")(width=4, anchor=0.0)
    assert recipe.anchor is None
    assert "anchor" not in recipe.players[0].weights
    assert recipe.warm_rate == 1


def test_negative_weight_is_refused():
    with pytest.raises(UserError, match="anchor: at least 0 is expected, got -1"):
        discover.builder("recipes", "sure")(width=4, anchor=-1.0)
