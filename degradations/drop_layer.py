"""What a layer of drops does at each pixel of the picture, drop by drop in small windows.

    w_i(x) = o_i q_i^2 smoothstep((n_i + a_i - d_i(x)) / (2 a_i)),     n = sqrt(m^2 - a^2 / 5),
    m = max(radius, defocus),     a = min(radius, defocus) + 1/2,     q = radius / m

The image of a drop before a lens focused far away is its outline convolved with the aperture's
circle of confusion: w is that of two discs, one of the drop and one of the defocus. A drop that
is smaller than the circle of confusion fills a share q^2 of the aperture, and shows the circle.
d is the distance from the centre, measured in an outline exp(sum of harmonics) wide. Touching
drops merge: the weights add up to at most one, all else is their weighted mean.

References: Roser, Kurz and Geiger, "Realistic modeling of water droplets for monocular adherent
raindrop recognition using Bezier curves", ACCV 2010 (outlines, refraction); You, Tan, Kawakami,
Mukaigawa and Ikeuchi, "Adherent raindrop modeling, detection and removal in video", IEEE TPAMI
2016 (blending by the share of the aperture that a drop covers).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FIRST_HARMONIC = 2  # the first one is a shift
_ARC = 0.62  # of the radius, where the highlight lies
_ARC_WIDTH = 0.16  # of the radius, in focus
_ARC_ASPECT = 3.0  # narrowness of the highlight along the rim
_RAMP = 0.2  # variance of the slope of the smoothstep, over the square of half its width
_TINY = 1e-6


@dataclass(frozen=True)
class Outlines:
    """P drops, one row each, and the image that each lies on."""

    image: Tensor  # (P,) whole number
    x_px: Tensor  # (P,)
    y_px: Tensor  # (P,)
    radius_px: Tensor  # (P,) of the disc of the same area
    defocus_px: Tensor  # (P,) radius of the circle of confusion
    stretch: Tensor  # (P,) height over width
    harmonics: Tensor  # (P, 2 K) cosine and sine of each, in the logarithm of the radius
    opacity: Tensor  # (P,)
    bend: Tensor  # (P,)
    light: Tensor  # (P,)
    rim: Tensor  # (P,)
    highlight: Tensor  # (P,)
    angle_rad: Tensor  # (P,)


@dataclass(frozen=True)
class DropLayer:
    """Maps of a layer of drops."""

    alpha: Tensor  # (B, 1, H, W) share of the aperture that drops cover
    shift_px: Tensor  # (B, 2, H, W) right and down, to what the drop shows
    light: Tensor  # (B, 1, H, W) share of the light that passes
    glow: Tensor  # (B, 1, H, W) highlights, alpha included


def _windows(drops: Outlines, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """(drop, row, column) of every pixel that a drop may touch, each (M,) whole numbers."""
    with torch.no_grad():
        pairs = torch.hypot(drops.harmonics[:, ::2], drops.harmonics[:, 1::2]).sum(1)
        middle = torch.maximum(drops.radius_px, drops.defocus_px)
        round_reach = middle * (pairs * drops.radius_px / middle).exp()
        round_reach = round_reach + torch.minimum(drops.radius_px, drops.defocus_px) + 1
        root = drops.stretch.sqrt()

        def span(centre: Tensor, reach: Tensor, size: int) -> tuple[Tensor, Tensor]:
            first = (centre - reach).ceil().clamp(0, size).long()
            last = (centre + reach).floor().clamp(-1, size - 1).long()
            return first, (last - first + 1).clamp_min(0)

        top, rows = span(drops.y_px, round_reach * root, height)
        left, columns = span(drops.x_px, round_reach / root, width)
        count = rows * columns
        drop = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
        windows = torch.stack([top, left, columns, count.cumsum(0) - count])
        top, left, columns, first = windows.index_select(1, drop)
        place = torch.arange(len(drop), device=count.device) - first
        down = torch.div(place, columns, rounding_mode="floor")
        return drop, top + down, left + place - down * columns


def _outline(cosine: Tensor, sine: Tensor, harmonics: Tensor) -> Tensor:
    """exp(sum of a_k cos(k angle) + b_k sin(k angle)), k from 2 on; (M,), (M,), (2 K, M) -> (M,)"""
    real, imaginary = cosine, sine
    total = torch.zeros_like(cosine)
    for a, b in zip(harmonics[::2], harmonics[1::2], strict=True):
        real, imaginary = real * cosine - imaginary * sine, real * sine + imaginary * cosine
        total = total + a * real + b * imaginary
    return total.exp()


def drop_layer(drops: Outlines, batch: int, height: int, width: int) -> DropLayer:
    """The maps of P drops on B images; those of a picture without drops are 0, and its light 1.

    Args:
        drops: in any order.
        batch: B.
        height: of the images.
        width: of the images.

    Returns:
        Maps of shape (B, 1 or 2, H, W).
    """
    drop, row, column = _windows(drops, height, width)
    middle = torch.maximum(drops.radius_px, drops.defocus_px)
    edge = torch.minimum(drops.radius_px, drops.defocus_px) + 0.5
    filled = drops.radius_px / middle
    even = (middle.square() - _RAMP * edge.square()).sqrt()
    arc = _ARC_WIDTH + 0.5 * (1 - filled)

    outlines = torch.stack([drops.x_px, drops.y_px, drops.stretch.sqrt(), even, edge])
    x, y, root, even, edge = outlines.index_select(1, drop)
    right, down = column - x, row - y
    u, v = right * root, down / root
    distance = (u * u + v * v + _TINY).sqrt()
    cosine, sine = u / distance, v / distance
    harmonics = (filled.unsqueeze(1) * drops.harmonics).T.index_select(1, drop)
    own = even * _outline(cosine, sine, harmonics)
    ramp = ((own + edge - distance) / (2 * edge)).clamp(0, 1)

    seen = ramp.detach().nonzero().squeeze(1)  # beyond, value and slope are 0
    drop, row, column = (t.index_select(0, seen) for t in (drop, row, column))
    ramp, right, down, cosine, sine, inner = (
        t.index_select(0, seen) for t in (ramp, right, down, cosine, sine, distance / own)
    )
    looks = torch.stack(
        [
            drops.opacity * filled.square(), drops.bend, drops.light, drops.rim * filled,
            drops.highlight * (_ARC_WIDTH / arc), arc, drops.angle_rad.sin(), drops.angle_rad.cos(),
        ]
    )  # fmt: skip
    peak, bend, light, rim, highlight, arc, toward_x, toward_y = looks.index_select(1, drop)
    weight = peak * ramp * ramp * (3 - 2 * ramp)
    passed = light * (1 - rim * inner.clamp(max=1) ** 4)
    across, along = (inner - _ARC) / arc, cosine * toward_x + sine * toward_y - 1
    glow = highlight * torch.exp(_ARC_ASPECT * along - across * across / 2)

    values = torch.stack([torch.ones_like(weight), -bend * right, -bend * down, passed, glow])
    flat = values.new_zeros(5, batch * height * width).index_add(
        1, (drops.image.index_select(0, drop) * height + row) * width + column, weight * values
    )
    total, shift_x, shift_y, passed, glow = flat.view(5, batch, 1, height, width)
    covered = total.clamp_min(_TINY)
    return DropLayer(
        alpha=total.clamp(max=1),
        shift_px=torch.cat([shift_x, shift_y], dim=1) / covered,
        light=torch.where(total > 0, passed / covered, 1),
        glow=glow / total.clamp_min(1),
    )
