"""The way back from a degradation: a clean patch is degraded anew, and restored.

    P -> I = quantise(degrade(P)),   loss = relative(charbonnier(restorer(I) - P))

P is a photograph, or what a restorer made of a picture (pseudo-clean). I is stored in 8 bits as a
frame is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from degradations.sampling import degrade
from degradations.sensor import quantise
from degradations.types import Degradation
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch


class Undo(nn.Module):
    """Terms: `restore`.  Needs clean patches; `prior` may be exchanged while it is learned from."""

    def __init__(self, restorer: Restorer, prior: Degradation) -> None:
        super().__init__()
        self.restorer = restorer
        self.prior = prior

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.clean is not None
        clean = batch.clean
        degraded = quantise(degrade(clean, self.prior, generator))
        return {"restore": relative(charbonnier(self.restorer(degraded) - clean), floor=0.01)}
