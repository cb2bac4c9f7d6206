"""Small things that learn, for tests of the training loop."""

from __future__ import annotations

import copy
import inspect

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


def photograph(*shape, seed=0):
    """Smooth light from 0.2 to 0.8: waves of random direction."""
    draws = torch.rand(4, 3, generator=torch.Generator().manual_seed(seed))
    rows, columns = torch.meshgrid(
        torch.linspace(0, 6, shape[-2]), torch.linspace(0, 6, shape[-1]), indexing="ij"
    )
    waves = sum(torch.sin(a * rows + b * columns + 6 * c) for a, b, c in draws.tolist())
    return (0.5 + 0.075 * waves).expand(shape).contiguous()


def small_network(name, form, **changed):
    build = discover.builder("networks", name)
    small = {"width": 4} if "width" in inspect.signature(build).parameters else {}
    torch.manual_seed(0)
    return build(**{**small, **form, **changed})


def randomised(net, seed=0):
    """Every weight and statistic random, variances positive."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if "running_var" in name:
                value.copy_(0.5 + torch.rand(value.shape, generator=draws))
            elif value.is_floating_point():
                fan = max(1, value[0].numel()) if value.dim() > 1 else 4
                value.copy_(torch.randn(value.shape, generator=draws) / fan**0.5)
    return net


class Shift(nn.Module):
    """A restorer with one number: adds it."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(()))

    def forward(self, image):
        return image + self.value


class Constant(nn.Module):
    """A restorer that gives one value everywhere: at best a location of the target."""

    def __init__(self, value=0.5):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, image):
        return self.value.expand_as(image)


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


def plan_for(rainy, clean, *, recipe="derain_unpaired", steps=4, seconds=None, **settings):
    usual = discover.settings(discover.builder("recipes", recipe))
    return RunPlan(
        recipe, {**usual, **TINY, **settings}, 0, steps, seconds,
        None if rainy is None else str(rainy), str(clean), None,
    )  # fmt: skip
