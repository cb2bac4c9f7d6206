"""The camera's last step, and the only place that clamps: exposure, clipping, quantisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .types import Range, Shape, per_image, uniform


@dataclass(frozen=True)
class SensorParams:
    gain: Tensor  # (B,) exposure factor
    levels: int = 255  # steps between black and white


def quantise(image: Tensor, levels: int = 255) -> Tensor:
    """round(clip(I, 0, 1) * levels) / levels, with the gradient of the identity (straight-through).

    Clipped values pass the gradient too, so that an optimiser can find its way back. Reference:
    Bengio, Leonard and Courville, "Estimating or propagating gradients through stochastic
    neurons", arXiv 1308.3432.
    """
    stored = (image.detach().clamp(0, 1) * levels).round() / levels
    return image + (stored - image.detach())


def expose(image: Tensor, params: SensorParams) -> Tensor:
    """quantise(gain * I): (B, C, H, W) to the values that an 8-bit file can hold."""
    return quantise(image * per_image(params.gain, image), params.levels)


@dataclass(frozen=True)
class Sensor:
    gain: Range = (1.0, 1.0)
    bits: int = 8

    apply = staticmethod(expose)

    def sample(self, shape: Shape, generator: torch.Generator) -> SensorParams:
        return SensorParams(uniform(self.gain, (shape[0],), generator), 2**self.bits - 1)
