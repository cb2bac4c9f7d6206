"""Supervision made by physics: drops out of focus on photographs, and the way back.

    I = store(display((1 - a) linear(J) + s) + noise)

A part of the pictures gets no drops and must come back as it was. The loss is of the restored
picture, of the share a of the light that comes through drops, and of that light s:

    relative(charbonnier(J' - J)),     |a' - a|,     |s' - s|
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from degradations.color import to_linear
from degradations.drops import DefocusedDrops, add_drops, covered_share
from degradations.jpeg import Jpeg
from degradations.noise import Noise
from degradations.sampling import degrade, degrade_share
from degradations.sensor import Sensor, quantise
from ssl_restore.networks.dedropper import Dedropper, uncovered
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.types import Batch

EXPOSURE = Sensor(gain=(0.6, 1.3), contrast=(-0.3, 0.8))
NOISE = Noise(gain=(0.0, 0.002), sigma=(0.0, 0.01))
FILES = Jpeg(quality=(40.0, 98.0))
DROPS = DefocusedDrops()


@dataclass(frozen=True)
class Shares:
    """Shares of the pictures."""

    dry: float = 0.12  # which must come back as they were
    noise: float = 0.3
    jpeg: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Wet(Batch):
    """Pictures with drops on them."""

    target: Tensor  # J, (B, 3, H, W)
    wet: Tensor  # I, (B, 3, H, W)
    covered: Tensor  # a, (B, 1, H, W)
    added: Tensor  # s, (B, 3, H, W)


class SyntheticDrops(nn.Module):
    """Terms: `restore`, `covered`, `added`.  Needs clean patches only."""

    def __init__(self, restorer: Dedropper, shares: Shares = Shares()) -> None:
        super().__init__()
        self.restorer = restorer
        self.shares = shares

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        wet = batch if isinstance(batch, Wet) else self.prepare(batch, generator)
        covered, added = self.restorer.drops(wet.wet)
        clean = uncovered(wet.wet, covered, added)
        return {
            "restore": relative(charbonnier(clean - wet.target)),
            "covered": (covered - wet.covered).abs().mean(),
            "added": (added - wet.added).abs().mean(),
        }

    def prepare(self, batch: Batch, generator: torch.Generator) -> Wet:
        """The batch with drops on its clean pictures."""
        assert batch.clean is not None
        clean = quantise(degrade(batch.clean, EXPOSURE, generator))
        params = DROPS.sample((len(clean), *clean.shape[1:]), generator)
        dry = torch.rand(len(clean), 1, 1, 1, generator=generator) < self.shares.dry
        dry = dry.to(clean.device)
        covered = torch.where(dry, 0.0, covered_share(clean, params))
        wet = torch.where(dry, clean, add_drops(clean, params).clamp(0, 1))
        added = to_linear(wet) - (1 - covered) * to_linear(clean)
        wet = quantise(degrade_share(self.shares.noise, wet, NOISE, generator))
        wet = quantise(degrade_share(self.shares.jpeg, wet, FILES, generator))
        return Wet(**vars(batch), target=clean, wet=wet, covered=covered, added=added)
