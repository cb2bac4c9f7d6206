"""Display (sRGB) values to linear light and back.  IEC 61966-2-1:1999, section 5.2."""

from __future__ import annotations

import torch
from torch import Tensor

_KNEE_DISPLAY = 0.04045
_KNEE_LINEAR = 0.0031308
_LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709-6, item 3.2: the primaries of sRGB


def to_linear(display: Tensor) -> Tensor:
    """Display values to linear light.

        L = V / 12.92 below the knee at 0.04045, ((V + 0.055) / 1.055)^2.4 above

    The straight piece goes on below 0 and the power goes on above 1, so that values which left
    [0, 1] come back unchanged; the gradient is finite everywhere.

    Args:
        display: values of any shape.

    Returns:
        The same shape, not clamped.

    Example:
        >>> to_linear(torch.tensor([0.0, 0.5, 1.0]))
        tensor([0.0000, 0.2140, 1.0000])
    """
    power = ((display.clamp_min(_KNEE_DISPLAY) + 0.055) / 1.055).pow(2.4)
    return torch.where(display <= _KNEE_DISPLAY, display / 12.92, power)


def to_display(linear: Tensor) -> Tensor:
    """Linear light to display values: `to_linear` undone.

        V = 12.92 L below the knee at 0.0031308, 1.055 L^(1/2.4) - 0.055 above

    Args:
        linear: values of any shape.

    Returns:
        The same shape, not clamped.

    Example:
        >>> to_display(torch.tensor([0.0, 0.2140, 1.0]))
        tensor([0.0000, 0.5000, 1.0000])
    """
    power = 1.055 * linear.clamp_min(_KNEE_LINEAR).pow(1 / 2.4) - 0.055
    return torch.where(linear <= _KNEE_LINEAR, 12.92 * linear, power)


def luma(image: Tensor) -> Tensor:
    """0.2126 R + 0.7152 G + 0.0722 B: luma of display values, luminance of linear ones (BT.709).

    The Y of the deraining benchmarks is another one (BT.601, 16 to 235): see
    `ssl_restore.evaluation`.

    Args:
        image: (B, 3, H, W).

    Returns:
        (B, 1, H, W).

    Raises:
        ValueError: for another number of channels.

    Example:
        >>> luma(torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1))
        tensor([[[[0.5702]]]])
    """
    if image.shape[-3] != 3:
        raise ValueError(f"luma needs 3 channels (..., 3, H, W), got {tuple(image.shape)}")
    weights = image.new_tensor(_LUMA).view(3, 1, 1)
    return (image * weights).sum(-3, keepdim=True)
