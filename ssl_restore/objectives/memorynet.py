"""MemoryNet's loss: every stage is drawn to the truth, and clean pictures must fit the memory.

    sum_s C(X_s - J) + 0.05 sum_s C(L (X_s - J)) + alpha T(X_3, J, I) + beta M(J)

I is the degraded picture, J its truth, X_s what stage s restores; C is Charbonnier's distance, L
the Laplacian. T is the triplet loss with the restored picture as anchor, the truth as positive and
the degraded one as negative, in the features of the first encoder, at rest. M is the mean squared
distance of the features of J from what the memories read out for them. Pairs are given, or made by
a degradation of the library.

In a first share of the run clean pictures alone are learned: encoders and memories fit each other,
and of what is read out each picture must be rebuilt, by a layer that is not used after. Degraded
pictures come then. M stays, but moves the memories only: with nothing to rebuild, encoders that
followed it would make all features alike, and one or two prototypes would be enough for them.

References: Zhang, Gu and Zhu, "Memory augment is all you need for image restoration", arXiv
2309.01377; Zamir et al., "Multi-stage progressive image restoration", CVPR 2021 (stages and edges);
Gong et al., ICCV 2019 (memory).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from degradations.sampling import degrade
from degradations.sensor import quantise
from degradations.types import Degradation
from ssl_restore.networks.critic import features_at_rest
from ssl_restore.networks.memory import Reading
from ssl_restore.networks.memorynet import MemoryNet
from ssl_restore.objectives.distance import charbonnier
from ssl_restore.objectives.pairs import Pairs, given, pairs_of
from ssl_restore.objectives.picture_contrast import pooled_triplet
from ssl_restore.types import Batch

EDGE = 0.05  # usual weight of the edge loss
EPS = 1e-3  # of Charbonnier's distance, in display units
LAPLACE = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


class Remembering(nn.Module):
    """Terms: `restore`, `edge`; `contrast` where asked for; `memory`, `rebuild` with memories.

    In the first share of the run all but the last two are zero, later `rebuild` is.

    Args:
        restorer: What learns.
        degradation: Put on clean pictures; None: they come in pairs.
        memory_first: Share of the run, from its start, in which clean pictures alone are learned;
            none where the run started from a trained restorer.
        contrast: Whether it is a term.
    """

    def __init__(
        self,
        restorer: MemoryNet,
        degradation: Degradation | None,
        memory_first: float = 0.2,
        *,
        contrast: bool = True,
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.degradation = degradation
        self.contrast = contrast
        memories = [m for m in (restorer.unet1.memory, restorer.unet2.memory) if m is not None]
        self.memory_first = memory_first if memories else 0.0
        self.rebuild = nn.ModuleList(
            nn.Conv2d(memory.fuse.in_channels, 3 * restorer.stride**2, 1) for memory in memories
        )

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        pairs = self.prepare(batch, generator)
        truth, zero = pairs.truth, pairs.truth.new_zeros(())
        first = batch.progress < self.memory_first and not batch.warm
        readings = self.restorer.readings(truth, at_rest=not first) if self.rebuild else []
        terms = {"restore": zero, "edge": zero} | ({"contrast": zero} if self.contrast else {})
        if readings:
            distances = torch.stack([reading.distance() for reading in readings])
            terms |= {"memory": distances.mean(), "rebuild": zero}
        if first:
            return terms | {"rebuild": self._rebuilt(readings, truth)}
        stages = self.restorer.stages(pairs.picture)
        errors = [restored - truth for restored in stages]
        terms["restore"] = torch.stack([charbonnier(e, EPS).mean() for e in errors]).sum()
        terms["edge"] = torch.stack([edge_loss(error) for error in errors]).sum()
        if self.contrast:
            terms["contrast"] = self._contrast(stages[-1], truth, pairs.picture)
        return terms

    def prepare(self, batch: Batch, generator: torch.Generator) -> Pairs:
        """The batch with its pairs."""
        return pairs_of(batch, self._make, generator)

    def _make(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if self.degradation is None:
            return given(batch, generator)
        assert batch.clean is not None
        return quantise(degrade(batch.clean, self.degradation, generator)), batch.clean

    def _rebuilt(self, readings: list[Reading], truth: Tensor) -> Tensor:
        """Distance of the truth from itself, rebuilt of what was read out."""
        losses = []
        for layer, reading in zip(self.rebuild, readings, strict=True):
            folded = layer(torch.cat(reading.read, dim=1)).float()
            rebuilt = 0.5 + F.pixel_shuffle(folded, self.restorer.stride)
            losses.append(charbonnier(rebuilt - truth, EPS).mean())
        return torch.stack(losses).mean()

    def _contrast(self, restored: Tensor, truth: Tensor, picture: Tensor) -> Tensor:
        """Triplet loss of coarsest features; what was restored alone gets a gradient."""
        anchor = features_at_rest(self.restorer, restored)[-1]
        with torch.no_grad():
            others = [self.restorer.features(one)[-1] for one in (truth, picture)]
        return pooled_triplet(anchor.float(), others[0].float(), others[1].float())


def edge_loss(error: Tensor) -> Tensor:
    """C(L e), mean over pixels but those at the border; an error (B, C, H, W) -> scalar."""
    kernel = error.new_tensor(LAPLACE).expand(error.shape[1], 1, 3, 3)
    with torch.autocast(error.device.type, enabled=False):
        edges = F.conv2d(error, kernel, groups=error.shape[1])
    return charbonnier(edges, EPS).mean()
