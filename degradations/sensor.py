"""The camera's last steps, and the only place that clamps: exposure, tone, clipping, quantisation.

    I = quantise(tone(gain J)),      tone(x) = x + contrast x (1 - x) (2 x - 1) in [0, 1]

Display values. The tone curve is an S for a contrast above 0 (1 is the smoothstep 3 x^2 - 2 x^3),
the identity at 0, and flattens the middle below; black, white and the middle stay where they are.

References: Mitsunaga and Nayar, "Radiometric self calibration", CVPR 1999 (responses of cameras as
polynomials); Grossberg and Nayar, "Modeling the space of camera response functions", IEEE TPAMI
2004 (they rise from 0 to 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .types import Range, Shape, check_image, check_values, per_image, uniform

_CONTRASTS = (-2.0, 1.0)  # beyond, the curve does not rise everywhere
MOST_UNDONE = 0.95  # contrast of a curve whose inverse has a slope everywhere
_FLAT = 1e-4  # contrast up to which the inverse is taken to first order


@dataclass(frozen=True)
class SensorParams:
    """Parameters of `expose`, one row an image.

    Example:
        >>> SensorParams(gain=torch.ones(1)).levels
        255
    """

    gain: Tensor  # (B,) exposure factor
    levels: int = 255  # steps between black and white
    contrast: Tensor | None = None  # (B,) of the tone curve, -2 to 1; None is the identity, as 0


def tone(image: Tensor, contrast: Tensor) -> Tensor:
    """x + contrast x (1 - x) (2 x - 1); the identity outside [0, 1].

    Args:
        image: (B, C, H, W) display values.
        contrast: (B,) from -2 to 1.

    Returns:
        (B, C, H, W), not clamped.

    Example:
        >>> tone(torch.tensor([[[[0.25, 0.5, 0.75]]]]), torch.tensor([1.0]))
        tensor([[[[0.1562, 0.5000, 0.8438]]]])
    """
    x = image.clamp(0, 1)
    return image + per_image(contrast, image) * x * (1 - x) * (2 * x - 1)


def undo_tone(image: Tensor, contrast: Tensor) -> Tensor:
    """The inverse of `tone` for a contrast from 0 to 0.95; the identity outside [0, 1].

        u^3 - p u + 2 v / c = 0,   u = 2 x - 1,  v = 2 y - 1,  p = (2 + c) / c
        u = 2 sqrt(p / 3) sin(asin(3 v / (c p sqrt(p / 3))) / 3)

    At a contrast of 1 the slope at black and white would be infinite.

    Args:
        image: (B, C, H, W) display values.
        contrast: (B,) from 0 to 0.95.

    Returns:
        (B, C, H, W), not clamped.

    Raises:
        ValueError: for a contrast out of this range.

    Example:
        >>> contrast = torch.tensor([0.8])
        >>> undo_tone(tone(torch.tensor([[[[-0.1, 0.25, 0.7]]]]), contrast), contrast)
        tensor([[[[-0.1000,  0.2500,  0.7000]]]])
    """
    check_values("contrast", contrast, "of the tone curve", 0, MOST_UNDONE)
    c = per_image(contrast, image)
    inside = image.clamp(0, 1)
    v = 2 * inside - 1
    curved = c > _FLAT
    bent = torch.where(curved, c, 1)
    p = (2 + bent) / bent
    u = 2 * (p / 3).sqrt() * ((3 * v / (bent * p * (p / 3).sqrt())).asin() / 3).sin()
    u = torch.where(curved, u, v - c / 2 * (v - v**3))  # where the curve is a line nearly
    return image - inside + (u + 1) / 2


def quantise(image: Tensor, levels: int | Tensor = 255) -> Tensor:
    """round(clip(I, 0, 1) * levels) / levels, with the gradient of the identity (straight-through).

    Clipped values pass the gradient too, so that an optimiser can find its way back. Reference:
    Bengio, Leonard and Courville, "Estimating or propagating gradients through stochastic
    neurons", arXiv 1308.3432.

    Args:
        image: any shape.
        levels: steps between black and white; a tensor that broadcasts to the image gives each
            its own.

    Returns:
        The same shape.

    Example:
        >>> quantise(torch.tensor([-0.1, 0.4, 0.8]), levels=2)
        tensor([0.0000, 0.5000, 1.0000])
    """
    stored = (image.detach().clamp(0, 1) * levels).round() / levels
    return image + (stored - image.detach())


def expose(image: Tensor, params: SensorParams) -> Tensor:
    """quantise(tone(gain J)): the values that a file can hold.

    Args:
        image: (B, C, H, W) display values.
        params: one row an image.

    Returns:
        (B, C, H, W) in [0, 1].

    Raises:
        ValueError: for a gain below 0 and a contrast with which the tone curve does not rise.

    Example:
        >>> expose(torch.tensor([[[[0.2, 0.7]]]]), SensorParams(torch.tensor([2.0])))
        tensor([[[[0.4000, 1.0000]]]])
    """
    check_image(image)
    check_values("gain", params.gain, "exposure factor")
    image = image * per_image(params.gain, image)
    if params.contrast is not None:
        check_values("contrast", params.contrast, "of the tone curve", *_CONTRASTS)
        image = tone(image, params.contrast)
    return quantise(image, params.levels)


@dataclass(frozen=True)
class Sensor:
    """Prior over exposures and tone curves; without a `contrast` nothing is drawn for it.

    Example:
        >>> Sensor(gain=(2, 2)).sample((1, 3, 8, 8), torch.Generator().manual_seed(0))
        SensorParams(gain=tensor([2.]), levels=255, contrast=None)
    """

    gain: Range = (1.0, 1.0)
    bits: int = 8
    contrast: Range = (0.0, 0.0)

    apply = staticmethod(expose)

    def __post_init__(self) -> None:
        check_values("gain", self.gain, "exposure factor")
        check_values("bits", self.bits, "of a file", 1, 16)
        check_values("contrast", self.contrast, "of the tone curve", *_CONTRASTS)

    def sample(self, shape: Shape, generator: torch.Generator) -> SensorParams:
        gain = uniform(self.gain, shape[:1], generator)
        contrast = uniform(self.contrast, shape[:1], generator) if any(self.contrast) else None
        return SensorParams(gain, 2**self.bits - 1, contrast)
