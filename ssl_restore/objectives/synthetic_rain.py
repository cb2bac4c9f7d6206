"""Supervision made by physics: rain rendered on clean photographs, and the way back.

J = store(sensor(gain * pattern(photograph))),   V = store(veil(J)),   I = store(veil(J + R))
loss = relative(charbonnier(V' - V)) + relative(charbonnier(unveiled(V') - J))

The restorer takes away the streaks first (V'), then the veil. The second term does not reach back
into the first step: else streaks are taken for a veil and a veil for streaks, which it can paint
anywhere (benchmarks/EXPERIMENTS.md). All three pictures are stored alike: noise and JPEG of some
are in J as well, and are not to be removed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from degradations.jpeg import Jpeg
from degradations.noise import Noise
from degradations.sensor import Sensor, quantise
from degradations.types import Degradation, map_tensors
from degradations.veil import Veil
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.objectives.patterns import patterned
from ssl_restore.types import Batch


@dataclass(frozen=True)
class Shares:
    """Shares of the pictures with more than rain in them."""

    patterns: float = 0.0  # regular ones, which are not rain
    veil: float = 0.0  # of those with rain: a photograph without is to keep its own haze
    noise: float = 0.0
    jpeg: float = 0.0


class SyntheticRain(nn.Module):
    """Terms: `restore`.  Needs clean patches only; `exposure` makes dim and bright ones of all."""

    def __init__(
        self, restorer: nn.Module, rain: Degradation, exposure: Sensor, shares: Shares = Shares()
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.rain = rain
        self.exposure = exposure
        self.shares = shares

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.clean is not None
        return self.compare(*self.pair(batch.clean, generator))

    def pair(self, photographs: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Rainy pictures, the same without streaks, and clean, (B, 3, H, W) each."""
        shares = self.shares
        clean = patterned(photographs, shares.patterns, generator)
        clean = degrade(clean, self.exposure, generator)
        clean = quantise(on_share(shares.noise, clean, Noise(sigma=(0.0, 0.04)), generator))
        rainy, veiled = rained(clean, self.rain, generator)
        wet = (rainy != clean).flatten(1).any(dim=1).cpu()
        chosen = wet & (torch.rand(len(clean), generator=generator) < shares.veil)
        rainy, veiled = on_chosen(chosen, (rainy, veiled), Veil(), generator)
        pictures = quantise(rainy), quantise(veiled), clean
        chosen = torch.rand(len(clean), generator=generator) < shares.jpeg
        return on_chosen(chosen, pictures, Jpeg(), generator)

    def compare(self, rainy: Tensor, veiled: Tensor, clean: Tensor) -> dict[str, Tensor]:
        return restored_in_stages(self.restorer, rainy, veiled, clean)


def restored_in_stages(
    restorer: nn.Module, rainy: Tensor, veiled: Tensor, clean: Tensor
) -> dict[str, Tensor]:
    """The terms `restore`, of the picture without its streaks, and `veil`, of what is left then."""
    without_streaks, restored = restorer.stages(rainy)  # type: ignore[operator]
    return {
        "restore": relative(charbonnier(without_streaks - veiled)),
        "veil": relative(charbonnier(restored - clean)),
    }


def rained(clean: Tensor, rain: Degradation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, H, W) with rain, and with its veil alone."""
    params = drawn(rain, clean, generator)
    veil = dataclasses.replace(params, present=torch.zeros_like(params.present))
    return rain.apply(clean, params), rain.apply(clean, veil)


def on_share(
    share: float, images: Tensor, degradation: Degradation, generator: torch.Generator
) -> Tensor:
    """A random `share` of images (B, C, H, W) degraded."""
    chosen = torch.rand(len(images), generator=generator) < share
    return on_chosen(chosen, (images,), degradation, generator)[0]


def on_chosen(
    chosen: Tensor,
    pictures: tuple[Tensor, ...],
    degradation: Degradation,
    generator: torch.Generator,
) -> tuple[Tensor, ...]:
    """The `chosen` (B,) of each of the `pictures` (B, C, H, W) degraded, alike in all of them."""
    where = chosen.nonzero()[:, 0].to(pictures[0].device)
    if not len(where):
        return pictures
    params = drawn(degradation, pictures[0][where], generator)
    return tuple(p.index_copy(0, where, degradation.apply(p[where], params)) for p in pictures)


def drawn(degradation: Degradation, images: Tensor, generator: torch.Generator) -> Any:
    """Parameters for a batch (B, C, H, W), on its device."""
    batch, channels, height, width = images.shape
    params = degradation.sample((batch, channels, height, width), generator)
    return map_tensors(params, lambda t: t.to(images.device))


def degrade(clean: Tensor, degradation: Degradation, generator: torch.Generator) -> Tensor:
    """Draw parameters for a batch (B, C, H, W) and apply them, on the batch's device."""
    return degradation.apply(clean, drawn(degradation, clean, generator))
