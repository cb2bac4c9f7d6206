"""Drops of water on the lens or the windscreen: small lenses that show the scene displaced.

    I(x) = (1 - m (1 - g)) J(x - m bend u(x)),     u(x) = (x - c) (1 - r^2),   r = |x - c| / radius

A drop is a dome of height (1 - r^2)^2; light is bent by its slope, which is u up to a factor. Its
middle shows the scene 1 / (1 - bend) times as large: small and upside down where bend > 2, as a
real drop shows a wide view. m is 1 inside and fades over the rim; g is the light that passes.
Display values: a drop moves light, and mixes next to none.

Reference: Roser, Kurz and Geiger, "Realistic modeling of water droplets for monocular adherent
raindrop recognition using Bezier curves", ACCV 2010 (refraction by the surface of the drop).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .types import Range, Shape, check_image, check_values, uniform

_RIM = 0.2  # share of the radius over which a drop fades


@dataclass(frozen=True)
class DropsParams:
    """Parameters of `add_drops`: one row an image, one column a drop; absent ones fill the rows up.

    Example:
        >>> one = torch.ones(1, 1)
        >>> DropsParams(8 * one, 8 * one, 4 * one, 3 * one, one, one > 0).present
        tensor([[True]])
    """

    x_px: Tensor  # (B, N) centre
    y_px: Tensor  # (B, N)
    radius_px: Tensor  # (B, N)
    bend: Tensor  # (B, N) how far the light is bent; 0 is flat, above 1 upside down
    light: Tensor  # (B, N) share of the light that passes
    present: Tensor  # (B, N) bool


def add_drops(image: Tensor, params: DropsParams) -> Tensor:
    """The image behind drops; later drops lie on earlier ones.

        I(x) = (1 - m (1 - g)) J(x - m bend u(x)),     u(x) = (x - c) (1 - r^2)

    Args:
        image: (B, C, H, W) display values.
        params: one row an image.

    Returns:
        (B, C, H, W) display values, not clamped.

    Raises:
        ValueError: for a radius that is not above 0, for light or bend below 0.

    Example:
        >>> one = torch.ones(1, 1)
        >>> params = DropsParams(2 * one, 2 * one, 2 * one, 3 * one, 0.5 * one, one > 0)
        >>> add_drops(torch.full((1, 1, 5, 5), 0.8), params)[0, 0, 2]
        tensor([0.8000, 0.4000, 0.4000, 0.4000, 0.8000])
    """
    check_image(image)
    if len(params.x_px) != len(image):
        raise ValueError(f"{len(image)} images need as many rows, got {len(params.x_px)}")
    check_values("radius_px", params.radius_px, "px", above=True)
    check_values("bend", params.bend, "radii")
    check_values("light", params.light, "share that passes")
    height, width = image.shape[-2:]
    y = torch.arange(height, device=image.device, dtype=image.dtype).view(1, -1, 1)
    x = torch.arange(width, device=image.device, dtype=image.dtype).view(1, 1, -1)
    shift_x = shift_y = torch.zeros((), device=image.device, dtype=image.dtype)
    light = torch.ones((), device=image.device, dtype=image.dtype)
    for drop in range(params.x_px.shape[1]):
        cx, cy, radius, bend, passed, present = (
            field[:, drop].to(image).view(-1, 1, 1)
            for field in (
                params.x_px, params.y_px, params.radius_px,
                params.bend, params.light, params.present,
            )
        )  # fmt: skip
        square = ((x - cx).square() + (y - cy).square()) / radius.square()
        rim = ((1 - square) / _RIM).clamp(0, 1)
        mask = present * rim.square() * (3 - 2 * rim)
        slope = mask * bend * (1 - square)
        shift_x = (1 - mask) * shift_x - slope * (x - cx)
        shift_y = (1 - mask) * shift_y - slope * (y - cy)
        light = light * (1 - mask * (1 - passed))
    source = torch.stack(
        [(2 * (x + shift_x) + 1) / width - 1, (2 * (y + shift_y) + 1) / height - 1], dim=-1
    ).expand(len(image), height, width, 2)
    bent = functional.grid_sample(image, source, padding_mode="reflection", align_corners=False)
    return bent * light.unsqueeze(-3) if light.ndim == 3 else bent


@dataclass(frozen=True)
class Drops:
    """Prior over wet windows: up to `count` drops anywhere, small ones more often.

    Example:
        >>> drops = Drops(count=(2, 2)).sample((1, 3, 40, 40), torch.Generator().manual_seed(0))
        >>> drops.present
        tensor([[True, True]])
    """

    count: tuple[int, int] = (1, 8)
    radius_px: Range = (4.0, 30.0)
    bend: Range = (2.0, 5.0)
    light: Range = (0.6, 1.1)

    apply = staticmethod(add_drops)

    def __post_init__(self) -> None:
        check_values("count", self.count, "drops")
        check_values("radius_px", self.radius_px, "px", above=True)
        check_values("bend", self.bend, "radii")
        check_values("light", self.light, "share that passes")

    def sample(self, shape: Shape, generator: torch.Generator) -> DropsParams:
        batch, _, height, width = shape
        low, high = self.count
        size = (batch, high)
        number = torch.randint(low, high + 1, (batch, 1), generator=generator)
        return DropsParams(
            x_px=uniform((0, width - 1), size, generator),
            y_px=uniform((0, height - 1), size, generator),
            radius_px=uniform(self.radius_px, size, generator, log=True),
            bend=uniform(self.bend, size, generator),
            light=uniform(self.light, size, generator),
            present=torch.arange(high) < number,
        )
