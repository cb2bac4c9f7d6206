"""Supervision made by physics: shadows cast on photographs and drawn scenes, and the way back.

    I = store(display(linear(J) l) + noise),     l = 1 - m (1 - a g)

A part of the pictures gets no shadow and must come back as it was, the shadows of its own included.
The loss is of the restored picture and of the logarithm of the light that arrives, by colour:

    relative(charbonnier(J' - J)),     |tau c + log l|
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from degradations.color import to_linear
from degradations.jpeg import Jpeg
from degradations.noise import Noise
from degradations.sampling import degrade, degrade_share
from degradations.scenes import drawn_scenes
from degradations.sensor import Sensor, quantise
from degradations.shadow import CastShadow, add_shadow
from ssl_restore.networks.deshadower import MOST, Deshadower, relit
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.types import Batch

EXPOSURE = Sensor(gain=(0.6, 1.2), contrast=(-0.3, 0.6))
NOISE = Noise(gain=(0.0, 0.002), sigma=(0.0, 0.01))
SHADOWS = CastShadow()
FILES = Jpeg(quality=(40.0, 98.0))


@dataclass(frozen=True)
class Shares:
    """Shares of the pictures."""

    shadow_free: float = 0.15  # which must come back as they were
    scenes: float = 0.4  # drawn, whose surfaces show parts of the photographs
    noise: float = 0.4
    jpeg: float = 0.6


@dataclass(frozen=True, kw_only=True)
class Shaded(Batch):
    """Pictures with shadows on them."""

    target: Tensor  # J, (B, 3, H, W)
    shaded: Tensor  # I, (B, 3, H, W)
    arriving: Tensor  # l, (B, 3, H, W)


class SyntheticShadow(nn.Module):
    """Terms: `restore`, `light`.  Needs clean patches only."""

    def __init__(self, restorer: Deshadower, shares: Shares = Shares()) -> None:
        super().__init__()
        self.restorer = restorer
        self.shares = shares

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        shaded = batch if isinstance(batch, Shaded) else self.prepare(batch, generator)
        tau, colour = self.restorer.lacking(shaded.shaded)
        clean, _ = relit(shaded.shaded, tau, colour)
        told = shaded.arriving.clamp_min(1e-3).log().clamp_min(-MOST)
        return {
            "restore": relative(charbonnier(clean - shaded.target)),
            "light": (tau * colour + told).abs().mean(),
        }

    def prepare(self, batch: Batch, generator: torch.Generator) -> Shaded:
        """The batch with shadows on its clean pictures."""
        assert batch.clean is not None
        count = len(batch.clean)
        clean = batch.clean.clone()
        drawn = torch.rand(count, generator=generator) < self.shares.scenes
        if drawn.any():
            clean[drawn], _ = drawn_scenes(clean[drawn], generator)
        clean = quantise(degrade(clean, EXPOSURE, generator))
        params = SHADOWS.sample((count, *clean.shape[1:]), generator)
        lit = torch.rand(count, 1, 1, 1, generator=generator) < self.shares.shadow_free
        lit = lit.to(clean.device)
        grey = torch.full_like(clean, 0.5)
        arriving = to_linear(add_shadow(grey, params)) / to_linear(grey)
        arriving = torch.where(lit, torch.ones_like(arriving), arriving)
        shaded = torch.where(lit, clean, add_shadow(clean, params))
        shaded = quantise(degrade_share(self.shares.noise, shaded, NOISE, generator))
        shaded = degrade_share(self.shares.jpeg, shaded, FILES, generator)
        return Shaded(**vars(batch), target=clean, shaded=quantise(shaded), arriving=arriving)
