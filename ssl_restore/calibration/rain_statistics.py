"""Numbers that describe a rain layer: direction, extent along and across it, and brightness.

They need no model of streaks, so that a true layer, a rendered one and an estimated one can be
compared in them (`calibrate.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LAGS_PX = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.4)  # display units
_SIGMA_PX = 1.2  # of the Gaussian before the gradient
QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.98, 0.995)


@dataclass(frozen=True)
class RainStatistics:
    """One row a layer."""

    angle_rad: Tensor  # (B,) of the streaks, from the vertical, positive: falls to the right
    coherence: Tensor  # (B,) from 0, no direction, to 1, one direction
    along: Tensor  # (B, lags) correlation of the layer with itself, moved along the streaks
    across: Tensor  # (B, lags) the same, moved across them
    mean: Tensor  # (B,) display units
    deviation: Tensor  # (B,)
    above: Tensor  # (B, levels) share of the pixels above each of LEVELS
    quantiles: Tensor  # (B, quantiles) of the layer

    def features(self) -> Tensor:
        """(B, F): what an estimator sees; brightnesses and shares as logarithms."""
        small = 1e-4
        columns = (
            self.coherence,
            self.mean.clamp_min(small).log(),
            self.deviation.add(small).log(),
        )
        return torch.cat(
            [
                torch.stack(columns, dim=1), self.along, self.across,
                self.above.add(small).log(), self.quantiles.clamp_min(0).add(0.002).log(),
            ],
            dim=1,
        )  # fmt: skip


def statistics(layer: Tensor, angle_rad: Tensor | None = None) -> RainStatistics:
    """Of rain layers (B, 1, H, W), display units; `angle_rad` (B,) where it is known better."""
    angle, coherence = direction(layer)
    if angle_rad is not None:
        angle = angle_rad
    along, across = _correlations(layer, angle)
    pixels = layer.flatten(1)
    return RainStatistics(
        angle_rad=angle,
        coherence=coherence,
        along=along,
        across=across,
        mean=pixels.mean(1),
        deviation=pixels.std(1),
        above=torch.stack([(pixels > level).float().mean(1) for level in LEVELS], dim=1),
        quantiles=pixels.quantile(pixels.new_tensor(QUANTILES), dim=1).T,
    )


def direction(layer: Tensor) -> tuple[Tensor, Tensor]:
    """Angle and coherence (B,), (B,) of the structure tensor: streaks run across the gradient.

    J = sum of grad R grad R^T; angle = -1/2 atan2(2 J_xy, J_xx - J_yy); coherence is the difference
    of its eigenvalues over their sum. The gradient is that of the layer blurred by a Gaussian: a
    3x3 filter would turn thin streaks towards the axes. Reference: Bigun and Granlund, ICCV 1987.
    """
    taps = torch.arange(-4, 5, dtype=layer.dtype, device=layer.device)
    smooth = torch.exp(-taps.square() / (2 * _SIGMA_PX**2))

    def band(row: Tensor, size: int) -> Tensor:
        """(size - 8, size): a convolution as a matrix, many times faster for one channel."""
        rows = row.new_zeros(size - 8, size)
        for tap, value in enumerate(row):
            rows.diagonal(tap).fill_(value)
        return rows

    height, width = layer.shape[-2:]
    dx = band(smooth, height) @ layer @ band(taps * smooth, width).T
    dy = band(taps * smooth, height) @ layer @ band(smooth, width).T
    xx, yy, xy = ((a * b).sum(dim=(1, 2, 3)) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    angle = -0.5 * torch.atan2(2 * xy, xx - yy)
    coherence = torch.hypot(2 * xy, xx - yy) / (xx + yy).clamp_min(1e-12)
    return angle, coherence


def _correlations(layer: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Correlation of each layer with itself at LAGS_PX along `angle` and across it."""
    height, width = layer.shape[-2:]
    size = (2 * height, 2 * width)  # zero-padded: no wrapping around
    centred = layer[:, 0] - layer[:, 0].mean(dim=(1, 2), keepdim=True)
    power = torch.fft.rfft2(centred, s=size).abs().square()
    ones = torch.fft.rfft2(torch.ones_like(centred[:1]), s=size).abs().square()
    overlap = torch.fft.irfft2(ones, s=size).clamp_min(1)
    product = torch.fft.irfft2(power, s=size) / overlap
    correlation = product / product[:, :1, :1].clamp_min(1e-12)
    correlation = torch.fft.fftshift(correlation, dim=(1, 2))[:, None]
    lags = layer.new_tensor(LAGS_PX)

    def at(right: Tensor, down: Tensor) -> Tensor:
        """At lag times the unit vector; the centre of the shifted plane is pixel (H, W)."""
        x = (2 * (width + lags * right[:, None]) + 1) / (2 * width) - 1
        y = (2 * (height + lags * down[:, None]) + 1) / (2 * height) - 1
        places = torch.stack([x, y], dim=-1)[:, None]
        return F.grid_sample(correlation, places, align_corners=False)[:, 0, 0]

    return at(angle.sin(), angle.cos()), at(angle.cos(), -angle.sin())
