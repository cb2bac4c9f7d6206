"""Positives and hard negatives of contrastive learning: the same picture, slightly changed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from degradations.types import Range, uniform

REACH = 3  # of the kernels, in pixels


def positive(image: Tensor, generator: torch.Generator) -> Tensor:
    """A light crop, colour jitter and Gaussian blur of each image; (B, 3, H, W), not clamped.

    The crop keeps 80 to 100 % of each side, resampled to the full size; gain and contrast change
    by up to 20 % a channel; sigma is 0.1 to 1 px. Drawn for each image on its own.
    """
    batch = image.shape[0]
    size = uniform((0.8, 1.0), (batch,), generator)
    room = (1 - size)[:, None] * uniform((-1.0, 1.0), (batch, 2), generator)
    matrix = torch.zeros(batch, 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = size
    matrix[:, :, 2] = room
    grid = F.affine_grid(matrix.to(image), list(image.shape), align_corners=False)
    cropped = F.grid_sample(image, grid, padding_mode="reflection", align_corners=False)

    gain = uniform((0.8, 1.2), (batch, 3, 1, 1), generator).to(image)
    contrast = uniform((0.8, 1.2), (batch, 1, 1, 1), generator).to(image)
    mean = cropped.mean(dim=(2, 3), keepdim=True)
    jittered = gain * (mean + contrast * (cropped - mean))

    sigma = uniform((0.1, 1.0), (batch, 1), generator).to(image)
    return _gaussian(jittered, sigma)


def sharpened(image: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """J + k (J - G J), `count` of each image: (B, 3, H, W) -> (B, count, 3, H, W), not clamped.

    G is a Gaussian of 0.5 to 1.5 px, k from 0.1 to 0.5: high-pass kernels, each another.
    """
    amount = uniform((0.1, 0.5), (len(image), count, 1, 1, 1), generator).to(image)
    soft = blurred(image, count, generator, sigma_px=(0.5, 1.5))
    return image[:, None] + amount * (image[:, None] - soft)


def blurred(
    image: Tensor, count: int, generator: torch.Generator, sigma_px: Range = (0.4, 1.2)
) -> Tensor:
    """Slightly blurred by Gaussians, `count` of each image: (B, 3, H, W) -> (B, count, 3, H, W)."""
    sigma = uniform(sigma_px, (len(image) * count, 1), generator).to(image)
    return _gaussian(image.repeat_interleave(count, dim=0), sigma).unflatten(0, (-1, count))


def _gaussian(image: Tensor, sigma: Tensor) -> Tensor:
    """(B, 3, H, W) by a Gaussian of (B, 1) pixels each, cut at 3 pixels."""
    batch, channels, height, width = image.shape
    taps = torch.arange(-REACH, REACH + 1).to(image)
    kernel = torch.softmax(-(taps**2) / (2 * sigma**2), dim=1)  # (B, 7)
    padded = F.pad(image, (REACH,) * 4, mode="reflect")
    folded = padded.reshape(1, batch * channels, height + 2 * REACH, width + 2 * REACH)
    lines = kernel.repeat_interleave(channels, dim=0)
    rows = F.conv2d(folded, lines[:, None, :, None], groups=batch * channels)
    return F.conv2d(rows, lines[:, None, None, :], groups=batch * channels).reshape(image.shape)
