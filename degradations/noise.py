"""Noise of light and electronics, as a Gaussian whose variance is that of the Poisson-Gaussian law.

    I = J + sqrt(gain max(J, 0) + sigma^2) eps,      eps ~ N(0, 1), independent

It acts on the values that it is given, so that it stays zero-mean in them (what Noise2Noise-type
losses rest on): on display values, as the public denoising sets do it; the law is that of a sensor
for linear light, so convert with `color.py` before and after to render a sensor. Never clamped.

Reference: Foi, Trimeche, Katkovnik and Egiazarian, "Practical Poissonian-Gaussian noise modeling
and fitting for single-image raw-data", IEEE TIP 2008, eq. 3 (variance a y + b).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .types import Range, Shape, per_image, uniform


@dataclass(frozen=True)
class NoiseParams:
    eps: Tensor  # (B, C, H, W) standard normal
    gain: Tensor  # (B,) light of one photon, units of the image range; 0 is no shot noise
    sigma: Tensor  # (B,) standard deviation of the read noise, units of the image range


def noise_std(image: Tensor, params: NoiseParams) -> Tensor:
    """sqrt(gain max(J, 0) + sigma^2), (B, C, H, W); 0 with gradient 0 where there is none."""
    gain, sigma = per_image(params.gain, image), per_image(params.sigma, image)
    variance = gain * image.clamp_min(0) + sigma.square()
    noisy = variance > 0
    return torch.where(noisy, variance, 1).sqrt() * noisy


def add_noise(image: Tensor, params: NoiseParams) -> Tensor:
    """J + noise_std(J) eps for an image (B, C, H, W); zero-mean, not clamped."""
    return image + noise_std(image, params) * params.eps.to(image)


@dataclass(frozen=True)
class Noise:
    """Prior over cameras; `Noise(gain=(0, 0), sigma=(s, s))` is white Gaussian noise of level s."""

    gain: Range = (0.0, 0.01)
    sigma: Range = (0.0, 0.1)

    apply = staticmethod(add_noise)

    def sample(self, shape: Shape, generator: torch.Generator) -> NoiseParams:
        return NoiseParams(
            gain=uniform(self.gain, shape[:1], generator),
            sigma=uniform(self.sigma, shape[:1], generator),
            eps=torch.randn(shape, generator=generator),
        )
