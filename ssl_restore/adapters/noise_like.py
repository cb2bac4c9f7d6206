"""Noise like that of measured frames: the prior of the adapter that degrades anew.

    I = J + sqrt(gain max(J, 0) + sigma^2) u,   u = k * eps, k Gaussian of some width, sum k^2 = 1

gain, sigma and the correlation with the next pixel are those of `noise_calibration`; the width of
the kernel is the one that gives this correlation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch

from degradations.noise import CorrelatedNoise, NoiseParams, add_noise
from degradations.types import Shape, uniform
from ssl_restore.calibration.noise import WHITE_BELOW, PictureNoise

DOUBT = 0.1  # of the deviation, either way
WIDEST_PX = 4.0


@dataclass(frozen=True)
class NoiseLike:
    """Every image takes the noise of one of the `rows`, somewhat stronger or weaker."""

    rows: tuple[PictureNoise, ...]

    apply = staticmethod(add_noise)

    def sample(self, shape: Shape, generator: torch.Generator) -> NoiseParams:
        """ValueError without any row."""
        if not self.rows:
            raise ValueError("noise like that of no frame at all: rows is empty")
        chosen = torch.randint(len(self.rows), shape[:1], generator=generator).tolist()
        rows = [self.rows[row] for row in chosen]
        factor = uniform((1 - DOUBT, 1 + DOUBT), shape[:1], generator)
        return NoiseParams(
            eps=torch.cat([_unit(row, (1, *shape[1:]), generator) for row in rows]),
            gain=torch.tensor([row.gain for row in rows]) * factor.square(),
            sigma=torch.tensor([row.sigma for row in rows]) * factor,
        )


def _unit(row: PictureNoise, shape: Shape, generator: torch.Generator) -> torch.Tensor:
    """Normal values of deviation 1 (1, C, H, W), white or correlated as those of the row."""
    if row.correlation < WHITE_BELOW:
        return torch.randn(shape, generator=generator)
    width = width_of(row.correlation)
    noise = CorrelatedNoise(sigma=(1.0, 1.0), width_px=(width, width))
    return noise.apply(torch.zeros(shape), noise.sample(shape, generator))


def width_of(correlation: float) -> float:
    """Width in px of the Gaussian kernel whose noise has this correlation with the next pixel.

    The inverse of sum_x k(x) k(x + 1) / sum_x k(x)^2 over whole x, by bisection.
    """
    low, high = 0.1, WIDEST_PX
    for _ in range(30):
        middle = (low + high) / 2
        if neighbouring(middle) < correlation:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def neighbouring(width_px: float) -> float:
    """The correlation of noise with the next pixel, for a kernel of this width."""
    reach = math.ceil(4 * width_px) + 1
    kernel = [math.exp(-((x / width_px) ** 2) / 2) for x in range(-reach, reach + 1)]
    return sum(a * b for a, b in pairwise(kernel)) / sum(k * k for k in kernel)
