"""Blur of lens, defocus and camera motion: each image is convolved with its own kernel.

    I = k * J,      k = gaussian(sigma) * disc(radius) * segment(length, angle),      sum k = 1

Linear light, where radiances add; `blur` converts from display values and back, `blur_light`
and its adjoint are linear. Beyond the border the picture is mirrored (the edge row is repeated,
as often as the kernel needs), so any size of picture takes any kernel. A parameter at 0 switches
its part off exactly; kernels are smooth (C1) in every parameter, but for the choice of their
support. Angles are measured from the vertical, positive towards the lower right, as in `rain.py`.

Reference for the adjoint: Hansen, Nagy and O'Leary, "Deblurring images", SIAM 2006, chapter 4
(reflexive boundary).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .color import to_display, to_linear
from .types import Range, Shape, map_tensors, uniform

_SIGMA_SEEN = 1e-3  # a narrower Gaussian falls into one pixel to the last bit of float64
_SIGMA_REACH = 4.0  # support of the Gaussian; 6e-5 of it lies beyond
_MOMENTS = 256  # points of time on a motion segment


@dataclass(frozen=True)
class BlurParams:
    sigma_px: Tensor  # (B,) standard deviation of the Gaussian (lens)
    radius_px: Tensor  # (B,) of the disc of defocus
    length_px: Tensor  # (B,) way that the camera moved during the exposure
    angle_rad: Tensor  # (B,) of that way


def _taps(reach: int, like: Tensor) -> Tensor:
    return torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)


def gaussian_kernel(sigma_px: Tensor) -> Tensor:
    """Gaussian integrated over each pixel, () -> (K, K); its variance is sigma^2 + 1/12."""
    sigma = sigma_px.clamp_min(_SIGMA_SEEN)
    taps = _taps(math.ceil(_SIGMA_REACH * float(sigma.detach())), sigma)
    scale = sigma * math.sqrt(2)
    line = torch.erf((taps + 0.5) / scale) - torch.erf((taps - 0.5) / scale)
    line = line / line.sum()
    return line[:, None] * line


def disc_kernel(radius_px: Tensor) -> Tensor:
    """Disc of even light, () -> (K, K); its rim fades (smoothstep) over the width of a pixel."""
    taps = _taps(math.ceil(float(radius_px.detach()) + 0.5), radius_px)
    inside = (radius_px - torch.hypot(taps[:, None], taps) + 0.5).clamp(0, 1)
    disc = inside.square() * (3 - 2 * inside)
    return disc / disc.sum()


def segment_kernel(length_px: Tensor, angle_rad: Tensor) -> Tensor:
    """Straight way at even speed, ((), ()) -> (K, K).

    Each of 256 moments lights its four neighbour pixels with weights (1 - |u|)^2 (1 + 2 |u|) along
    each axis, u the distance: they sum to one, as bilinear ones do, and have no kink.
    """
    moments = (torch.arange(_MOMENTS, device=length_px.device, dtype=length_px.dtype) + 0.5) / (
        _MOMENTS
    ) - 0.5
    taps = _taps(math.ceil(float(length_px.detach()) / 2), length_px)

    def weights(position: Tensor) -> Tensor:  # (moments,) -> (moments, K)
        near = (1 - (taps - position[:, None]).abs()).clamp_min(0)
        return near.square() * (3 - 2 * near)

    way = length_px * moments
    return weights(way * angle_rad.cos()).T @ weights(way * angle_rad.sin()) / _MOMENTS


def blur_kernel(params: BlurParams, index: int = 0) -> Tensor:
    """k (K, K) of image `index`, K odd: not negative, sums to one, the same after half a turn."""
    kernel = gaussian_kernel(params.sigma_px[index])[None, None]
    for part in (
        disc_kernel(params.radius_px[index]),
        segment_kernel(params.length_px[index], params.angle_rad[index]),
    ):
        kernel = functional.conv2d(kernel, part[None, None], padding=len(part) - 1)
    return kernel[0, 0]


def _kernels(light: Tensor, params: BlurParams) -> list[Tensor]:
    if len(params.sigma_px) != len(light):
        raise ValueError(f"{len(light)} images need as many kernels, got {len(params.sigma_px)}")
    params = map_tensors(params, lambda t: t.to(light))
    return [blur_kernel(params, index) for index in range(len(light))]


def _mirrored(size: int, reach: int, device: torch.device) -> Tensor:
    """Index of the pixel seen at -reach, ..., size + reach - 1: ... 1 0 | 0 1 2 | 2 1 ..."""
    place = torch.arange(-reach, size + reach, device=device).remainder(2 * size)
    return torch.minimum(place, 2 * size - 1 - place)


def blur_light(light: Tensor, params: BlurParams) -> Tensor:
    """A J = k * J for linear light (B, C, H, W): a linear map, an image at a time."""
    blurred = []
    for picture, kernel in zip(light, _kernels(light, params), strict=True):
        reach = len(kernel) // 2
        rows, columns = (_mirrored(size, reach, light.device) for size in picture.shape[-2:])
        wide = picture.index_select(-2, rows).index_select(-1, columns)
        blurred.append(functional.conv2d(wide[:, None], kernel[None, None])[:, 0])
    return torch.stack(blurred)


def blur_adjoint(light: Tensor, params: BlurParams) -> Tensor:
    """A^T y (B, C, H, W), the adjoint of `blur_light`: <A x, y> = <x, A^T y>."""
    spread = []
    for picture, kernel in zip(light, _kernels(light, params), strict=True):
        reach = len(kernel) // 2
        channels, height, width = picture.shape
        rows, columns = (_mirrored(size, reach, light.device) for size in (height, width))
        wide = functional.conv_transpose2d(picture[:, None], kernel[None, None])[:, 0]
        tall = wide.new_zeros(channels, len(rows), width).index_add(-1, columns, wide)
        spread.append(wide.new_zeros(channels, height, width).index_add(-2, rows, tall))
    return torch.stack(spread)


def blur(image: Tensor, params: BlurParams) -> Tensor:
    """k * J in linear light, for an image (B, C, H, W) in display values; not clamped."""
    return to_display(blur_light(to_linear(image), params))


@dataclass(frozen=True)
class Blur:
    """Prior over kernels: every lens has a sigma; some pictures are out of focus, some shaken."""

    sigma_px: Range = (0.3, 2.0)
    radius_px: Range = (0.5, 4.0)
    length_px: Range = (1.0, 16.0)
    angle_rad: Range = (-math.pi / 2, math.pi / 2)
    defocused: float = 0.4  # share of images with a disc
    shaken: float = 0.4  # share of images with motion

    apply = staticmethod(blur)

    def sample(self, shape: Shape, generator: torch.Generator) -> BlurParams:
        size = (shape[0],)
        defocused = torch.rand(size, generator=generator) < self.defocused
        shaken = torch.rand(size, generator=generator) < self.shaken
        return BlurParams(
            sigma_px=uniform(self.sigma_px, size, generator),
            radius_px=uniform(self.radius_px, size, generator) * defocused,
            length_px=uniform(self.length_px, size, generator) * shaken,
            angle_rad=uniform(self.angle_rad, size, generator),
        )
