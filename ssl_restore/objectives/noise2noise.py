"""Noise2Noise: one noisy picture of a scene learns from another one.

    loss = mean d(restorer(y1) - y2),   y1, y2 two observations of a scene, noise independent

The minimiser is a location of y2 given y1, and y2 scatters about the clean picture, so that the
clean picture is found wherever that location is its own: the mean (d = e^2) for noise without a
mean, the median (d = |e|) where less than half of the pixels are lost, the mode (d = |e|^0) where
broken ones show any value. For the last, gamma falls from 2 to 0 in (|e| + 1e-8)^gamma.
Reference: Lehtinen et al., "Noise2Noise", ICML 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

LOSS_FOR = {"gaussian": "l2", "poisson": "l2", "bernoulli": "l1", "impulse": "l0"}
EPS = 1e-8


class Noise2Noise(nn.Module):
    """Terms: `observed`.  Needs observations; which of the two is the input is drawn."""

    def __init__(self, restorer: Restorer, loss: str) -> None:
        super().__init__()
        self.restorer = restorer
        self.loss = loss

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.observations is not None
        one, other = batch.observations.unbind(1)
        turned = torch.rand(len(one), 1, 1, 1, generator=generator).to(one.device) < 0.5
        source, target = torch.where(turned, other, one), torch.where(turned, one, other)
        error = self.restorer(source) - target
        return {"observed": power(error, exponent(self.loss, batch.progress)).mean()}


def exponent(loss: str, progress: float) -> float:
    """2 for `l2`, 1 for `l1`, for `l0` from 2 to 0 as `progress` goes from 0 to 1."""
    return {"l2": 2.0, "l1": 1.0, "l0": 2 * (1 - progress)}[loss]


def power(error: Tensor, gamma: float) -> Tensor:
    """(|e| + 1e-8)^gamma of every element; e^2 and |e| exactly for 2 and 1."""
    if gamma == 2:
        return error.square()
    return error.abs() if gamma == 1 else (error.abs() + EPS) ** gamma
