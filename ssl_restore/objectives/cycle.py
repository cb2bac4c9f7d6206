"""Two generators that undo each other between two folders of pictures: cycle consistency.

    x degraded, y clean, of other scenes;  G(x) clean, F(y) degraded
    |F(G(x)) - x| + |G(F(y)) - y|,     softplus(-D(G(x))) + softplus(-E(F(y))),
    d(F(G(x)), x) + d(G(F(y)), y) in the features of a network at rest

Nothing says that G must keep what a picture shows, only that F can bring it back; what is clean is
what the critics D and E take for it. Reference: Zhu, Park, Isola and Efros, "Unpaired
image-to-image translation using cycle-consistent adversarial networks", ICCV 2017; Engin, Genc and
Ekenel, "Cycle-Dehaze", CVPR Workshops 2018 (features).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.networks.critic import Critic
from ssl_restore.networks.features import Features
from ssl_restore.objectives.adversarial import as_it_trains, both, contest, judged
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch


class Cycle(nn.Module):
    """Terms of the generators: `cycle`, `features`, `prior` (of both critics) and `identity`.

    `identity` is |G(y) - y|: a clean picture stays as it is.
    """

    def __init__(
        self,
        restorer: Restorer,
        degrader: Restorer,
        critics: tuple[Critic, Critic],
        features: Features,
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.degrader = degrader
        self.clean_critic, self.degraded_critic = critics
        self.features = features

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        clean, degraded = both(batch)
        restored, again = self.restorer(degraded), self.degrader(clean)
        back_degraded, back_clean = self.degrader(restored), self.restorer(again)
        return {
            "cycle": (back_degraded - degraded).abs().mean() + (back_clean - clean).abs().mean(),
            "features": self.features.distance(back_degraded, degraded)
            + self.features.distance(back_clean, clean),
            "prior": prior((self.clean_critic, self.degraded_critic), restored, again),
            "identity": (self.restorer(clean) - clean).abs().mean(),
        }


class CycleCritics(nn.Module):
    """Terms of both critics: `critic`, `degraded_critic` and their `penalty`, added up.

    What they take for real is mirrored at random.
    """

    def __init__(
        self, restorer: Restorer, degrader: Restorer, critics: tuple[Critic, Critic]
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.degrader = degrader
        self.clean_critic, self.degraded_critic = critics

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        clean, degraded = both(batch)
        restored, again = as_it_trains(self.restorer, degraded), as_it_trains(self.degrader, clean)
        critics = self.clean_critic, self.degraded_critic
        return contests(critics, batch, restored, again, generator)


def prior(critics: tuple[Critic, Critic], restored: Tensor, again: Tensor) -> Tensor:
    """softplus(-D(restored)) + softplus(-E(again)), a scalar; the critics D and E rest."""
    scores = (judged(*pair) for pair in zip(critics, (restored, again), strict=True))
    return torch.stack([F.softplus(-score).mean() for score in scores]).sum()


def contests(
    critics: tuple[Critic, Critic],
    batch: Batch,
    restored: Tensor,
    again: Tensor,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Terms `critic`, `degraded_critic` and `penalty` of the critics of clean pictures, against
    restored ones, and of degraded pictures, against what was degraded `again`."""
    clean, degraded = both(batch)
    mirrored = torch.rand(2, len(clean), 1, 1, 1, generator=generator).to(clean.device) < 0.5
    real, known = (
        torch.where(chosen, one.flip(3), one)
        for chosen, one in zip(mirrored, (clean, degraded), strict=True)
    )
    first, one = contest(critics[0], real, restored)
    second, other = contest(critics[1], known, again)
    return {"critic": first, "degraded_critic": second, "penalty": one + other}
