"""Haze removal from pairs, given or made by the library's haze on clear photographs, with contrast.

    mean |f(I) - J| + alpha sum_l w_l |phi_l(f(I)) - phi_l(J)| / |phi_l(f(I)) - phi_l(I)|

The restored picture f(I) is drawn to the clear one J and away from the hazy one I, in the features
phi of a critic, w_l = 2^(l - L) of its layers l = 1 .. L. The critic learns in turn to tell clear
pictures from restored ones. Untrained, f(I) is I and the ratio is cut off at a large number: the
norm of a step is bounded, and the first steps lead away from there.

Reference: Wu et al., "Contrastive learning for compact single image dehazing", CVPR 2021, eq. 3.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ssl_restore.networks.critic import Critic
from ssl_restore.objectives.pairs import Pairs, given, pairs_of
from ssl_restore.objectives.picture_contrast import picture_contrast
from ssl_restore.objectives.synthetic_haze import Shares, hazed
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch


def haze_pairs(
    batch: Batch, generator: torch.Generator, *, shares: Shares | None
) -> tuple[Tensor, Tensor]:
    """Haze on the clean pictures of a batch, and they; without shares those of its pairs."""
    if shares is None:
        return given(batch, generator)
    assert batch.clean is not None
    made = hazed(batch.clean, shares, generator)
    return made.hazy, made.target


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
        self.make = partial(haze_pairs, shares=shares)

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        pairs = self.prepare(batch, generator)
        restored = self.restorer(pairs.picture)
        terms = {"restore": (restored - pairs.truth).abs().mean()}
        if self.critic is not None:
            terms["contrast"] = picture_contrast(
                "aecr", self.critic, restored, pairs.truth, pairs.picture, generator
            )
        return terms

    def prepare(self, batch: Batch, generator: torch.Generator) -> Pairs:
        """The batch with its pairs."""
        return pairs_of(batch, self.make, generator)
