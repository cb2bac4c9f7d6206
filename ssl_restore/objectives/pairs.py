"""Pairs of a degraded picture and its truth, given or made, and a critic that learns from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl_restore.networks.critic import Critic
from ssl_restore.objectives.adversarial import as_it_trains, both, contest
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch


@dataclass(frozen=True, kw_only=True)
class Pairs(Batch):
    """A batch with its pairs."""

    picture: Tensor  # I, (B, 3, H, W); for an enlarging restorer (B, 3, H / scale, W / scale)
    truth: Tensor  # J, (B, 3, H, W)


Make = Callable[[Batch, torch.Generator], tuple[Tensor, Tensor]]  # -> I, J


def given(batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The degraded pictures of a batch of pairs and the clean ones; draws nothing."""
    clean, degraded = both(batch)
    return degraded, clean


def pairs_of(batch: Batch, make: Make, generator: torch.Generator) -> Pairs:
    """The batch with its pairs, made unless it has them."""
    if isinstance(batch, Pairs):
        return batch
    picture, truth = make(batch, generator)
    return Pairs(**vars(batch), picture=picture, truth=truth)


class PairsCritic(nn.Module):
    """Terms of the critic: `critic`, 2 log 2 when it cannot tell, and `penalty`.

        E softplus(-D(J)) + E softplus(D(f(I))),     E |grad D(J)|^2

    Nothing of the restorer moves.
    """

    def __init__(self, restorer: Restorer, critic: Critic, make: Make) -> None:
        super().__init__()
        self.restorer = restorer
        self.critic = critic
        self.make = make

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        pairs = self.prepare(batch, generator)
        restored = as_it_trains(self.restorer, pairs.picture)
        loss, penalty = contest(self.critic, pairs.truth, restored)
        return {"critic": loss, "penalty": penalty}

    def prepare(self, batch: Batch, generator: torch.Generator) -> Pairs:
        """The batch with its pairs."""
        return pairs_of(batch, self.make, generator)
