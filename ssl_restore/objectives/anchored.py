"""An objective beside which the restorer is held to the one that the run started from.

    anchor    |f(y) - f0(y)|^2 / |y - f0(y)|^2

f0 is the start, which rests; 1 is to leave the noise where it is. Losses on single noisy pictures
take noise that neighbouring pixels share for texture, and every so many-th pixel of a picture is
not like a picture: on their own they unlearn what a trained restorer knew of whole ones. Where the
noise is weak, so is its share in them; that of the anchor is not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

SHARE = 0.5  # of the patches: restoring them whole costs more than a step on parts of them
FLOOR = 1e-7  # a twelfth of a level of 255, squared: for a start that takes nothing away


class Anchored(nn.Module):
    """Terms: those of `learned`, and `anchor`, which is 0 where a run starts from nothing."""

    def __init__(self, learned: nn.Module, restorer: Restorer, start: Restorer) -> None:
        super().__init__()
        self.learned = learned
        self.restorer = restorer
        self.start = start.requires_grad_(False).eval()

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.degraded is not None
        terms: dict[str, Tensor] = self.learned(batch, generator)
        if not batch.warm:
            return {**terms, "anchor": batch.degraded.new_zeros(())}
        part = batch.degraded[: max(1, round(SHARE * len(batch.degraded)))]
        with torch.no_grad():
            held = self.start(part)
            taken_away = (part - held).square().mean() + FLOOR
        return {**terms, "anchor": (self.restorer(part) - held).square().mean() / taken_away}
