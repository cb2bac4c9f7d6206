"""Exponential moving averages of networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_restore.types import Average

YOUNG_STEPS = 10  # an average of few steps forgets its start: decay <= n / (n + 10)


class MovingAverage:
    """An average that follows its network, weights and running statistics alike."""

    def __init__(self, average: Average) -> None:
        self.decay = average.decay
        self.floats, self.counts = _pairs(average.ema, average.of)

    def update(self, step: int) -> None:
        """After so many steps: ema <- decay * ema + (1 - decay) * net."""
        _mix(self.floats, self.counts, min(self.decay, step / (step + YOUNG_STEPS)))


def update_ema(ema: nn.Module, net: nn.Module, decay: float) -> None:
    """ema <- decay * ema + (1 - decay) * net; whole numbers are copied."""
    _mix(*_pairs(ema, net), decay)


Pairs = list[tuple[Tensor, Tensor]]


def _pairs(ema: nn.Module, net: nn.Module) -> tuple[Pairs, Pairs]:
    """(mean, value) of real numbers, and of others."""
    pairs = list(zip(ema.state_dict().values(), net.state_dict().values(), strict=True))
    real = [pair for pair in pairs if pair[0].is_floating_point()]
    return real, [pair for pair in pairs if not pair[0].is_floating_point()]


@torch.no_grad()
def _mix(floats: Pairs, counts: Pairs, decay: float) -> None:
    torch._foreach_lerp_([mean for mean, _ in floats], [net for _, net in floats], 1 - decay)
    for mean, value in counts:
        mean.copy_(value)
