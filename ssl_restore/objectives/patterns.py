"""Bright patterns drawn on clean photographs: what a derainer mistakes for rain.

Lattices, blinds, grilles, striped cloth and corrugated iron are dense, straight and bright, as
heavy rain is, but regular; the sky between leaves and twigs is bright and in small pieces, but of
all forms. Photographs hold too few of them to learn the difference from.

    J' = s J + w (colour - s J)
    regular    w = opacity * mask * wave,   wave = logistic(k (cos(phase) - c))
    foliage    w = logistic(k (n - c)) between leaves,   logistic(k (|n| - c)) between twigs

The phase grows along a random direction, faster or slower with the distance (perspective), and
bends (cloth); a lattice is the brighter of two waves. n is normal noise of two sizes, and c, which
grows over the picture, lets more or less of the sky through: single gaps, where c is high. The
shade s darkens what is not bright.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from degradations.types import Range, uniform

PERIOD_PX: Range = (3.0, 32.0)
OPACITY: Range = (0.3, 1.0)
LATTICES = 0.4  # share with two waves
EVERYWHERE = 0.5  # share without a mask
LEAF_PX: Range = (0.8, 6.0)  # standard deviation of the Gaussian that makes n from white noise
TWIGS = 0.4  # share of foliage without leaves
GAPS = 0.5  # share of dark foliage with single gaps
UPRIGHT: Range = (0.8, 2.0)  # height of leaves and gaps over their width

Draw = Callable[..., Tensor]  # (low, high, log=False) -> (B, 1, 1, 1)


def foliage(clean: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W) display values in [0, 1] -> the same, a random `share` before a bright sky."""
    return _on_share(clean, share, generator, _sky_between_leaves)


def patterned(clean: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W) display values in [0, 1] -> the same, a random `share` with a regular one."""
    return _on_share(clean, share, generator, _regular)


def _on_share(
    clean: Tensor,
    share: float,
    generator: torch.Generator,
    layer: Callable[[tuple[int, ...], Draw, torch.Generator], tuple[Tensor, ...]],
) -> Tensor:
    """s J + w (colour - s J) on the chosen ones, of what `layer` draws: w, colour and s."""
    chosen = (torch.rand(len(clean), generator=generator) < share).nonzero()[:, 0]
    if not len(chosen):
        return clean

    def draw(low: float, high: float, *, log: bool = False) -> Tensor:
        return uniform((low, high), (len(chosen), 1, 1, 1), generator, log=log)

    drawn = layer((len(chosen), *clean.shape[1:]), draw, generator)
    weight, colour, shade = (part.to(clean.device) for part in drawn)
    chosen = chosen.to(clean.device)
    ground = shade * clean[chosen]
    return clean.index_copy(0, chosen, ground + weight * (colour.clamp(0, 1) - ground))


def _sky_between_leaves(
    shape: tuple[int, ...], draw: Draw, generator: torch.Generator
) -> tuple[Tensor, ...]:
    batch, _, height, width = shape
    upright = draw(*UPRIGHT, log=True)
    squared = (upright * torch.fft.fftfreq(height)[:, None]).square()
    squared = squared + torch.fft.rfftfreq(width).square()

    def normal(sigma_px: Tensor) -> Tensor:
        """White noise smoothed by a Gaussian, then of mean 0 and variance 1: (B, 1, H, W)."""
        white = torch.fft.rfft2(torch.randn(batch, 1, height, width, generator=generator))
        noise = torch.fft.irfft2(white * (-2 * (math.pi * sigma_px).square() * squared).exp())
        noise = noise.view(batch, 1, height, width)
        centred = noise - noise.mean(dim=(2, 3), keepdim=True)
        return centred / centred.std(dim=(2, 3), keepdim=True).clamp_min(1e-6)

    leaf, mix = draw(*LEAF_PX, log=True), draw(0, 0.7)
    noise = (1 - mix).sqrt() * normal(leaf) + mix.sqrt() * normal(leaf * draw(2, 5))
    slope = draw(0, 1.5) * normal(torch.full((batch, 1, 1, 1), max(height, width) / 4))
    leaves, twigs = noise - draw(-0.5, 1.5) - slope, noise.abs() - draw(0.1, 0.8) + 0.3 * slope
    open_sky = torch.where(draw(0, 1) < TWIGS, twigs, leaves)
    gaps = draw(0, 1) < GAPS
    open_sky = torch.where(gaps, noise - draw(1.2, 2.4) - slope.clamp_min(-1), open_sky)
    weight = torch.sigmoid(draw(4, 30, log=True) * open_sky)
    sky = draw(0.5, 1) + 0.04 * torch.randn(batch, 3, 1, 1, generator=generator)
    return weight, sky, torch.where(gaps, draw(0.1, 0.5), draw(0.1, 0.8))


def _regular(shape: tuple[int, ...], draw: Draw, generator: torch.Generator) -> tuple[Tensor, ...]:
    batch, _, height, width = shape

    def smooth() -> Tensor:
        """Standard normal on a coarse grid, enlarged: (B, 1, H, W)."""
        coarse = torch.randn(batch, 1, 4, 4, generator=generator)
        return F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)

    y = torch.linspace(-0.5, 0.5, height).view(1, 1, -1, 1) * height
    x = torch.linspace(-0.5, 0.5, width).view(1, 1, 1, -1) * width

    def wave() -> Tensor:
        angle = draw(-math.pi / 2, math.pi / 2)  # of the bars, from the vertical
        angle = torch.where(draw(0, 1) < 0.5, 0.3 * angle, angle)  # half of them fall like rain
        along, across = y * angle.cos() - x * angle.sin(), x * angle.cos() + y * angle.sin()
        cycles = across / draw(*PERIOD_PX, log=True)
        cycles = cycles * (1 + draw(-0.5, 0.5) * along / height)  # perspective
        cycles = cycles + draw(0, 1) + draw(0, 0.3) * smooth()
        centre = (math.pi * draw(0.1, 0.7)).cos()
        return torch.sigmoid(draw(2, 20, log=True) * ((2 * math.pi * cycles).cos() - centre))

    first, second = wave(), wave()
    pattern = torch.where(draw(0, 1) < LATTICES, torch.maximum(first, second), first)
    mask = torch.where(draw(0, 1) < EVERYWHERE, torch.ones(()), torch.sigmoid(6 * smooth()))
    colour = draw(0, 1) + 0.05 * torch.randn(batch, 3, 1, 1, generator=generator)
    return draw(*OPACITY) * mask * pattern, colour, draw(0.2, 1)
