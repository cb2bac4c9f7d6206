"""Supervision made by physics: noise drawn on clean photographs, and the way back.

I = J + n,   n Gaussian, Poisson-Gaussian or correlated over neighbouring pixels
loss = relative(charbonnier(restorer(I) - J))

Half of the pictures are stored as files are, in 8 bits, the rest keeps values beyond black and
white. Camera noise is correlated, because raw pixels are interpolated and compressed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from degradations.jpeg import Jpeg
from degradations.sensor import quantise
from degradations.types import Degradation
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.objectives.synthetic_rain import on_chosen, on_share
from ssl_restore.types import Batch

STORED = 0.5


class SyntheticNoise(nn.Module):
    """Terms: `restore`.  Each of the `sorts` of noise (a prior and its share) gets its share of the
    pictures, what is left stays clean; then `jpeg` is the share that is compressed."""

    def __init__(
        self, restorer: nn.Module, sorts: tuple[tuple[Degradation, float], ...], jpeg: float
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.sorts = sorts
        self.jpeg = jpeg

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.clean is not None
        return self.compare(*self.pair(batch.clean, generator))

    def pair(self, photographs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noisy pictures and what they shall become, (B, 3, H, W) both."""
        drawn, stored = torch.rand(2, len(photographs), generator=generator)
        noisy, before = photographs, 0.0
        for sort, share in self.sorts:
            chosen = (drawn >= before) & (drawn < before + share)
            (noisy,) = on_chosen(chosen, (noisy,), sort, generator)
            before += share
        in_file = (stored < STORED).view(-1, 1, 1, 1).to(noisy.device)
        noisy = torch.where(in_file, quantise(noisy), noisy)
        return on_share(self.jpeg, noisy, Jpeg(quality=(60.0, 98.0)), generator), photographs

    def compare(self, noisy: Tensor, clean: Tensor) -> dict[str, Tensor]:
        return {"restore": relative(charbonnier(self.restorer(noisy) - clean), floor=0.01)}
