"""The veil of heavy rain: drops too far away to be seen one by one, in display values.

    I = t J + (1 - t) A,      t = exp(-tau),      tau = beta d

The model of the public sets of heavy rain, which mix display values (`haze` mixes light). The
optical depth tau grows with the distance of the scene and is a map, or one number a picture.

References: Li, Cheong and Tan, "Heavy rain image restoration", CVPR 2019, eq. 1; Hu et al.,
"Depth-attentional features for single-image rain removal", CVPR 2019 (fog by depth).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .haze import Haze
from .types import (
    Degradation,
    Range,
    Shape,
    check_image,
    check_map,
    check_values,
    per_image,
    uniform,
)


@dataclass(frozen=True)
class VeilParams:
    """Parameters of `add_veil`, one row an image.

    Example:
        >>> VeilParams(optical_depth=torch.zeros(1, 1, 1, 1), airlight=torch.ones(1, 3)).airlight
        tensor([[1., 1., 1.]])
    """

    optical_depth: Tensor  # (B, 1, H, W), or (B, 1, 1, 1) where it is the same everywhere
    airlight: Tensor  # (B, C) display values


def add_veil(image: Tensor, params: VeilParams) -> Tensor:
    """t J + (1 - t) A in display values, t = exp(-tau).

    Args:
        image: (B, C, H, W) display values.
        params: one row an image.

    Returns:
        (B, C, H, W) display values, not clamped.

    Raises:
        ValueError: for a map of another size, and for an optical depth or an airlight below 0.

    Example:
        >>> params = VeilParams(torch.full((1, 1, 1, 1), 0.6931), airlight=torch.tensor([[0.8]]))
        >>> add_veil(torch.tensor([[[[0.0, 1.0]]]]), params)
        tensor([[[[0.4000, 0.9000]]]])
    """
    check_image(image)
    if params.optical_depth.shape[2:] != (1, 1):
        check_map("optical_depth", params.optical_depth, image)
    check_values("optical_depth", params.optical_depth, "-ln(transmission)")
    check_values("airlight", params.airlight, "display values")
    t = (-params.optical_depth.to(image)).exp()
    return t * image + (1 - t) * per_image(params.airlight, image)


def veil_layers(params: VeilParams, image: Tensor) -> tuple[Tensor, Tensor]:
    """t and (1 - t) A, exact."""
    t = (-params.optical_depth.to(image)).exp()
    return t, (1 - t) * per_image(params.airlight, image)


def veil(degradation: Degradation, params: Any, image: Tensor) -> tuple[Tensor, Tensor]:
    """The veil of any degradation: what it does beside streaks, as an affine map of display values.

        V = transmission * J + light

    Black becomes `light`, and white is `transmission` brighter. Exact for `Rain`, `RainLike` and
    `Veil`; of those in linear light (`Haze`, `Rainfall`) only for black and white, the difference
    being the mean over channels; a `Chain` composes t = t_2 t_1, light = t_2 light_1 + light_2.

    Args:
        degradation: the prior that drew the parameters.
        params: its parameters.
        image: (B, C, H, W), of which shape, device and dtype count.

    Returns:
        transmission (B, 1, 1 or H, 1 or W) and light (B, 1 or C, 1 or H, 1 or W), on the device of
        the image; ones and zeros for a degradation without a veil.

    Example:
        >>> params = VeilParams(torch.full((1, 1, 1, 1), 0.6931), airlight=torch.tensor([[0.8]]))
        >>> veil(Veil(), params, torch.zeros(1, 1, 2, 2))
        (tensor([[[[0.5000]]]]), tensor([[[[0.4000]]]]))
    """
    method = getattr(degradation, "affine_veil", None)
    if method is not None:
        layers: tuple[Tensor, Tensor] = method(params, image)
        return layers
    return image.new_ones(len(image), 1, 1, 1), image.new_zeros(len(image), 1, 1, 1)


@dataclass(frozen=True)
class Veil:
    """Prior: the scenes of `haze.Haze`, of an optical depth that is drawn for the farthest place.

    In a share of `even` pictures the veil is the same everywhere.

    Example:
        >>> Veil(even=1).sample((2, 3, 8, 8), torch.Generator().manual_seed(0)).airlight.shape
        torch.Size([2, 3])
    """

    optical_depth: Range = (0.05, 1.5)  # at the farthest place
    airlight: Range = (0.4, 0.95)
    tint: Range = (-0.03, 0.03)  # of each channel about the grey of the airlight
    even: float = 0.5

    apply = staticmethod(add_veil)
    affine_veil = staticmethod(veil_layers)

    def __post_init__(self) -> None:
        check_values("optical_depth", self.optical_depth, "-ln(transmission)")
        check_values("airlight", self.airlight, "display values")
        check_values("even", self.even, "share", 0.0, 1.0)

    def sample(self, shape: Shape, generator: torch.Generator) -> VeilParams:
        batch, channels, *_ = shape
        farthest = uniform(self.optical_depth, (batch, 1, 1, 1), generator)
        depth = Haze().sample(shape, generator).depth_m
        rise = depth / depth.amax(dim=(1, 2, 3), keepdim=True)
        even = torch.rand((batch, 1, 1, 1), generator=generator) < self.even
        grey = uniform(self.airlight, (batch, 1), generator)
        tinted = grey + uniform(self.tint, (batch, channels), generator)
        return VeilParams(farthest * torch.where(even, torch.ones(()), rise), tinted.clamp(0, 1))
