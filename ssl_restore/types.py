"""The few shapes that the parts agree on.  See the docstring of each for who makes and uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """What one training step sees: patches, display values in [0, 1]; None: not needed."""

    clean: Tensor | None  # (B, 3, P, P), of other scenes than `degraded`
    degraded: Tensor | None  # (B, 3, P, P)
    progress: float = 0.0  # share of the run that is done, 0 to 1
    warm: bool = False  # the run started from a trained restorer
    observations: Tensor | None = None  # (B, 2, 3, P, P): one scene seen twice, noise of its own


@runtime_checkable
class Objective(Protocol):
    """A self-supervised loss, as an `nn.Module` that holds the networks it trains.

    Returns raw, unweighted scalars by name. All randomness comes from the generator.
    """

    def __call__(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]: ...

    def state_dict(self) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Player:
    """An objective with the weight of each of its terms and the optimizer that lowers their sum.

    Plain losses need one player, adversarial ones two or more, who take turns in order.
    """

    objective: nn.Module
    weights: Mapping[str, float]
    optimizer: torch.optim.Optimizer


@dataclass(frozen=True)
class Recipe:
    """Everything that learns a restorer from a folder; a file in `recipes/` builds it."""

    network: str
    keywords: dict[str, object]
    restorer: nn.Module  # in training
    ema: nn.Module  # exponential moving average of the restorer: what is saved and used
    players: tuple[Player, ...]
    needs: frozenset[str] = field(default_factory=lambda: frozenset({"clean", "degraded"}))
    batch: int = 16
    patch: int = 64
    decay: float = 0.999  # of the average
    anchor: nn.Module | None = None  # what the run started from, at rest: for an objective
    warm_rate: float = 1.0  # factor on the learning rates after a warm start
    frozen_batchnorm: bool = False  # statistics of the restorer's norms rest: after a warm start
    lr_floor: float = 0.02  # the cosine schedule ends at this share of the learning rate
    upright: bool = True  # degraded pictures are mirrored left to right only: rain falls down
    shrink: int = 3  # large pictures are also seen at up to this part of their size
    notes: tuple[str, ...] = ()  # what the recipe chose for these pictures, a line each
