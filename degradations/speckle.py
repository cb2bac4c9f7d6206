"""Speckle: noise that multiplies, as of coherent light, radar and ultrasound.

    I = J + sigma max(J, 0) eps

The limit of many looks: the mean of N exponential intensities has the deviation J / sqrt(N) and
becomes Gaussian. In the space that it is given, zero-mean, never clamped. Reference: Goodman,
"Some fundamental properties of speckle", Journal of the Optical Society of America 1976.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .noise import redraw_grain
from .types import Range, Shape, check_image, check_map, check_values, per_image, uniform

_OF_LIGHT = "times the light"


@dataclass(frozen=True)
class SpeckleParams:
    """Parameters of `add_speckle`, one row an image.

    Example:
        >>> SpeckleParams(torch.zeros(1, 1, 2, 2), torch.tensor([0.25])).sigma
        tensor([0.2500])
    """

    eps: Tensor  # (B, 1 or C, H, W) standard normal
    sigma: Tensor  # (B,) standard deviation over the light


def add_speckle(image: Tensor, params: SpeckleParams) -> Tensor:
    """J + sigma max(J, 0) eps.

    Args:
        image: (B, C, H, W).
        params: one row an image.

    Returns:
        (B, C, H, W), not clamped.

    Raises:
        ValueError: for a deviation below 0, and an eps of another size.

    Example:
        >>> params = SpeckleParams(torch.ones(1, 1, 1, 2), torch.tensor([0.1]))
        >>> add_speckle(torch.tensor([[[[0.0, 0.5]]]]), params)
        tensor([[[[0.0000, 0.5500]]]])
    """
    check_image(image)
    check_map("eps", params.eps, image)
    check_values("sigma", params.sigma, _OF_LIGHT)
    return image + per_image(params.sigma, image) * image.clamp_min(0) * params.eps.to(image)


@dataclass(frozen=True)
class Speckle:
    """Prior over the strength of speckle; 1 / sqrt(N) is that of N looks.

    Example:
        >>> Speckle(sigma=(0.5, 0.5)).sample((1, 3, 8, 8), torch.Generator().manual_seed(0)).sigma
        tensor([0.5000])
    """

    sigma: Range = (0.03, 0.4)

    apply = staticmethod(add_speckle)
    at_frame = redraw_grain

    def __post_init__(self) -> None:
        check_values("sigma", self.sigma, _OF_LIGHT)

    def sample(self, shape: Shape, generator: torch.Generator) -> SpeckleParams:
        return SpeckleParams(
            eps=torch.randn(shape, generator=generator),
            sigma=uniform(self.sigma, shape[:1], generator),
        )
