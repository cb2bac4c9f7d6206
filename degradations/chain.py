"""Several degradations one after the other: what a picture meets on its way to the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .types import Degradation, Shape, check_batch


@dataclass(frozen=True)
class ChainParams:
    steps: tuple[Any, ...]  # the parameters of each step, in order; nothing but parameters


@dataclass(frozen=True)
class Chain:
    """`Chain((Haze(), Rain(), Sensor()))`: a degradation itself, so chains nest.

    `apply` is a method, because which functions run is the chain's to know; it is as pure as its
    steps, and reads nothing else of them. The steps draw one after the other from one stream, for
    pictures of one size: a step that changes the size can only come last.
    """

    steps: tuple[Degradation, ...]

    def sample(self, shape: Shape, generator: torch.Generator) -> ChainParams:
        return ChainParams(tuple(step.sample(shape, generator) for step in self.steps))

    def apply(self, image: Tensor, params: ChainParams) -> Tensor:
        """f_n(... f_1(image)): (B, C, H, W) to the same; no steps are the identity."""
        check_batch(image)
        if len(params.steps) != len(self.steps):
            raise ValueError(
                f"a chain of {len(self.steps)} steps got parameters of {len(params.steps)}; "
                "draw them with this chain's sample()"
            )
        for step, drawn in zip(self.steps, params.steps, strict=True):
            image = step.apply(image, drawn)
        return image
