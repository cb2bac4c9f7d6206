"""Kernels of blur, and convolution of a picture with one, mirrored beyond its border.

Kernels are (K, K), K odd: not negative, of sum one, row and column from the middle down and right.
They are smooth (C1) in every parameter, but for the choice of their support. The border mirrors
(the edge row is repeated), as often as the kernel needs.

Reference for the adjoint: Hansen, Nagy and O'Leary, "Deblurring images", SIAM 2006, chapter 4
(reflexive boundary).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_SMALLEST_SIGMA = 1e-3  # a narrower Gaussian falls into one pixel to the last bit of float64
_SIGMA_REACH = 4.0  # support of the Gaussian; 6e-5 of it lies beyond
_MOMENTS = 256  # points of time on a way


def _taps(reach: int, like: Tensor) -> Tensor:
    return torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)


def gaussian_kernel(sigma_px: Tensor) -> Tensor:
    """Gaussian integrated over each pixel; its variance is sigma^2 + 1/12.

    Args:
        sigma_px: () standard deviation.

    Returns:
        (K, K) of sum one.

    Example:
        >>> gaussian_kernel(torch.tensor(0.3)).shape
        torch.Size([5, 5])
    """
    sigma = sigma_px.clamp_min(_SMALLEST_SIGMA)
    taps = _taps(math.ceil(_SIGMA_REACH * float(sigma.detach())), sigma)
    scale = sigma * math.sqrt(2)
    line = torch.erf((taps + 0.5) / scale) - torch.erf((taps - 0.5) / scale)
    line = line / line.sum()
    return line[:, None] * line


def disc_kernel(radius_px: Tensor) -> Tensor:
    """Disc of even light; its rim fades (smoothstep) over the width of a pixel.

    Args:
        radius_px: () of the disc.

    Returns:
        (K, K) of sum one.

    Example:
        >>> disc_kernel(torch.tensor(1.0))
        tensor([[0.0000, 0.0000, 0.0000, 0.0000, 0.0000],
                [0.0000, 0.0068, 0.1622, 0.0068, 0.0000],
                [0.0000, 0.1622, 0.3243, 0.1622, 0.0000],
                [0.0000, 0.0068, 0.1622, 0.0068, 0.0000],
                [0.0000, 0.0000, 0.0000, 0.0000, 0.0000]])
    """
    taps = _taps(math.ceil(float(radius_px.detach()) + 0.5), radius_px)
    inside = (radius_px - torch.hypot(taps[:, None], taps) + 0.5).clamp(0, 1)
    disc = inside.square() * (3 - 2 * inside)
    return disc / disc.sum()


def near(position: Tensor, places: Tensor) -> Tensor:
    """Shares of each position among the whole-numbered places beside it.

    (1 - |u|)^2 (1 + 2 |u|), u the distance: they sum to one, as bilinear ones do, and have no kink.
    Shapes: (M,), (N,) -> (M, N).
    """
    inside = (1 - (places - position[:, None]).abs()).clamp_min(0)
    return inside.square() * (3 - 2 * inside)


def path_kernel(x_px: Tensor, y_px: Tensor) -> Tensor:
    """The way of a point of light through P points at equal times.

    Straight and even from point to point; each of 256 moments lights its four neighbour pixels.

    Args:
        x_px: (P,) to the right of the middle.
        y_px: (P,) below the middle.

    Returns:
        (K, K) of sum one.

    Example:
        >>> path_kernel(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 0.0]))
        tensor([[0.0000, 0.0000, 0.0000],
                [0.0000, 0.5000, 0.5000],
                [0.0000, 0.0000, 0.0000]])
    """
    moments = torch.arange(_MOMENTS, device=x_px.device, dtype=x_px.dtype) + 0.5
    place = moments * ((len(x_px) - 1) / _MOMENTS)
    points = torch.arange(len(x_px), device=x_px.device, dtype=x_px.dtype)
    shares = (1 - (points - place[:, None]).abs()).clamp_min(0)
    reach = math.ceil(float(torch.maximum(x_px.abs(), y_px.abs()).detach().max()))
    taps = _taps(reach, x_px)
    return near(shares @ y_px, taps).T @ near(shares @ x_px, taps) / _MOMENTS


def segment_kernel(length_px: Tensor, angle_rad: Tensor) -> Tensor:
    """Straight way at even speed about the middle.

    Args:
        length_px: () of the way.
        angle_rad: () from the vertical, positive towards the lower right.

    Returns:
        (K, K) of sum one.

    Example:
        >>> segment_kernel(torch.tensor(2.0), torch.tensor(0.0)).sum(dim=1)
        tensor([0.2500, 0.5000, 0.2500])
    """
    ends = torch.stack([-length_px, length_px]) / 2
    return path_kernel(ends * angle_rad.sin(), ends * angle_rad.cos())


def mirrored(size: int, reach: int, device: torch.device) -> Tensor:
    """Index of the pixel seen at -reach, ..., size + reach - 1: ... 1 0 | 0 1 2 | 2 1 ..."""
    place = torch.arange(-reach, size + reach, device=device).remainder(2 * size)
    return torch.minimum(place, 2 * size - 1 - place)


def convolve(picture: Tensor, kernel: Tensor) -> Tensor:
    """k * J for one picture, mirrored beyond its border: every point of light becomes the kernel.

    Args:
        picture: (C, H, W).
        kernel: (K, K), K odd.

    Returns:
        (C, H, W).

    Example:
        >>> kernel = torch.tensor([[0, 0, 0], [0, 0.5, 0.5], [0, 0, 0]])
        >>> convolve(torch.tensor([[[0.0, 1.0, 0.0]]]), kernel)
        tensor([[[0.0000, 0.5000, 0.5000]]])
    """
    reach = len(kernel) // 2
    rows, columns = (mirrored(size, reach, picture.device) for size in picture.shape[-2:])
    wide = picture.index_select(-2, rows).index_select(-1, columns)
    return functional.conv2d(wide[:, None], kernel.flip(0, 1)[None, None])[:, 0]


def convolve_adjoint(picture: Tensor, kernel: Tensor) -> Tensor:
    """The adjoint of `convolve` in the picture: <k * x, y> = <x, adjoint y>.

    Args:
        picture: (C, H, W).
        kernel: (K, K), K odd.

    Returns:
        (C, H, W).

    Example:
        >>> kernel = torch.tensor([[0, 0, 0], [0, 0.5, 0.5], [0, 0, 0]])
        >>> convolve_adjoint(torch.tensor([[[0.0, 1.0, 0.0]]]), kernel)
        tensor([[[0.5000, 0.5000, 0.0000]]])
    """
    reach = len(kernel) // 2
    channels, height, width = picture.shape
    rows, columns = (mirrored(size, reach, picture.device) for size in (height, width))
    wide = functional.conv_transpose2d(picture[:, None], kernel.flip(0, 1)[None, None])[:, 0]
    tall = wide.new_zeros(channels, len(rows), width).index_add(-1, columns, wide)
    return wide.new_zeros(channels, height, width).index_add(-2, rows, tall)
