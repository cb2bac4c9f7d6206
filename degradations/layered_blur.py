"""Blur of one layer of the picture: a thing that moves before a still ground, or is out of focus.

    in front     I = k * (m J) + (1 - k * m) fill(J, 1 - m)
    behind       I = (1 - m) J + m (k * fill(J, m))

The layer of matte m is convolved with k = disc(radius) * segment(length, angle). In front of a
still ground its matte is convolved with it, and at its border the ground shines through as long as
the layer does not cover it. Behind a still thing it is a ground out of focus, or that of a camera
that follows the thing. What is hidden of the ground is filled from around it by normalised
convolution: fill(J, w) is w J + (1 - w) times a mean of w J.
Linear light, where radiances add; the border mirrors (`kernels.py`).

References: Nah, Kim and Lee, "Deep multi-scale convolutional neural network for dynamic scene
deblurring", CVPR 2017 (motion of things); Knutsson and Westin, "Normalized and differential
convolution", CVPR 1993 (the filled ground).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .blur import BlurParams, blur_kernel
from .color import to_display, to_linear
from .kernels import convolve
from .types import Range, Shape, check_image, check_map, check_values, map_tensors, uniform

_OUTLINE = 4  # harmonics of the matte's outline, from the second one on
_IRREGULARITY = 0.12  # standard deviation of each, in the logarithm of the radius
_EDGE_PX = (0.5, 2.0)  # half the width of the matte's edge
_LEAST = 1e-4  # of the weight of a filled ground


@dataclass(frozen=True)
class LayeredBlurParams:
    """Parameters of `blur_layer`, one row an image.

    Example:
        >>> zero = torch.zeros(1)
        >>> LayeredBlurParams(torch.ones(1, 1, 2, 2), zero, zero, zero).matte.sum()
        tensor(4.)
    """

    matte: Tensor  # (B, 1, H, W) 1 within the layer, 0 on the ground
    length_px: Tensor  # (B,) way of the layer during the exposure
    angle_rad: Tensor  # (B,) of that way, from the vertical, positive towards the lower right
    radius_px: Tensor  # (B,) of the disc of defocus of the layer
    behind: Tensor | None = None  # (B,) bool, whether all else is in front; None is nowhere


def _filled(light: Tensor, ground: Tensor) -> Tensor:
    """J where the ground is seen, a mean of what is around elsewhere; (B, C, H, W), (B, 1, H, W).

    Means over squares of 2, 4, 8, ... pixels, coarse ones where finer ones hold no ground.
    """
    size = (light.shape[-2], light.shape[-1])
    seen, weight = ground * light, ground
    levels = []
    while max(seen.shape[-2:]) > 1:
        half = (-(-seen.shape[-2] // 2), -(-seen.shape[-1] // 2))
        seen, weight = (functional.interpolate(t, half, mode="area") for t in (seen, weight))
        levels.append((seen, weight))
    if not levels:
        return light
    seen, weight = levels[-1]
    fill = seen / weight.clamp_min(_LEAST)
    for seen, weight in reversed(levels[:-1]):
        finer = (seen.shape[-2], seen.shape[-1])
        fill = functional.interpolate(fill, finer, mode="bilinear", align_corners=False)
        fill = seen + (1 - weight) * fill
    fill = functional.interpolate(fill, size, mode="bilinear", align_corners=False)
    return ground * light + (1 - ground) * fill


def blur_layer(image: Tensor, params: LayeredBlurParams) -> Tensor:
    """The layer convolved with its k in linear light, in front of all else or behind it.

        in front     I = k * (m J) + (1 - k * m) fill(J, 1 - m)
        behind       I = (1 - m) J + m (k * fill(J, m))

    Args:
        image: (B, C, H, W) display values.
        params: one row an image.

    Returns:
        (B, C, H, W) display values, not clamped.

    Raises:
        ValueError: for a matte of another size or outside [0, 1], and a way or a disc that is
            larger than the picture.

    Example:
        >>> matte, zero = torch.tensor([[[[0.0, 0.0, 1.0, 0.0, 0.0]]]]), torch.zeros(1)
        >>> params = LayeredBlurParams(matte, torch.tensor([2.0]), zero + torch.pi / 2, zero)
        >>> blur_layer(torch.tensor([[[[0.0, 0.0, 1.0, 0.0, 0.0]]]]), params)
        tensor([[[[0.0000, 0.5371, 0.7354, 0.5371, 0.0000]]]])
    """
    check_image(image)
    check_map("matte", params.matte, image)
    check_values("matte", params.matte, "share of the layer", 0, 1)
    if len(params.length_px) != len(image):
        raise ValueError(f"{len(image)} images need as many ways, got {len(params.length_px)}")
    side = max(image.shape[-2:])
    unit = f"px in a picture of {image.shape[-1]} x {image.shape[-2]}"
    check_values("length_px", params.length_px.cpu(), unit, 0, side)
    check_values("radius_px", params.radius_px.cpu(), unit, 0, side / 2)
    params = map_tensors(params, lambda t: t.to(image) if t.is_floating_point() else t)
    light, matte = to_linear(image), params.matte
    behind = torch.zeros(len(image), dtype=torch.bool) if params.behind is None else params.behind
    behind = behind.to(image.device).view(-1, 1, 1, 1)
    ground = _filled(light, torch.where(behind, matte, 1 - matte))
    layer = torch.where(behind, ground, matte * light)
    cover = torch.where(behind, torch.ones_like(matte), matte)
    kernels = BlurParams(
        torch.zeros_like(params.length_px), params.radius_px, params.length_px, params.angle_rad
    )
    stacked = torch.cat([layer, cover], dim=1)
    moved = torch.stack([convolve(t, blur_kernel(kernels, i)) for i, t in enumerate(stacked)])
    layer, cover = moved.split([layer.shape[1], cover.shape[1]], dim=1)
    in_front = layer + (1 - cover) * ground
    return to_display(torch.where(behind, (1 - matte) * light + matte * layer, in_front))


@dataclass(frozen=True)
class LayeredBlur:
    """Prior over things of one layer that move or are out of focus, and grounds that do.

    Example:
        >>> prior = LayeredBlur(moving=1.0, ground=0.0)
        >>> prior.sample((2, 3, 24, 32), torch.Generator().manual_seed(0)).matte.shape
        torch.Size([2, 1, 24, 32])
    """

    size: Range = (0.1, 0.35)  # radius of the thing, over the shorter side
    length_px: Range = (2.0, 30.0)
    angle_rad: Range = (-math.pi / 2, math.pi / 2)
    radius_px: Range = (1.0, 7.0)
    moving: float = 0.6  # share of images in which the layer moves; in the others it is defocused
    ground: float = 0.35  # share of images whose layer is the ground behind the thing

    apply = staticmethod(blur_layer)

    def __post_init__(self) -> None:
        check_values("size", self.size, "over the shorter side", above=True)
        for name in ("length_px", "radius_px"):
            check_values(name, getattr(self, name), "px")
        for name in ("moving", "ground"):
            check_values(name, getattr(self, name), "share of images", 0, 1)

    def sample(self, shape: Shape, generator: torch.Generator) -> LayeredBlurParams:
        batch, _, height, width = shape
        size, side = (batch,), float(max(height, width))
        moves = torch.rand(size, generator=generator) < self.moving
        behind = torch.rand(size, generator=generator) < self.ground
        things = self._things(batch, height, width, generator)
        return LayeredBlurParams(
            matte=torch.where(behind.view(-1, 1, 1, 1), 1 - things, things),
            length_px=uniform(self.length_px, size, generator).clamp(max=side) * moves,
            angle_rad=uniform(self.angle_rad, size, generator),
            radius_px=uniform(self.radius_px, size, generator).clamp(max=side / 2) * ~moves,
            behind=behind,
        )

    def _things(self, batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """(B, 1, H, W) mattes of round, stretched, lobed outlines."""
        one = (batch, 1, 1, 1)
        radius = uniform(self.size, one, generator, log=True) * min(height, width)
        x = torch.arange(width).view(1, 1, 1, -1) - uniform((0.1, 0.9), one, generator) * width
        y = torch.arange(height).view(1, 1, -1, 1) - uniform((0.2, 0.9), one, generator) * height
        root = uniform((0.5, 2.0), one, generator, log=True).sqrt()
        x, y = x * root, y / root
        angle = torch.atan2(y, x)
        amplitude = _IRREGULARITY * torch.randn(_OUTLINE, *one, generator=generator)
        turn = uniform((0, 2 * math.pi), (_OUTLINE, *one), generator)
        waves = [
            a * torch.cos((k + 2) * angle + t)
            for k, (a, t) in enumerate(zip(amplitude, turn, strict=True))
        ]
        inside = radius * torch.stack(waves).sum(0).exp() - torch.hypot(x, y)
        ramp = (0.5 + inside / (2 * uniform(_EDGE_PX, one, generator))).clamp(0, 1)
        return ramp.square() * (3 - 2 * ramp)
