"""Populations of rain streaks: what streaks scatter about, and how they are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .streaks import RainParams, StreakLayers, join_streaks, pack_rows
from .types import Range, Shape, uniform

GAP: Range = (1.2, 4.0)  # from drop to drop of a path, in lengths
GAP_JITTER = 0.3  # standard deviation
WAVES: Range = (0.5, 2.0)  # of the density, over a side of the picture
# Of drops farther away, against those that the numbers of a population tell.
FAR_LENGTH, FAR_WIDTH, FAR_BRIGHTNESS = 0.3, 0.7, 0.2
FAR_SPREADS = {"length_spread": 0.6, "width_spread": 0.3, "brightness_spread": 0.7}


@dataclass(frozen=True)
class Apart:
    """What populations have in layers of their own: one row an image, one column a population.

    Example:
        >>> rain = Rain(populations=(2, 2), kinds=("drips",))
        >>> rain.populate(3, torch.Generator().manual_seed(0)).apart.opacity.shape
        torch.Size([3, 2])
    """

    layer: Tensor  # (B, P) int64, farthest first
    ceiling: Tensor  # (B, P) of the layer of that column, as all below
    opacity: Tensor  # (B, P)
    tint: Tensor  # (B, P, 3)
    lit: Tensor  # (B, P)
    wobble: Tensor  # (B, P) amplitude to the side over the width
    gusts: Tensor  # (B, P) from 0 to 1: swing of the density over the picture
    along: Tensor  # (B, P) int64 drops that follow each other on one path


@dataclass(frozen=True)
class Populations:
    """Parameters of `draw_streaks`: one row an image, one column a population.

    Lengths, widths and brightnesses of streaks are log-normal about their means; a `_spread` is
    the standard deviation of the logarithm, `angle_spread_rad` that of the angle. A share
    `depth_share` of the variance of length and of width is common to both: a drop closer to the
    camera is longer and wider.

    Example:
        >>> Rain(populations=(2, 2)).populate(3, torch.Generator().manual_seed(0)).coverage.shape
        torch.Size([3, 2])
    """

    angle_rad: Tensor  # (B, P)
    angle_spread_rad: Tensor  # (B, P)
    length_px: Tensor  # (B, P)
    length_spread: Tensor  # (B, P)
    width_px: Tensor  # (B, P)
    width_spread: Tensor  # (B, P)
    brightness: Tensor  # (B, P) display units
    brightness_spread: Tensor  # (B, P)
    coverage: Tensor  # (B, P) sum of length x width over the area; 0: no such population
    taper: Tensor  # (B, P)
    depth_share: Tensor  # (B, P) from 0 to 1
    ripple: Tensor  # (B, P) from 0 to 1
    ripple_px: Tensor  # (B, P)
    ceiling: Tensor  # (B,)
    transmission: Tensor  # (B,)
    airlight: Tensor  # (B,)
    apart: Apart | None = None  # layers of their own


def draw_streaks(populations: Populations, shape: Shape, generator: torch.Generator) -> RainParams:
    """Streaks of these populations, Poisson-many.

    Args:
        populations: of B images.
        shape: (B, C, H, W) of the images.
        generator: a CPU stream.

    Returns:
        Streaks in and around the picture, so that those from outside reach in.

    Example:
        >>> stream = torch.Generator().manual_seed(0)
        >>> populations = Rain(rain_free=1).populate(2, stream)
        >>> draw_streaks(populations, (2, 3, 40, 40), stream).present.any()
        tensor(False)
    """
    batch, _, height, width = shape
    p = populations
    most = p.coverage.shape[1]
    # Streaks whose centre lies outside reach in: draw them over a wider frame.
    reach = p.length_px * (2 * p.length_spread).exp() / 2
    right = reach * (p.angle_rad.sin().abs() + 2 * p.angle_spread_rad).clamp(max=1)
    down = reach * (p.angle_rad.cos().abs() + 2 * p.angle_spread_rad).clamp(max=1)
    right, down = right + 2 * p.width_px, down + 2 * p.width_px
    area = (height + 2 * down) * (width + 2 * right)
    together = p.depth_share * p.length_spread * p.width_spread  # covariance of the logarithms
    streak_area = p.length_px * p.width_px * together.exp()
    expected = p.coverage * area / streak_area
    if p.apart is not None:
        expected = expected / p.apart.along * (1 + p.apart.gusts)  # those that thin it
    count = torch.poisson(expected, generator=generator)
    owner = torch.repeat_interleave(count.long().flatten())  # population of each streak, flat

    def of(population: Tensor) -> Tensor:
        return population.flatten()[owner]

    def normal() -> Tensor:
        return torch.randn(len(owner), generator=generator)

    def scattered(mean: Tensor, spread: Tensor, unit: Tensor) -> Tensor:
        return of(mean) * (of(spread) * unit - of(spread).square() / 2).exp()

    def spread_over(side: int, margin: Tensor) -> Tensor:
        return torch.rand(len(owner), generator=generator) * of(side + 2 * margin) - of(margin)

    depth = of(p.depth_share).sqrt() * normal()
    own = (1 - of(p.depth_share)).sqrt()
    length = scattered(p.length_px, p.length_spread, depth + own * normal()).clamp_min(1)
    wide = scattered(p.width_px, p.width_spread, depth + own * normal())
    angle = of(p.angle_rad) + of(p.angle_spread_rad) * normal()
    x, y = spread_over(width, right), spread_over(height, down)
    apart = p.apart
    if apart is not None:
        owner, drawn = _on_paths(apart, owner, (x, y, angle, length, wide), generator)
        kept = _in_gusts(apart, owner, drawn[0] / width, drawn[1] / height, generator)
        owner, (x, y, angle, length, wide) = owner[kept], (values[kept] for values in drawn)
    rows, present = pack_rows(owner // most, batch)
    return RainParams(
        x_px=rows(x),
        y_px=rows(y),
        angle_rad=rows(angle),
        length_px=rows(length),
        width_px=rows(wide),
        brightness=rows(scattered(p.brightness, p.brightness_spread, normal())),
        taper=rows(of(p.taper)),
        ripple=rows(of(p.ripple)),
        ripple_px=rows(of(p.ripple_px)),
        phase_rad=rows(2 * math.pi * torch.rand(len(owner), generator=generator)),
        present=present,
        ceiling=p.ceiling if apart is None else apart.ceiling,
        transmission=p.transmission,
        airlight=p.airlight,
        wobble_px=None if apart is None else rows(of(apart.wobble) * wide),
        layers=None if apart is None else StreakLayers(
            rows(of(apart.layer)) * present, apart.opacity, apart.tint, apart.lit
        ),
    )  # fmt: skip


def _on_paths(
    apart: Apart, owner: Tensor, paths: tuple[Tensor, ...], generator: torch.Generator
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Population, x, y, angle, length and width of drops that follow each other on these paths."""
    along = apart.along.flatten()[owner]
    path = torch.repeat_interleave(along)
    number = torch.arange(len(path)) - (along.cumsum(0) - along)[path]
    gap = uniform(GAP, (len(along),), generator)[path]
    jitter = GAP_JITTER * torch.randn(len(path), generator=generator) * (along[path] > 1)
    x, y, angle, length, wide = (values[path] for values in paths)
    way = ((number - (along[path] - 1) / 2) * gap + jitter) * length
    return owner[path], (x + way * angle.sin(), y + way * angle.cos(), angle, length, wide)


def _in_gusts(
    apart: Apart, owner: Tensor, x: Tensor, y: Tensor, generator: torch.Generator
) -> Tensor:
    """Which streaks at x and y, in sides of the picture, are there where the density varies."""
    size = apart.gusts.shape
    swing = apart.gusts.flatten()[owner]
    turn, phase = (2 * math.pi * torch.rand(size, generator=generator) for _ in range(2))
    waves = 2 * math.pi * uniform(WAVES, size, generator)
    right, down, phase = (
        values.flatten()[owner] for values in (waves * turn.cos(), waves * turn.sin(), phase)
    )
    density = 1 + swing * (right * x + down * y + phase).cos()
    return torch.rand(len(owner), generator=generator) * (1 + swing) <= density


def farther(populations: Populations, share: Tensor) -> Populations:
    """The drops behind those of `populations`: short, thin and dim.

    They hardly add light, but most of the streaks that can be counted are theirs.

    Args:
        populations: of B images.
        share: (B,) their coverage over that of `populations`.

    Returns:
        Populations of the same shape.

    Example:
        >>> near = Rain(length_px=(50, 50)).populate(1, torch.Generator().manual_seed(0))
        >>> farther(near, torch.tensor([0.5])).length_px[0, 0].round()
        tensor(15.)
    """
    p = populations
    spreads: dict[str, Any] = {
        name: torch.full_like(p.coverage, spread) for name, spread in FAR_SPREADS.items()
    }
    return replace(
        p,
        length_px=FAR_LENGTH * p.length_px,
        width_px=FAR_WIDTH * p.width_px,
        brightness=FAR_BRIGHTNESS * p.brightness,
        coverage=share[:, None] * p.coverage,
        **spreads,
    )


def with_farther(
    streaks: RainParams,
    populations: Populations,
    share: Tensor,
    shape: Shape,
    generator: torch.Generator,
) -> RainParams:
    """Streaks of populations, joined by those of the drops `farther` away.

    Args:
        streaks: of these populations.
        populations: of B images.
        share: (B,) coverage of the farther drops over that of the others.
        shape: (B, C, H, W) of the images.
        generator: a CPU stream.

    Returns:
        Both, image by image.

    Example:
        >>> stream, shape = torch.Generator().manual_seed(0), (1, 3, 40, 40)
        >>> near = Rain(rain_free=0).populate(1, stream)
        >>> streaks = draw_streaks(near, shape, stream)
        >>> both = with_farther(streaks, near, torch.tensor([0.5]), shape, stream)
        >>> bool(both.present.sum() > streaks.present.sum())
        True
    """
    return join_streaks(streaks, draw_streaks(farther(populations, share), shape, generator))
