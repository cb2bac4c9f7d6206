"""Networks that start from a generator alone: what solvers learn that know no other picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

Net = TypeVar("Net", bound=nn.Module)


def seeded(build: Callable[[], Net], generator: torch.Generator) -> Net:
    """A network whose convolutions are drawn from the generator alone, as torch draws them.

    Uniform within 1 / sqrt(inputs of a weight); torch's global stream stays as it is.
    """
    with torch.random.fork_rng(devices=[]):  # torch's own draws, which are replaced
        network = build()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                bound = layer.weight[0].numel() ** -0.5
                for weight in layer.parameters():
                    weight.uniform_(-bound, bound, generator=generator)
    return network
