"""Gaussian smoothing with a width of its own for each image of a batch, and sharpening by it.

    smooth(J) = g * J            g integrated over each pixel, as of `kernels.gaussian_kernel`
    sharpen(J) = J + amount (J - smooth(J))

In any space; the border mirrors (the edge row is repeated). Reference: Gonzalez and Woods, "Digital
image processing", 4th edition, section 3.6 (unsharp masking).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from .kernels import mirrored
from .types import check_batch, check_values, per_image

WIDEST_PX = 4.0
_REACH = 3.0  # deviations, beyond which lie 0.3 % of the kernel
_NARROWEST = 0.05  # of a narrower Gaussian nothing reaches the next pixel
_RADIUS_PX = 0.75  # of sharpening, as cameras do it


def smooth(image: Tensor, width_px: Tensor, widest_px: float = WIDEST_PX) -> Tensor:
    """g * J, separably.

    Args:
        image: (B, C, H, W).
        width_px: (B,) standard deviation, from 0, which changes nothing, to `widest_px`.
        widest_px: above 0; the kernel reaches three times as far.

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: for a width out of this range.

    Example:
        >>> smooth(torch.tensor([[[[0.0, 0.0, 1.0, 0.0, 0.0]]]]), torch.tensor([0.5]))
        tensor([[[[0.0013, 0.1573, 0.6827, 0.1573, 0.0013]]]])
    """
    check_batch(image)
    check_values("width_px", width_px, "px", 0, widest_px)
    reach = math.ceil(_REACH * widest_px)
    batch, channels, height, width = image.shape
    sigma = per_image(width_px, image).flatten()[:, None]
    scale = sigma.clamp_min(_NARROWEST) * math.sqrt(2)
    taps = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    line = torch.erf((taps + 0.5) / scale) - torch.erf((taps - 0.5) / scale)
    line = (line / line.sum(1, keepdim=True)).expand(batch, -1).repeat_interleave(channels, 0)
    rows, columns = (mirrored(size, reach, image.device) for size in (height, width))
    folded = image.reshape(1, batch * channels, height, width)
    down = functional.conv2d(
        folded.index_select(-2, rows), line[:, None, :, None], groups=batch * channels
    )
    across = functional.conv2d(
        down.index_select(-1, columns), line[:, None, None], groups=batch * channels
    )
    return across.view(image.shape)


def sharpen(image: Tensor, amount: Tensor) -> Tensor:
    """J + amount (J - smooth(J)), by a Gaussian of 0.75 px.

    Args:
        image: (B, C, H, W).
        amount: (B,) at least 0, which changes nothing.

    Returns:
        (B, C, H, W), not clamped.

    Example:
        >>> edge = torch.tensor([[[[0.2, 0.2, 0.8, 0.8]]]])
        >>> sharpen(edge, torch.tensor([1.0]))
        tensor([[[[0.1861, 0.0485, 0.9515, 0.8139]]]])
    """
    check_values("amount", amount, "times what smoothing takes")
    blurred = smooth(image, image.new_full((1,), _RADIUS_PX), _RADIUS_PX)
    return image + per_image(amount, image) * (image - blurred)
