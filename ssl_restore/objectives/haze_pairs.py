"""Haze removal from pairs, given or made by the library's haze on clear photographs, with contrast.

    mean |f(I) - J| + alpha sum_l w_l |phi_l(f(I)) - phi_l(J)| / |phi_l(f(I)) - phi_l(I)|

The restored picture f(I) is drawn to the clear one J and away from the hazy one I, in the features
phi of a critic, w_l = 2^(l - L) of its layers l = 1 .. L. The critic learns in turn to tell clear
pictures from restored ones. Untrained, f(I) is I and the ratio is cut off at a large number: the
norm of a step is bounded, and the first steps lead away from there.

Reference: Wu et al., "Contrastive learning for compact single image dehazing", CVPR 2021, eq. 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl_restore.networks.critic import Critic
from ssl_restore.objectives.adversarial import as_it_trains, both, contest
from ssl_restore.objectives.picture_contrast import picture_contrast
from ssl_restore.objectives.synthetic_haze import Shares, hazed
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch


@dataclass(frozen=True, kw_only=True)
class HazePairs(Batch):
    """A batch with its pairs."""

    hazy: Tensor  # I, (B, 3, H, W)
    clear: Tensor  # J, (B, 3, H, W)


def haze_pairs(batch: Batch, shares: Shares | None, generator: torch.Generator) -> HazePairs:
    """Pairs of the clean pictures and haze on them; without shares those of the batch itself."""
    if isinstance(batch, HazePairs):
        return batch
    if shares is None:
        clear, hazy = both(batch)
    else:
        assert batch.clean is not None
        made = hazed(batch.clean, shares, generator)
        clear, hazy = made.target, made.hazy
    return HazePairs(**vars(batch), hazy=hazy, clear=clear)


class Dehazing(nn.Module):
    """Terms: `restore`; `contrast` where there is a critic.

    Args:
        restorer: What learns.
        critic: Whose features are compared; None: no contrast.
        shares: Of kinds of pictures with haze; None: they come in pairs.
    """

    def __init__(self, restorer: Restorer, critic: Critic | None, shares: Shares | None) -> None:
        super().__init__()
        self.restorer = restorer
        self.critic = critic
        self.shares = shares

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        pairs = self.prepare(batch, generator)
        restored = self.restorer(pairs.hazy)
        terms = {"restore": (restored - pairs.clear).abs().mean()}
        if self.critic is not None:
            terms["contrast"] = picture_contrast(
                "aecr", self.critic, restored, pairs.clear, pairs.hazy, generator
            )
        return terms

    def prepare(self, batch: Batch, generator: torch.Generator) -> HazePairs:
        """The batch with its pairs."""
        return haze_pairs(batch, self.shares, generator)


class DehazingCritic(nn.Module):
    """Terms of the critic: `critic`, 2 log 2 when it cannot tell, and `penalty`.

        E softplus(-D(J)) + E softplus(D(f(I))),     E |grad D(J)|^2

    Nothing of the restorer moves.
    """

    def __init__(self, restorer: Restorer, critic: Critic, shares: Shares | None) -> None:
        super().__init__()
        self.restorer = restorer
        self.critic = critic
        self.shares = shares

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        pairs = self.prepare(batch, generator)
        restored = as_it_trains(self.restorer, pairs.hazy)
        loss, penalty = contest(self.critic, pairs.clear, restored)
        return {"critic": loss, "penalty": penalty}

    def prepare(self, batch: Batch, generator: torch.Generator) -> HazePairs:
        """The batch with its pairs."""
        return haze_pairs(batch, self.shares, generator)
