"""Small things that learn, for tests of the training loop."""

from __future__ import annotations

import copy

import torch
from torch import nn

from ssl_restore import discover
from ssl_restore.training.run import RunPlan
from ssl_restore.types import Average, Batch, Learning, Player

TINY = {"width": 4, "batch": 2, "patch": 16}
CPU = torch.device("cpu")


def random_batch(step, progress=0.0):
    draws = torch.Generator().manual_seed(step)
    clean, degraded = torch.rand(2, 2, 3, 16, 16, generator=draws)
    return Batch(clean=clean, degraded=degraded, progress=progress)


def tiny(name="derain_unpaired", seed=0):
    torch.manual_seed(seed)
    return discover.builder("recipes", name)(**TINY)


class Mean(nn.Module):
    """A restorer of one scale and one BatchNorm; the loss is what `loss` makes of its output."""

    def __init__(self, loss):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.scale = nn.Parameter(torch.ones(()))
        self.loss = loss

    def forward(self, image):
        return self.scale * self.norm(image)


class Loss(nn.Module):
    def __init__(self, restorer):
        super().__init__()
        self.restorer = restorer

    def forward(self, batch, generator):
        return {"restore": self.restorer.loss(self.restorer(batch.clean), batch)}


def small_recipe(loss, *, lr=0.1, decay=0.9, weights=None):
    restorer = Mean(loss)
    optimizer = torch.optim.SGD(restorer.parameters(), lr=lr)
    player = Player(Loss(restorer), weights or {"restore": 1.0}, optimizer)
    average = Average(copy.deepcopy(restorer), restorer, decay)
    return Learning(players=(player,), averages=(average,))


def both(learning):
    """The network of the only average, and its average."""
    (average,) = learning.averages
    return average.of, average.ema


def weights_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def plan_for(rainy, clean, *, steps=4, seconds=None, **settings):
    return RunPlan(
        "derain_unpaired", {**TINY, "lr": 5e-4, **settings}, 0, steps, seconds,
        str(rainy), str(clean), None,
    )  # fmt: skip
