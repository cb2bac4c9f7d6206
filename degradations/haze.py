"""Haze and fog: light is lost on the way and airlight comes in, more of it the farther the scene.

    I = J t + A (1 - t),      t = exp(-beta d)

Linear light, where radiances add; `add_haze` converts from display values and back.

References: Koschmieder, "Theorie der horizontalen Sichtweite", 1924; Narasimhan and Nayar,
"Vision and the atmosphere", IJCV 2002 (direct transmission and airlight).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from .color import to_display, to_linear
from .types import Range, Shape, check_image, check_map, check_values, per_image, uniform

_VISIBLE_DEPTH = 3.912  # -ln 0.02: a black object keeps 2 % contrast
_RELIEF_NODES = 5  # of the noise on the depth, along each side of the picture


@dataclass(frozen=True)
class HazeParams:
    """Parameters of `add_haze`, one row an image.

    Example:
        >>> one = torch.ones(1)
        >>> HazeParams(depth_m=one.view(1, 1, 1, 1), beta_per_m=one, airlight=one[:, None]).airlight
        tensor([[1.]])
    """

    depth_m: Tensor  # (B, 1, H, W), or (B, 1, 1, 1) for a scene at one distance
    beta_per_m: Tensor  # (B,) extinction coefficient
    airlight: Tensor  # (B, C) colour of the haze, display values


def visibility_m(beta_per_m: Tensor) -> Tensor:
    """V = 3.912 / beta: the distance at which 2 % of the contrast is left (Koschmieder).

    Args:
        beta_per_m: extinction coefficient, any shape.

    Returns:
        Distances in m, of that shape.

    Example:
        >>> visibility_m(torch.tensor([0.01]))
        tensor([391.2000])
    """
    return _VISIBLE_DEPTH / beta_per_m


def transmission(depth_m: Tensor, beta_per_m: Tensor) -> Tensor:
    """t = exp(-beta d): the share of light that arrives.

    Args:
        depth_m: (B, 1, H, W) distances.
        beta_per_m: (B,) extinction coefficients.

    Returns:
        (B, 1, H, W), from 0 to 1.

    Example:
        >>> transmission(torch.tensor([0.0, 100.0]).view(1, 1, 1, 2), torch.tensor([0.01]))
        tensor([[[[1.0000, 0.3679]]]])
    """
    return torch.exp(-per_image(beta_per_m, depth_m) * depth_m)


def add_haze(image: Tensor, params: HazeParams) -> Tensor:
    """J t + A (1 - t) in linear light, t = exp(-beta d).

    Args:
        image: (B, C, H, W) display values.
        params: one row an image.

    Returns:
        (B, C, H, W) display values, not clamped.

    Raises:
        ValueError: for a depth map of another size, and for a depth, beta or airlight below 0.

    Example:
        >>> depth = torch.tensor([0.0, 100.0]).view(1, 1, 1, 2)
        >>> params = HazeParams(depth, torch.tensor([0.01]), airlight=torch.tensor([[0.8]]))
        >>> add_haze(torch.full((1, 1, 1, 2), 0.3), params)
        tensor([[[[0.3000, 0.6716]]]])
    """
    check_image(image)
    if params.depth_m.shape[2:] != (1, 1):
        check_map("depth_m", params.depth_m, image)
    check_values("depth_m", params.depth_m, "m")
    check_values("beta_per_m", params.beta_per_m, "1/m")
    check_values("airlight", params.airlight, "display values")
    t = transmission(params.depth_m.to(image), params.beta_per_m)
    airlight = to_linear(per_image(params.airlight, image))
    return to_display(to_linear(image) * t + airlight * (1 - t))


def linear_veil(t: Tensor, airlight: Tensor) -> tuple[Tensor, Tensor]:
    """The veil t J + (1 - t) A of linear light as black and white show it, in display values.

    Exact for black and white; in between a veil in linear light is not affine in display values.
    Shapes: t (B, 1, 1|H, 1|W) and A (B, C, 1, 1) to transmission and light as `veil.veil` has them.
    """
    black, white = to_display((1 - t) * airlight), to_display(t + (1 - t) * airlight)
    return (white - black).mean(dim=1, keepdim=True), black


def haze_veil(params: HazeParams, image: Tensor) -> tuple[Tensor, Tensor]:
    """Display values of haze on black, and how much brighter white is (mean over channels)."""
    t = transmission(params.depth_m.to(image), params.beta_per_m)
    return linear_veil(t, to_linear(per_image(params.airlight, image)))


def darken_haze(params: HazeParams, light: Tensor) -> HazeParams:
    """The haze of a scene with a share `light` (B,) of its light, linear: so much less airlight."""
    airlight = to_display(light.view(-1, 1) * to_linear(params.airlight))
    return replace(params, airlight=airlight)


@dataclass(frozen=True)
class Haze:
    """Prior over weather and scenes: a rough ground plane that reaches from near to far.

    The inverse depth falls linearly from the lowest row (`near_m`) to the highest (`far_m`), as
    that of a plane with its horizon above the frame; smooth relief multiplies the depth by
    exp(relief n), n standard normal on a coarse grid. Visibility is drawn log-uniformly.

    Example:
        >>> haze = Haze(visibility_m=(100, 100))
        >>> params = haze.sample((2, 3, 8, 8), torch.Generator().manual_seed(0))
        >>> params.beta_per_m, params.depth_m.shape
        (tensor([0.0391, 0.0391]), torch.Size([2, 1, 8, 8]))
    """

    visibility_m: Range = (30.0, 1000.0)
    near_m: Range = (2.0, 10.0)
    far_m: Range = (50.0, 500.0)
    relief: Range = (0.0, 0.5)
    airlight: Range = (0.6, 0.95)
    tint: Range = (-0.04, 0.04)  # of each channel about the grey of the airlight

    apply = staticmethod(add_haze)
    affine_veil = staticmethod(haze_veil)
    darkened = staticmethod(darken_haze)

    def __post_init__(self) -> None:
        for name in ("visibility_m", "near_m", "far_m"):
            check_values(name, getattr(self, name), "m", above=True)
        check_values("relief", self.relief, "of the logarithm of the depth")
        check_values("airlight", self.airlight, "display values")

    def sample(self, shape: Shape, generator: torch.Generator) -> HazeParams:
        batch, channels, height, width = shape
        one = (batch, 1, 1, 1)
        near = uniform(self.near_m, one, generator, log=True)
        far = uniform(self.far_m, one, generator, log=True)
        down = ((torch.arange(height) + 0.5) / height).view(1, 1, height, 1)
        nodes = torch.randn((batch, 1, _RELIEF_NODES, _RELIEF_NODES), generator=generator)
        relief = functional.interpolate(
            nodes, size=(height, width), mode="bicubic", align_corners=True
        )
        rough = (uniform(self.relief, one, generator) * relief).exp()
        grey = uniform(self.airlight, (batch, 1), generator)
        return HazeParams(
            depth_m=rough / (down / near + (1 - down) / far),
            beta_per_m=_VISIBLE_DEPTH / uniform(self.visibility_m, (batch,), generator, log=True),
            airlight=grey + uniform(self.tint, (batch, channels), generator),
        )
