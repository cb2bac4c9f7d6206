"""Supervision made by physics: haze over plausible distances of photographs, and the way back.

    I = store(J t + A (1 - t) + noise),     t = exp(-tau),     tau = thickness * depth * uneven

A part of the pictures mixes light, as air does, the rest display values, as the public sets do. A
part shows drawn scenes, of known distances. A part is what a derainer makes of heavy rain: streaks
and a veil, and the streaks removed as far as it can. The loss is of the restored picture, of t and
of A:

    relative(charbonnier(J' - J)),     |t' - t|,     (1 - t) |A' - A|
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from degradations.depth import plausible_depth
from degradations.haze import HazeParams, add_haze
from degradations.haze_like import MeasuredHaze, as_thick
from degradations.jpeg import Jpeg
from degradations.noise import Noise
from degradations.rain import Rain
from degradations.rain_kinds import RAIN_KINDS
from degradations.sampling import degrade, degrade_share
from degradations.scenes import drawn_scenes
from degradations.sensor import Sensor, quantise
from degradations.types import Range, uniform
from degradations.veil import Veil, VeilParams, add_veil
from ssl_restore.networks.dehazer import Dehazer, removable
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.objectives.rendered_rain import behind_veil, render_rain
from ssl_restore.types import Batch

ARRIVING: Range = (0.05, 0.95)  # share of the light that arrives from the median distance
EVEN = 0.15  # share with the same haze everywhere
THICKEST = 4.0
NEAR_AIRLIGHT = 0.01  # squared distance of colours
UNEVEN: Range = (0.0, 0.35)  # of the logarithm of the optical depth
DARKER: Range = (0.15, 0.5)  # airlight 1 - k u^1.5, u uniform; k from no haze to dense
DIM: Range = (0.2, 0.6)  # of the airlight, in the share `dim`: dusk and night
TINT: Range = (-0.06, 0.06)
STRONG_TINT: Range = (-0.18, 0.18)
EXPOSURE = Sensor(gain=(0.5, 1.3), contrast=(-0.3, 1.0))
NOISE = Noise(gain=(0.0, 0.004), sigma=(0.0, 0.02))
FILES = Jpeg(quality=(25.0, 98.0))
RAIN = Rain(rain_free=0.1, near=0.1, kinds=tuple(RAIN_KINDS), kind_share=0.3)
VEILED = 0.85  # share of the rainy pictures

Derain = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Shares:
    """Shares of the pictures."""

    haze_free: float = 0.12  # which must come back as they were
    linear: float = 0.35  # that mix light, not display values
    tinted: float = 0.15  # with strongly coloured airlight, such as dust or dusk
    dim: float = 0.08
    noise: float = 0.4
    jpeg: float = 0.6
    scenes: float = 0.25  # drawn, of known distances, that show parts of the photographs
    derained: float = 0.0  # heavy rain without its streaks


@dataclass(frozen=True, kw_only=True)
class Hazy(Batch):
    """Pictures with haze on them, and what is known of it."""

    target: Tensor  # J, (B, 3, H, W)
    hazy: Tensor  # I, (B, 3, H, W)
    transmission: Tensor  # t, (B, 1, H, W)
    airlight: Tensor  # A, (B, 3)

    def of(self, batch: Batch) -> Hazy:
        """With what another batch holds besides."""
        return replace(self, **vars(batch))


class SyntheticHaze(nn.Module):
    """Terms: `restore`, `transmission`, `airlight`.  Needs clean patches only.

    Args:
        restorer: What learns.
        shares: Of kinds of pictures.
        derain: Rainy picture (1, 3, H, W) -> the same without its streaks; None: none is rendered.
    """

    def __init__(
        self, restorer: Dehazer, shares: Shares = Shares(), derain: Derain | None = None
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.shares = shares
        self.derain = derain

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        hazy = batch if isinstance(batch, Hazy) else self.prepare(batch, generator)
        return haze_loss(self.restorer, hazy)[0]

    def prepare(self, batch: Batch, generator: torch.Generator) -> Hazy:
        """The batch with haze on its clean pictures."""
        assert batch.clean is not None
        photographs, count = batch.clean, 0
        if self.derain is not None:
            chosen = torch.rand(len(photographs), generator=generator) < self.shares.derained
            count = int(chosen.sum())
        parts = []
        if self.derain is not None and count:
            parts.append(derained(photographs[:count], self.derain, generator))
        if count < len(photographs):
            parts.append(hazed(photographs[count:], self.shares, generator))
        names = ("target", "hazy", "transmission", "airlight")
        joined: dict[str, Any] = {n: torch.cat([getattr(one, n) for one in parts]) for n in names}
        return replace(parts[0], **joined).of(batch)


def derained(photographs: Tensor, derain: Derain, generator: torch.Generator) -> Hazy:
    """Photographs (B, 3, H, W) in rain, most of it behind a veil, without their streaks."""
    clean = quantise(degrade(photographs, EXPOSURE, generator))
    rain = render_rain(clean, RAIN, generator)
    behind = torch.rand(len(clean), generator=generator) < VEILED
    rain = behind_veil(rain, behind, Veil(), generator)
    rainy = degrade_share(0.5, rain.rainy.clamp(0, 1), NOISE, generator)
    rainy = quantise(degrade_share(0.6, rainy, FILES, generator))
    with torch.no_grad():
        seen = [derain(one).to(clean) for one in rainy.split(1)]
    t = rain.transmission.expand_as(clean[:, :1])
    light = rain.light.expand_as(clean).mean(dim=(2, 3))
    arriving = t.mean(dim=(2, 3))
    return Hazy(
        clean=None, degraded=None, target=clean, hazy=quantise(torch.cat(seen)),
        transmission=t, airlight=(light / (1 - arriving).clamp_min(1e-3)).clamp(0, 1),
    )  # fmt: skip


def hazed(
    photographs: Tensor,
    shares: Shares,
    generator: torch.Generator,
    known: Sequence[MeasuredHaze | None] = (),
) -> Hazy:
    """Haze on photographs (B, 3, H, W).

    Of some of them it may be `known`: thickness and colour, in place of what is drawn.
    """
    count = len(photographs)

    def share(of: float) -> Tensor:
        return torch.rand(count, generator=generator) < of

    drawn = share(shares.scenes)
    clean = photographs.clone()
    if drawn.any():
        clean[drawn], distances = drawn_scenes(photographs[drawn], generator)
    clean = quantise(degrade(clean, EXPOSURE, generator))
    depth = plausible_depth(clean, generator)
    if drawn.any():
        depth[drawn] = distances / distances.flatten(1).median(dim=1)[0].view(-1, 1, 1, 1)
    even = share(EVEN).view(-1, 1, 1, 1).to(clean.device)
    depth = torch.where(even, torch.ones_like(depth), depth)
    nodes = torch.randn((count, 1, 4, 4), generator=generator).to(clean)
    smooth = F.interpolate(nodes, clean.shape[-2:], mode="bicubic", align_corners=True)
    uneven = (uniform(UNEVEN, (count, 1, 1, 1), generator).to(clean) * smooth).exp()
    thickness = -uniform(ARRIVING, (count, 1, 1, 1), generator).log()
    thickness = torch.where(share(shares.haze_free).view(-1, 1, 1, 1), 0.0, thickness).to(clean)
    tau = (thickness * depth * uneven).clamp_max(THICKEST)
    dense = 1 - (-thickness).exp().flatten().cpu()
    airlight = drawn_airlight(dense, shares, generator).to(clean)
    for number, haze in enumerate(known):
        if haze is not None:
            tau[number] = as_thick(depth[number], haze)
            airlight[number] = clean.new_tensor([haze.red, haze.green, haze.blue])
    linear = share(shares.linear).view(-1, 1, 1, 1).to(clean.device)
    light = add_haze(clean, HazeParams(tau, torch.ones(count), airlight))
    display = add_veil(clean, VeilParams(tau, airlight))
    hazy = torch.where(linear, light, display)
    hazy = quantise(degrade_share(shares.noise, hazy, NOISE, generator))
    hazy = degrade_share(shares.jpeg, hazy, FILES, generator)
    t = (-tau).exp()
    t = torch.where(linear, as_display_mixes(clean, light, airlight, t), t)
    return Hazy(
        clean=None, degraded=None, target=clean, hazy=quantise(hazy), transmission=t,
        airlight=airlight,
    )  # fmt: skip


def as_display_mixes(clean: Tensor, hazy: Tensor, airlight: Tensor, t: Tensor) -> Tensor:
    """(B, 1, H, W) transmission with which display values mix to what light has become.

    The t nearest to I - A = t (J - A) over the colours: it is what a restorer of display values has
    to find. Where a colour is that of the airlight, any would do, and the given t stays.
    """
    away, still = (x - airlight[:, :, None, None] for x in (clean, hazy))
    power = away.square().sum(dim=1, keepdim=True)
    found = (away * still).sum(dim=1, keepdim=True) / power.clamp_min(NEAR_AIRLIGHT)
    return torch.where(power > NEAR_AIRLIGHT, found.clamp(0, 1), t)


def drawn_airlight(dense: Tensor, shares: Shares, generator: torch.Generator) -> Tensor:
    """(B, 3) display values, where a share `dense` (B,) of the light comes from the air.

    Haze far off is as bright as the sky; a picture full of it is exposed until it is grey.
    """
    count = len(dense)
    dim = torch.rand(count, 1, generator=generator) < shares.dim
    darker = torch.lerp(torch.tensor(DARKER[0]), torch.tensor(DARKER[1]), dense)[:, None]
    bright = 1 - darker * torch.rand(count, 1, generator=generator) ** 1.5
    grey = torch.where(dim, uniform(DIM, (count, 1), generator), bright)
    strong = torch.rand(count, 1, generator=generator) < shares.tinted
    faint = uniform(TINT, (count, 3), generator)
    tint = torch.where(strong, uniform(STRONG_TINT, (count, 3), generator), faint)
    return (grey + tint).clamp(0, 1)


def haze_loss(restorer: Dehazer, hazy: Hazy) -> tuple[dict[str, Tensor], Tensor]:
    """The terms of a dehazer on pictures of which all is known, and what it restored."""
    depth, airlight = restorer.haze(hazy.hazy)
    away = removable(hazy.hazy, depth, airlight).expm1()
    clean = hazy.hazy + away * (hazy.hazy - airlight)
    t = hazy.transmission
    predicted = (-depth.clamp(-1, THICKEST)).exp()  # where it sees less than none, it learns, too
    terms = {
        "restore": relative(charbonnier(clean - hazy.target)),
        "transmission": (predicted - t).abs().mean(),
        "airlight": ((1 - t) * (airlight - hazy.airlight[:, :, None, None]).abs()).mean(),
    }
    return terms, clean
