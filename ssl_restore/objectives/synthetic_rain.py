"""Supervision made by physics: rain rendered on clean photographs, and the way back.

J = sensor(gain * pattern(photograph)),   V = t J + (1 - t) A,   I = V with streaks
loss = relative(charbonnier(V' - V)) + |tau' - tau| + |(1 - t) A' - (1 - t) A|,    tau = -ln t

The restorer tells the picture without its streaks, V', and of its veil the optical depth tau' and
the airlight A'. That of the veil is learned from its truth: from the restored picture alone it was
not, because a veil and a layer of streaks can stand in for each other (benchmarks/EXPERIMENTS.md).
I and V are stored alike: noise and JPEG of some are in both, and are not to be removed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
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
from ssl_restore.objectives.patterns import foliage, patterned
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch


@dataclass(frozen=True)
class Shares:
    """Shares of the pictures with more than rain in them."""

    patterns: float = 0.0  # regular ones, which are not rain
    foliage: float = 0.0  # leaves and twigs before a bright sky, which is not, either
    veil: float = 0.0  # of those with rain: a photograph without is to keep its own haze
    noise: float = 0.0
    jpeg: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Rendered(Batch):
    """A batch with rain on its clean pictures."""

    rainy: Tensor  # I (B, 3, H, W)
    veiled: Tensor  # V (B, 3, H, W)
    t: Tensor  # (B, 1, H, W)
    light: Tensor  # (1 - t) A (B, 3, H, W)


def rendered(batch: Batch, rain: Degradation, generator: torch.Generator) -> Rendered:
    """The batch with this rain and its veil, and nothing else, on its clean pictures."""
    assert batch.clean is not None
    return _rendered(batch, *veil_of(rained(batch.clean, rain, generator)))


def _rendered(batch: Batch, rainy: Tensor, veiled: Tensor, t: Tensor, light: Tensor) -> Rendered:
    return Rendered(**vars(batch), rainy=rainy, veiled=veiled, t=t, light=light)


class SyntheticRain(nn.Module):
    """Terms: `restore`, `veil`.  Needs clean patches only; `exposure` makes dim and bright ones."""

    def __init__(
        self, restorer: Restorer, rain: Degradation, exposure: Sensor, shares: Shares = Shares()
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.rain = rain
        self.exposure = exposure
        self.shares = shares

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        drawn = batch if isinstance(batch, Rendered) else self.prepare(batch, generator)
        return self.compare(drawn.rainy, drawn.veiled, drawn.t, drawn.light)

    def prepare(self, batch: Batch, generator: torch.Generator) -> Rendered:
        """The batch with rain on its clean pictures."""
        assert batch.clean is not None
        return _rendered(batch, *self.pair(batch.clean, generator))

    def pair(self, photographs: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """I and V (B, 3, H, W), t (B, 1, H, W) and (1 - t) A (B, 3, H, W)."""
        shares = self.shares
        clean = patterned(photographs, shares.patterns, generator)
        clean = foliage(clean, shares.foliage, generator)
        clean = degrade(clean, self.exposure, generator)
        clean = quantise(on_share(shares.noise, clean, Noise(sigma=(0.0, 0.04)), generator))
        pictures = rained(clean, self.rain, generator)
        wet = (pictures[0] != clean).flatten(1).any(dim=1).cpu()
        seen = pictures[0].flatten(1).mean(dim=1).cpu() < 1  # else all is white, behind a veil too
        chosen = wet & seen & (torch.rand(len(clean), generator=generator) < shares.veil)
        rainy, veiled, t, light = veil_of(on_chosen(chosen, pictures, Veil(), generator))
        chosen = torch.rand(len(clean), generator=generator) < shares.jpeg
        return *on_chosen(chosen, (quantise(rainy), quantise(veiled)), Jpeg(), generator), t, light

    def compare(self, rainy: Tensor, veiled: Tensor, t: Tensor, light: Tensor) -> dict[str, Tensor]:
        predicted = self.restorer.layers(rainy)
        return layer_loss(predicted, veiled, t, light)


def layer_loss(
    predicted: Mapping[str, Tensor], veiled: Tensor, t: Tensor, light: Tensor
) -> dict[str, Tensor]:
    """The terms `restore`, of the picture without its streaks, and `veil`, of the optical depth and
    the airlight that a restorer predicted."""
    return {
        "restore": relative(charbonnier(predicted["clean"] - veiled)),
        "veil": veil_loss(predicted["optical_depth"], predicted["airlight"], t, light),
    }


def veil_loss(depth: Tensor, airlight: Tensor, t: Tensor, light: Tensor) -> Tensor:
    """|tau' - tau| + |(1 - t) A' - (1 - t) A|, scalar."""
    return (depth + t.log()).abs().mean() + ((1 - t) * airlight - light).abs().mean()


def rained(clean: Tensor, rain: Degradation, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Pictures (B, 3, H, W) with rain, and with its veil alone: they, black and white."""
    params = drawn(rain, clean, generator)
    veil = dataclasses.replace(params, present=torch.zeros_like(params.present))
    bare = (clean, torch.zeros_like(clean), torch.ones_like(clean))
    return rain.apply(clean, params), *(rain.apply(picture, veil) for picture in bare)


def veil_of(pictures: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """I, V, t and (1 - t) A from what `rained` gives: black becomes (1 - t) A, white t more."""
    rainy, veiled, black, white = pictures
    return rainy, veiled, (white - black).mean(dim=1, keepdim=True).clamp(1e-3, 1), black


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
