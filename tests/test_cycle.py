"""Cycle consistency: what its terms measure, and that features are at rest."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.networks import denoiser, pyramid
from ssl_restore.networks.critic import Critic
from ssl_restore.networks.features import Features, features
from ssl_restore.objectives.cycle import Cycle, CycleCritics
from ssl_restore.types import Batch


class Shift(nn.Module):
    """Adds a number: the inverse of another shift."""

    def __init__(self, by):
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, image):
        return image + self.by


def batch(seed=0):
    return Batch(*torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(seed)))


def of_denoiser():
    torch.manual_seed(0)
    return Features(denoiser.build(width=4, blocks=(1, 1)).encoder)


def critics():
    torch.manual_seed(1)
    pair = Critic(3, width=4, low=True), Critic(3, width=4, low=True)
    for one in pair:
        nn.init.normal_(one.head.weight)
    return pair


def test_generators_that_undo_each_other_have_no_cycle_and_pay_for_what_they_change():
    terms = Cycle(Shift(0.2), Shift(-0.2), critics(), of_denoiser())(batch(), rng.derive(0, "c"))
    assert terms["cycle"].item() == pytest.approx(0, abs=1e-6)
    assert terms["features"].item() == pytest.approx(0, abs=1e-6)
    assert terms["identity"].item() == pytest.approx(0.2)
    other = Cycle(Shift(0.2), Shift(0.1), critics(), of_denoiser())(batch(), rng.derive(0, "c"))
    assert other["cycle"].item() == pytest.approx(0.6)
    assert other["features"] > 1e-4


def test_in_the_turn_of_the_generators_critics_and_features_rest():
    generators = [pyramid.build(width=2, blocks=(1, 1)) for _ in range(2)]
    objective = Cycle(*generators, critics(), of_denoiser())
    sum(objective(batch(), rng.derive(0, "c")).values()).backward()
    assert all(weight.grad is None for weight in objective.clean_critic.parameters())
    assert all(weight.grad is None for weight in objective.features.parameters())
    assert all(net.decoder.head.weight.grad.abs().sum() > 0 for net in generators)


def test_in_the_turn_of_the_critics_the_generators_rest():
    generators = [pyramid.build(width=2, blocks=(1, 1)) for _ in range(2)]
    before = copy.deepcopy(generators[0].state_dict())
    objective = CycleCritics(*generators, critics())
    sum(objective(batch(), rng.derive(0, "c")).values()).backward()
    assert all(weight.grad is None for net in generators for weight in net.parameters())
    assert all(torch.equal(value, before[key]) for key, value in generators[0].state_dict().items())
    assert objective.clean_critic.head.weight.grad.abs().sum() > 0


def test_a_critic_that_sees_light_tells_pictures_by_it():
    flat = torch.full((1, 3, 16, 16), 0.2)
    blind, seeing = Critic(3, width=4), Critic(3, width=4, low=True)
    for one in (blind, seeing):
        nn.init.normal_(one.head.weight)
    assert torch.equal(blind(flat), blind(flat + 0.5))
    assert not torch.allclose(seeing(flat), seeing(flat + 0.5))


def test_features_stay_as_they_are_and_compare_pictures():
    found = of_denoiser()
    found.train()
    assert not any(part.training for part in found.encoder.modules())
    one, other = torch.rand(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    assert found.distance(one, one) == 0
    assert found.distance(other, one) > found.distance(0.9 * one + 0.1 * other, one)


def test_unknown_features_are_refused():
    with pytest.raises(UserError, match="use denoiser or vgg"):
        features("clip", denoiser.build(width=4))
