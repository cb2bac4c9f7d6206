"""Recorrupted-to-recorrupted (R2R): noise of known strength makes two observations of one.

    y1 = y + alpha s z,    y2 = y - s z / alpha,    z standard normal,    loss |f(y1) - y2|^2

With noise of variance s^2 in y the errors of y1 and y2 are uncorrelated: s^2 - s^2 = 0, and for
Gaussian noise independent. s^2 = gain max(y, 0) + sigma^2 (Poisson-Gaussian, where it is read off
the noisy pixel itself, which holds to first order). White noise, or white on every `shuffle`-th
pixel. Reference: Pang, Zheng, Quan and Ji,
"Recorrupted-to-recorrupted", CVPR 2021 (D = alpha I).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.networks.shuffled import split
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch


class Recorrupted(nn.Module):
    """Terms: `recorrupted`.  Needs degraded patches only.  Without `gain` and `sigma`, the
    deviation of each patch is told by `diagonal_sigma`, which takes fine texture for noise."""

    def __init__(
        self, restorer: Restorer, gain: float, sigma: float, alpha: float, shuffle: int
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.shuffle = shuffle
        self.gain = gain
        self.sigma = sigma
        self.alpha = alpha

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.degraded is not None
        noisy = split(batch.degraded, self.shuffle)
        deviation = noise_deviation(noisy, self.gain, self.sigma)
        source, target = recorrupt(noisy, deviation, self.alpha, generator)
        return {"recorrupted": (self.restorer(source) - target).square().mean()}


def noise_deviation(noisy: Tensor, gain: float, sigma: float) -> Tensor:
    """sqrt(gain max(y, 0) + sigma^2) of every pixel of (B, C, H, W); where both are 0 that of each
    image as `diagonal_sigma` tells it, (B, 1, 1, 1)."""
    if gain or sigma:
        return (gain * noisy.clamp_min(0) + sigma**2).sqrt()
    return diagonal_sigma(noisy).view(-1, 1, 1, 1)


def recorrupt(
    noisy: Tensor, deviation: Tensor, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(y + alpha s z, y - s z / alpha) for a noisy image y (B, C, H, W) of deviation s."""
    scaled = deviation * torch.randn(noisy.shape, generator=generator).to(noisy)
    return noisy + alpha * scaled, noisy - scaled / alpha


def diagonal_sigma(image: Tensor) -> Tensor:
    """Deviation of white noise, (B, C, H, W) -> (B,), by the median of diagonal Haar coefficients.

    median |d| / 0.6745, d = (a - b - c + d) / 2 of every 2 x 2 cell. Reference: Donoho and
    Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 1994.
    """
    a, b, c, d = F.pixel_unshuffle(image, 2).unflatten(1, (image.shape[1], 4)).unbind(2)
    return ((a - b - c + d) / 2).flatten(1).abs().median(dim=1).values / 0.6745
