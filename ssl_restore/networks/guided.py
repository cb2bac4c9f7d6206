"""Guided filter as a linear model: what is known at a small size, as a function of the colours.

Its coefficients are smooth, so that they can be brought up to the full size, where they give the
values the edges of the full picture.

References: He, Sun and Tang, "Guided image filtering", PAMI 2013; Wu, Zheng, Zhang and Huang,
"Fast end-to-end trainable guided filter", CVPR 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from degradations.depth import box_mean
from ssl_restore.networks.overview import square_means


def linear_in_colour(
    guide: Tensor, values: Tensor, radius: int, eps: float
) -> tuple[Tensor, Tensor]:
    """Guided filter by a picture (B, 3, h, w): smooth a (B, 3, h, w) and b (B, 1, h, w) such that
    a . guide + b is near the values (B, 1, h, w) around each pixel.

        a = (cov(guide) + eps)^-1 cov(guide, values),     b = mean(values) - a . mean(guide)
    """

    def mean(x: Tensor) -> Tensor:
        return box_mean(x, radius)

    centre = guide.mean(dim=(2, 3), keepdim=True)  # differences of squares need small numbers
    g = guide - centre
    g_mean, v_mean = mean(g), mean(values)
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    products = mean(torch.cat([g[:, i : i + 1] * g[:, j : j + 1] for i, j in pairs], dim=1))
    rows: list[list[Tensor]] = [[g] * 3 for _ in range(3)]
    for number, (i, j) in enumerate(pairs):
        entry = products[:, number] - g_mean[:, i] * g_mean[:, j]
        rows[i][j] = rows[j][i] = entry + eps if i == j else entry
    a = _solved(rows, mean(g * values) - g_mean * v_mean)
    b = v_mean - (a * g_mean).sum(dim=1, keepdim=True)
    a, b = mean(a), mean(b)
    return a, b - (a * centre).sum(dim=1, keepdim=True)


def smoothed(image: Tensor, fold: int, radius: int, eps: float) -> Tensor:
    """(B, C, H, W) guided by itself, each channel alone: flat where its variance in a window is far
    below eps, as it was where it is far above.

    The coefficients are found on means over squares of `fold` pixels, in windows of `radius` of
    those ("Fast guided filter", He and Sun, arXiv 1505.00996), between which they are bilinear. A
    pixel depends on `fold` (2 radius + 2) others to any side.
    """
    small = square_means(image, fold)
    mean = box_mean(small, radius)
    variance = (box_mean(small * small, radius) - mean * mean).clamp_min(0)
    a = variance / (variance + eps)
    both = box_mean(torch.cat([a, mean - a * mean], dim=1), radius)
    both = F.interpolate(both, scale_factor=float(fold), mode="bilinear", align_corners=False)
    a, b = both[..., : image.shape[-2], : image.shape[-1]].chunk(2, dim=1)
    return torch.addcmul(b, a, image)


def _solved(m: list[list[Tensor]], v: Tensor) -> Tensor:
    """m^-1 v of symmetric positive 3 x 3 matrices, entries (B, h, w), v (B, 3, h, w)."""
    (a, b, c), (_, d, e), (_, _, f) = m
    minors = (
        (d * f - e * e, c * e - b * f, b * e - c * d),
        (c * e - b * f, a * f - c * c, b * c - a * e),
        (b * e - c * d, b * c - a * e, a * d - b * b),
    )
    determinant = a * minors[0][0] + b * minors[0][1] + c * minors[0][2]
    columns = [sum(minors[i][j] * v[:, j] for j in range(3)) for i in range(3)]
    return torch.stack([torch.as_tensor(one) for one in columns], dim=1) / determinant[:, None]
