"""Blur of lens, defocus and camera motion: each image is convolved with its own kernel.

    I = k * J,      k = gaussian(sigma) * disc(radius) * segment(length, angle),      sum k = 1

Linear light, where radiances add; `blur` converts from display values and back, `blur_light`
and its adjoint are linear. Beyond the border the picture is mirrored (`kernels.py`). A parameter
at 0 switches its part off exactly; one that is wider than the picture is refused. Angles are
measured from the vertical, positive towards the lower right, as in `rain.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .color import to_display, to_linear
from .kernels import convolve, convolve_adjoint, disc_kernel, gaussian_kernel, segment_kernel
from .types import Range, Shape, check_batch, check_image, check_values, map_tensors, uniform


@dataclass(frozen=True)
class BlurParams:
    """Parameters of `blur`, one row an image; a part at 0 is switched off.

    Example:
        >>> zero = torch.zeros(1)
        >>> params = BlurParams(zero, zero, length_px=torch.tensor([2.0]), angle_rad=zero)
        >>> blur_kernel(params).sum(dim=1)
        tensor([0.0000, 0.0000, 0.2500, 0.5000, 0.2500, 0.0000, 0.0000])
    """

    sigma_px: Tensor  # (B,) standard deviation of the Gaussian (lens)
    radius_px: Tensor  # (B,) of the disc of defocus
    length_px: Tensor  # (B,) way that the camera moved during the exposure
    angle_rad: Tensor  # (B,) of that way


def blur_kernel(params: BlurParams, index: int = 0) -> Tensor:
    """k (K, K) of one image: not negative, sums to one, the same after half a turn.

    Args:
        params: of a batch.
        index: the image in it.

    Returns:
        The kernel, K odd.

    Example:
        >>> zero = torch.zeros(1)
        >>> blur_kernel(BlurParams(zero, torch.tensor([1.0]), zero, zero))
        tensor([[0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000],
                [0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000],
                [0.0000, 0.0000, 0.0068, 0.1622, 0.0068, 0.0000, 0.0000],
                [0.0000, 0.0000, 0.1622, 0.3243, 0.1622, 0.0000, 0.0000],
                [0.0000, 0.0000, 0.0068, 0.1622, 0.0068, 0.0000, 0.0000],
                [0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000],
                [0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000]])
    """
    kernel = gaussian_kernel(params.sigma_px[index])[None, None]
    for part in (
        disc_kernel(params.radius_px[index]),
        segment_kernel(params.length_px[index], params.angle_rad[index]),
    ):
        kernel = functional.conv2d(kernel, part[None, None], padding=len(part) - 1)
    return kernel[0, 0]


def _kernels(light: Tensor, params: BlurParams) -> list[Tensor]:
    check_batch(light)
    if len(params.sigma_px) != len(light):
        raise ValueError(f"{len(light)} images need as many kernels, got {len(params.sigma_px)}")
    side = max(light.shape[-2:])
    unit = f"px in a picture of {light.shape[-1]} x {light.shape[-2]}"
    for name, share in (("sigma_px", 1.0), ("radius_px", 0.5), ("length_px", 1.0)):
        # The size of the kernel is read from these values in any case, so a look costs no more.
        check_values(name, getattr(params, name).cpu(), unit, 0, share * side)
    params = map_tensors(params, lambda t: t.to(light))
    return [blur_kernel(params, index) for index in range(len(light))]


def blur_light(light: Tensor, params: BlurParams) -> Tensor:
    """A J = k * J for linear light: a linear map, an image at a time.

    Args:
        light: (B, C, H, W) linear light.
        params: one row an image.

    Returns:
        (B, C, H, W) linear light, not clamped.

    Raises:
        ValueError: where sigma, the diameter of the disc or the length is above the longer side.

    Example:
        >>> zero = torch.zeros(1)
        >>> params = BlurParams(zero, zero, torch.tensor([2.0]), zero)
        >>> blur_light(torch.eye(5).view(1, 1, 5, 5), params).sum()
        tensor(5.)
    """
    pairs = zip(light, _kernels(light, params), strict=True)
    return torch.stack([convolve(picture, kernel) for picture, kernel in pairs])


def blur_adjoint(light: Tensor, params: BlurParams) -> Tensor:
    """A^T y, the adjoint of `blur_light`: <A x, y> = <x, A^T y>.

    Args:
        light: (B, C, H, W).
        params: those of `blur_light`.

    Returns:
        (B, C, H, W).

    Example:
        >>> zero = torch.zeros(1)
        >>> params = BlurParams(zero, zero, torch.tensor([2.0]), zero)
        >>> x, y = torch.eye(5).view(1, 1, 5, 5), torch.arange(25.0).view(1, 1, 5, 5)
        >>> torch.allclose((blur_light(x, params) * y).sum(), (x * blur_adjoint(y, params)).sum())
        True
    """
    pairs = zip(light, _kernels(light, params), strict=True)
    return torch.stack([convolve_adjoint(picture, kernel) for picture, kernel in pairs])


def blur(image: Tensor, params: BlurParams) -> Tensor:
    """k * J in linear light: lens, defocus and camera motion.

    Args:
        image: (B, C, H, W) display values.
        params: one row an image.

    Returns:
        (B, C, H, W) display values, not clamped.

    Raises:
        ValueError: where a kernel is wider than the picture.

    Example:
        >>> zero, image = torch.zeros(1), torch.zeros(1, 1, 1, 5)
        >>> image[..., 2] = 1
        >>> blur(image, BlurParams(zero, zero, torch.tensor([2.0]), torch.tensor([torch.pi / 2])))
        tensor([[[[0.0000, 0.5371, 0.7354, 0.5371, 0.0000]]]])
    """
    check_image(image)
    return to_display(blur_light(to_linear(image), params))


@dataclass(frozen=True)
class Blur:
    """Prior over kernels: every lens has a sigma; some pictures are out of focus, some shaken.

    In a picture that is smaller than what was drawn, the blur is as wide as the picture.

    Example:
        >>> prior = Blur(sigma_px=(1, 1), defocused=0, shaken=0)
        >>> prior.sample((2, 3, 8, 8), torch.Generator().manual_seed(0)).sigma_px
        tensor([1., 1.])
    """

    sigma_px: Range = (0.3, 2.0)
    radius_px: Range = (0.5, 4.0)
    length_px: Range = (1.0, 16.0)
    angle_rad: Range = (-math.pi / 2, math.pi / 2)
    defocused: float = 0.4  # share of images with a disc
    shaken: float = 0.4  # share of images with motion

    apply = staticmethod(blur)

    def __post_init__(self) -> None:
        for name in ("sigma_px", "radius_px", "length_px"):
            check_values(name, getattr(self, name), "px")
        for name in ("defocused", "shaken"):
            check_values(name, getattr(self, name), "share of images", 0, 1)

    def sample(self, shape: Shape, generator: torch.Generator) -> BlurParams:
        size, side = (shape[0],), float(max(shape[2:]))
        defocused = torch.rand(size, generator=generator) < self.defocused
        shaken = torch.rand(size, generator=generator) < self.shaken
        return BlurParams(
            sigma_px=uniform(self.sigma_px, size, generator).clamp(max=side),
            radius_px=uniform(self.radius_px, size, generator).clamp(max=side / 2) * defocused,
            length_px=uniform(self.length_px, size, generator).clamp(max=side) * shaken,
            angle_rad=uniform(self.angle_rad, size, generator),
        )
