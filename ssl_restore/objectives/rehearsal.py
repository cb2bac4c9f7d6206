"""What a restorer knew before, so that it is not forgotten while it learns from a folder.

    rehearsal    |f(y) - f0(y)|^2 / |y - f0(y)|^2,     y = rain of all kinds on clean photographs

f0 is what the run started from, which rests; 1 is to leave the rain where it is. A trained restorer
that learns from one kind of rain alone forgets the others within minutes. Asking for the truth
again in place of f0(y) (rehearsal, as it first learned) pulls it about at the rate of the new run,
and what it learned from pairs that cannot be rendered was lost all the same (measured; see
benchmarks/EXPERIMENTS.md). Where f is f0 this has no gradient.

Reference: Li and Hoiem, "Learning without forgetting", ECCV 2016, here on rendered pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl_restore.networks.unet import RainUNet
from ssl_restore.objectives.synthetic_rain import SyntheticRain
from ssl_restore.types import Batch

FLOOR = 1e-7  # a twelfth of a level of 255, squared: for a start that takes nothing away


@dataclass(frozen=True, kw_only=True)
class Rehearsed(Batch):
    """A batch with rendered rain besides."""

    rainy: Tensor  # y, (B, 3, H, W)


class Rehearsal(nn.Module):
    """Terms: `rehearsal`, which is 0 where a run starts from nothing.

    Args:
        restorer: What learns.
        start: What the run started from.
        rendered: Whose rain is on the pictures.
    """

    def __init__(self, restorer: RainUNet, start: RainUNet, rendered: SyntheticRain) -> None:
        super().__init__()
        self.restorer = restorer
        self.start = start.requires_grad_(False).eval()
        self.rendered = rendered

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.clean is not None
        if not batch.warm:
            return {"rehearsal": batch.clean.new_zeros(())}
        known = batch if isinstance(batch, Rehearsed) else self.prepare(batch, generator)
        assert isinstance(known, Rehearsed)
        thorough = torch.rand(len(known.rainy), generator=generator).to(known.rainy)
        with torch.no_grad():
            held = self.start.streaks(known.rainy, thorough)[1]
            taken_away = (known.rainy - held).square().mean() + FLOOR
        restored = self.restorer.streaks(known.rainy, thorough)[1]
        return {"rehearsal": (restored - held).square().mean() / taken_away}

    def prepare(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch, after a warm start with rain on its clean pictures besides."""
        if not batch.warm:
            return batch
        assert batch.clean is not None
        rainy = self.rendered.render(batch.clean, generator).rainy
        return Rehearsed(**vars(batch), rainy=rainy)
