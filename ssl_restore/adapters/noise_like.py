"""Noise like that of measured frames: the prior of the adapter that degrades anew.

    I = J + sqrt(gain max(J, 0) + sigma^2) u,   u = k * eps, k Gaussian of some width, sum k^2 = 1

gain, sigma and the correlation with the next pixel are those of `calibration.noise`; the width of
the kernel is the one that gives this correlation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from degradations.noise import NoiseParams, add_noise
from degradations.noise_field import unit_noise
from degradations.types import Shape, uniform
from ssl_restore.calibration.noise import WHITE_BELOW, PictureNoise
from ssl_restore.calibration.noise_width import width_of

DOUBT = 0.1  # of the deviation, either way


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
    width = 0.0 if row.correlation < WHITE_BELOW else width_of(row.correlation)
    return unit_noise(torch.zeros(shape), width, generator)
