"""Supervision made by physics: rain rendered on clean photographs, and the way back.

J = sensor(gain * pattern(photograph)),   I = sensor(add_rain(J, p)),   p ~ prior
loss = relative(charbonnier(restorer(I) - J))
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from degradations.sensor import Sensor, quantise
from degradations.types import Degradation, map_tensors
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.objectives.patterns import patterned
from ssl_restore.types import Batch


class SyntheticRain(nn.Module):
    """Terms: `restore`.  Needs clean patches only; a share of them gets regular `patterns`, which
    are not rain, and `exposure` makes dim and bright ones of all."""

    def __init__(
        self, restorer: nn.Module, rain: Degradation, exposure: Sensor, patterns: float = 0.0
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.rain = rain
        self.exposure = exposure
        self.patterns = patterns

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.clean is not None
        clean = patterned(batch.clean, self.patterns, generator)
        clean = degrade(clean, self.exposure, generator)
        rainy = quantise(degrade(clean, self.rain, generator))
        return {"restore": relative(charbonnier(self.restorer(rainy) - clean))}


def degrade(clean: Tensor, degradation: Degradation, generator: torch.Generator) -> Tensor:
    """Draw parameters for a batch (B, C, H, W) and apply them, on the batch's device."""
    batch, channels, height, width = clean.shape
    params = degradation.sample((batch, channels, height, width), generator)
    return degradation.apply(clean, map_tensors(params, lambda t: t.to(clean.device)))
