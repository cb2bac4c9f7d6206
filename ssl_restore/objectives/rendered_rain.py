"""Rain rendered on clean pictures with what a restorer is to find in them, and the loss of that.

    I = t (J + R) + (1 - t) A,      V = t J + (1 - t) A

I is the rainy picture and V the same without its streaks; both are what the degradation makes of J,
whatever it does besides rain. Its veil, transmission t and light (1 - t) A, is known from its
parameters. Loss of the layers that a restorer predicts:

    relative(charbonnier(V' - V))    and    |tau' - tau| + |(1 - t) A' - (1 - t) A|,   tau = -ln t

The veil is learned from its truth: from the restored picture alone it was not, because a veil and a
layer of streaks can stand in for each other (benchmarks/EXPERIMENTS.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from degradations.capabilities import without_streaks
from degradations.sampling import sample_params
from degradations.sensor import quantise
from degradations.types import Degradation
from degradations.veil import Veil, veil
from ssl_restore.objectives.distance import EPS, FLOOR, charbonnier, relative
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

LEAST_TRANSMISSION = 1e-3
ODDS = 8.0  # of rain left to background taken, where a restorer is to be as thorough as it can


@dataclass(frozen=True, kw_only=True)
class RenderedRain(Batch):
    """A batch with rain on clean pictures, and what is known of it."""

    rainy: Tensor  # I, (B, 3, H, W)
    veiled: Tensor  # V, (B, 3, H, W)
    transmission: Tensor  # t, (B, 1, 1 or H, 1 or W)
    light: Tensor  # (1 - t) A, (B, 3, 1 or H, 1 or W)

    def of(self, batch: Batch) -> RenderedRain:
        """With what another batch holds besides."""
        return replace(self, **vars(batch))

    def stored(self) -> RenderedRain:
        """As it is in a file, in 8 bits."""
        return replace(self, rainy=quantise(self.rainy), veiled=quantise(self.veiled))


def render_rain(clean: Tensor, rain: Degradation, generator: torch.Generator) -> RenderedRain:
    """Rain of any degradation, drawn for clean pictures (B, 3, H, W) in [0, 1]."""
    params = sample_params(rain, clean, generator)
    transmission, light = veil(rain, params, clean)
    return RenderedRain(
        clean=clean,
        degraded=None,
        rainy=rain.apply(clean, params),
        veiled=rain.apply(clean, without_streaks(rain, params)),
        transmission=transmission.clamp(LEAST_TRANSMISSION, 1).expand(len(clean), -1, -1, -1),
        light=light.expand(*clean.shape[:2], -1, -1),
    )


def behind_veil(
    rendered: RenderedRain, chosen: Tensor, prior: Veil, generator: torch.Generator
) -> RenderedRain:
    """The `chosen` (B,) pictures behind a veil besides: t2 (t J + ...) + (1 - t2) A2."""
    where = chosen.nonzero()[:, 0].to(rendered.rainy.device)
    if not len(where):
        return rendered
    params = sample_params(prior, rendered.rainy[where], generator)
    t, light = veil(prior, params, rendered.rainy[where])
    size = rendered.rainy[:, :1].shape
    before = rendered.transmission.expand(size), rendered.light.expand_as(rendered.rainy)
    rainy, veiled = (
        picture.index_copy(0, where, prior.apply(picture[where], params))
        for picture in (rendered.rainy, rendered.veiled)
    )
    transmission = (t * before[0][where]).clamp(LEAST_TRANSMISSION, 1)
    return replace(
        rendered,
        rainy=rainy,
        veiled=veiled,
        transmission=before[0].index_copy(0, where, transmission),
        light=before[1].index_copy(0, where, t * before[1][where] + light),
    )


def joined(one: RenderedRain, other: RenderedRain) -> RenderedRain:
    """The pictures of both, of which all is known for every pixel."""
    size = one.rainy.shape[-2:]

    def both(name: str) -> Tensor:
        parts = (getattr(rendered, name) for rendered in (one, other))
        return torch.cat([part.expand(-1, -1, *size) for part in parts])

    return RenderedRain(
        clean=None, degraded=None, rainy=both("rainy"), veiled=both("veiled"),
        transmission=both("transmission"), light=both("light"),
    )  # fmt: skip


def layer_loss(
    predicted: Mapping[str, Tensor],
    rendered: RenderedRain,
    thorough: Tensor | None = None,
    *,
    eps: float = EPS,
    floor: float = FLOOR,
) -> dict[str, Tensor]:
    """The terms `restore`, of the picture without its streaks, and `veil`, of the optical depth and
    the airlight that a restorer predicted; `eps` is of `charbonnier`, `floor` of `relative`.

    Where the restorer was told how `thorough` (B,) to be, light that is left costs r times as much
    as light that was taken too much, r = ODDS^(2 thorough - 1): what is predicted is the quantile
    r / (1 + r) of what can be meant.
    """
    t, light = rendered.transmission, rendered.light
    error, weight = predicted["clean"] - rendered.veiled, None
    if thorough is not None:
        share = torch.sigmoid((2 * thorough - 1) * math.log(ODDS)).view(-1, 1, 1, 1)
        weight = 2 * torch.where(error > 0, share, 1 - share)
    return {
        "restore": relative(charbonnier(error, eps, weight), floor),
        "veil": veil_loss(predicted["optical_depth"], predicted["airlight"], t, light),
    }


def predicted_layers(
    restorer: Restorer, rendered: RenderedRain, generator: torch.Generator
) -> tuple[Mapping[str, Tensor], Tensor | None]:
    """Layers of the rainy pictures, and how thorough a restorer that can be told was told to be."""
    if restorer.thorough is None:
        return restorer.layers(rendered.rainy), None
    thorough = torch.rand(len(rendered.rainy), generator=generator).to(rendered.rainy)
    told: Any = restorer  # its `layers` takes it
    return told.layers(rendered.rainy, thorough=thorough), thorough


def veil_loss(depth: Tensor, airlight: Tensor, t: Tensor, light: Tensor) -> Tensor:
    """|tau' - tau| + |(1 - t) A' - (1 - t) A|, scalar."""
    return (depth + t.log()).abs().mean() + ((1 - t) * airlight - light).abs().mean()
