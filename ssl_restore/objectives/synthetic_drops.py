"""Supervision made by physics: drops out of focus on photographs, and the way back.

    I = store(drops(J)),  T = store(J),     sum_s C(X_s - T) + 0.05 sum_s C(L (X_s - T))

X_s is what stage s of the restorer makes of I; C is Charbonnier's distance, L the Laplacian. What
is stored has noise, is sharpened or soft, and is a JPEG: all of that is no drop, and stays. Drops
show more of the scene than the camera does, so that what they show here is the picture mixed with
another one of the batch. A part of the pictures gets no drops and must come back as it was: some of
those in focus, and all that are out of focus, or have lights that are, which look like drops. A
camera that has drops before it is focused on what lies behind them. Colours, patterns, shadows and
mist are changed or drawn in a part, for more pictures than there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from degradations.drops import DefocusedDrops, add_drops
from degradations.jpeg import Jpeg
from degradations.noise import Noise
from degradations.sampling import degrade, degrade_chosen, degrade_share
from degradations.sensor import Sensor, quantise
from degradations.shadow import CastShadow
from ssl_restore.networks.memorynet import MemoryNet
from ssl_restore.objectives import patterns, scenes
from ssl_restore.objectives.distance import charbonnier
from ssl_restore.objectives.memorynet import edge_loss
from ssl_restore.objectives.pairs import Pairs, pairs_of
from ssl_restore.types import Batch

EXPOSURE = Sensor(gain=(0.6, 1.3), contrast=(-0.3, 0.8))
NOISE = Noise(gain=(0.0, 0.002), sigma=(0.0, 0.01))
FILES = Jpeg(quality=(40.0, 98.0))
SHADOWS = CastShadow()
DROPS = DefocusedDrops()


@dataclass(frozen=True)
class Shares:
    """Shares of the pictures."""

    recoloured: float = 0.4  # with their channels in another order
    graded: float = 0.3  # with other gains of the channels and another saturation
    patterns: float = 0.08  # with regular ones drawn on them, which are no drops
    foliage: float = 0.05  # behind leaves or twigs
    shadow: float = 0.15
    mist: float = 0.15
    dry: float = 0.4  # which must come back as they were
    defocus: float = 0.3  # out of focus, all over or in a part
    lights: float = 0.2  # out of focus, with points of light
    noise: float = 0.3
    resampled: float = 0.2  # sharpened, or soft
    jpeg: float = 0.5


class SyntheticDrops(nn.Module):
    """Terms: `restore`, `edge`.  Needs clean patches only."""

    def __init__(self, restorer: MemoryNet, shares: Shares = Shares()) -> None:
        super().__init__()
        self.restorer = restorer
        self.shares = shares

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        wet = self.prepare(batch, generator)
        errors = [restored - wet.truth for restored in self.restorer.stages(wet.picture)]
        return {
            "restore": torch.stack([charbonnier(error).mean() for error in errors]).sum(),
            "edge": torch.stack([edge_loss(error) for error in errors]).sum(),
        }

    def prepare(self, batch: Batch, generator: torch.Generator) -> Pairs:
        """The batch with drops on its clean pictures."""
        return pairs_of(batch, self._make, generator)

    def _make(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        assert batch.clean is not None
        sharp = scenes.recoloured(batch.clean, self.shares.recoloured, generator)
        sharp = scenes.graded(sharp, self.shares.graded, generator)
        sharp = patterns.patterned(sharp, self.shares.patterns, generator)
        sharp = patterns.foliage(sharp, self.shares.foliage, generator)
        sharp = degrade_share(self.shares.shadow, sharp, SHADOWS, generator)
        sharp = quantise(scenes.in_mist(sharp, self.shares.mist, generator))
        clean = scenes.out_of_focus(sharp, self.shares.defocus, generator)
        clean = scenes.with_lights(clean, self.shares.lights, generator)
        in_focus = (clean == sharp).flatten(1).all(dim=1).view(-1, 1, 1, 1)
        clean = quantise(degrade(clean, EXPOSURE, generator))
        params = DROPS.sample((len(clean), *clean.shape[1:]), generator)
        other, dry = torch.rand(2, len(clean), 1, 1, 1, generator=generator).to(clean)
        around = clean.lerp(clean.roll(1, dims=0), other)
        wet = add_drops(clean, params, around).clamp(0, 1)
        wet = torch.where(in_focus & (dry >= self.shares.dry), wet, clean)
        wet, clean = self._stored((wet, clean), generator)
        return wet, clean

    def _stored(self, images: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Both alike, as noise and what a file changes belong to what comes back."""
        noisy, coded = torch.rand(2, len(images[0]), generator=generator)
        images = degrade_chosen(noisy < self.shares.noise, images, NOISE, generator)
        images = scenes.resampled(_quantised(images), self.shares.resampled, generator)
        images = degrade_chosen(coded < self.shares.jpeg, _quantised(images), FILES, generator)
        return _quantised(images)


def _quantised(images: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(quantise(image) for image in images)
