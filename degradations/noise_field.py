"""Correlated fields of noise: white ones, smoothed, with the deviation of the white ones.

u = k * eps,   k Gaussian with sum k^2 = 1
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .types import check_values

_FAR = 8.0  # deviations from the middle of the kernel, where it is none: 1e-14 of it, and less


def noise_field(eps: Tensor, width_px: Tensor, image: Tensor, extra: int = 0) -> Tensor:
    """k * eps in the size of a picture.

    Args:
        eps: (B, C + extra, H + 2 r, W + 2 r) standard normal, r beyond every border.
        width_px: (B,) standard deviation of the kernel.
        image: (B, C, H, W), of which the shape, device and dtype count.
        extra: channels beyond those of the picture.

    Returns:
        (B, C + extra, H, W) of deviation 1.

    Raises:
        ValueError: for a width that is not above 0, and an eps of another shape.

    Example:
        >>> eps = torch.randn(1, 1, 108, 108, generator=torch.Generator().manual_seed(0))
        >>> field = noise_field(eps, torch.tensor([1.0]), torch.zeros(1, 1, 100, 100))
        >>> round(field.std().item(), 1), bool((field[..., 1:] * field[..., :-1]).mean() > 0.7)
        (1.0, True)
    """
    check_values("width_px", width_px, "px", above=True)
    batch, channels, height, width = image.shape
    right, down = eps.shape[-1] - width, eps.shape[-2] - height
    fits = eps.shape[:2] == (batch, channels + extra) and right == down >= 0 and not right % 2
    if eps.ndim != 4 or not fits:
        named = f"C + {extra}" if extra else "C"
        raise ValueError(
            f"eps must have the shape (B, {named}, H + 2 r, W + 2 r) of its picture "
            f"{tuple(image.shape)}, r at least 0, got {tuple(eps.shape)}"
        )

    def kernel(size: int, wide: int) -> Tensor:  # (B, size, wide), every row of length 1
        ahead = torch.arange(wide, device=image.device, dtype=image.dtype)
        centre = torch.arange(size, device=image.device, dtype=image.dtype)[:, None]
        away = (ahead - centre - (wide - size) // 2) / width_px.to(image).view(-1, 1, 1)
        weights = torch.exp(-away.square() / 2) * (away.abs() < _FAR)
        return weights / weights.square().sum(2, keepdim=True).sqrt()

    eps = eps.to(image)
    rows, columns = kernel(height, eps.shape[-2]), kernel(width, eps.shape[-1])
    return torch.einsum("bih,bchw,bjw->bcij", rows, eps, columns)


def unit_noise(image: Tensor, width_px: float, generator: torch.Generator) -> Tensor:
    """Normal values of deviation 1, correlated or each of its own.

    Args:
        image: (B, C, H, W), of which the shape, device and dtype count.
        width_px: standard deviation of the kernel; 0 for white noise.
        generator: On the CPU.

    Returns:
        (B, C, H, W).

    Example:
        >>> white = unit_noise(torch.zeros(1, 1, 64, 64), 0.0, torch.Generator().manual_seed(0))
        >>> round(white.std().item(), 1), bool((white[..., 1:] * white[..., :-1]).mean() < 0.1)
        (1.0, True)
    """
    batch, channels, height, width = image.shape
    reach = math.ceil(4 * width_px)
    size = (batch, channels, height + 2 * reach, width + 2 * reach)
    eps = torch.randn(size, generator=generator).to(image)
    return noise_field(eps, torch.full((batch,), width_px), image) if reach else eps
