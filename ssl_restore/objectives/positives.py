"""Positives of contrastive learning: the same picture, slightly changed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from degradations.types import uniform


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
    taps = torch.arange(-3, 4).to(image)
    kernel = torch.softmax(-(taps**2) / (2 * sigma**2), dim=1)  # (B, 7)
    folded = F.pad(jittered, (3, 3, 3, 3), mode="reflect").reshape(1, batch * 3, *_padded(image))
    lines = kernel.repeat_interleave(3, dim=0)
    rows = F.conv2d(folded, lines[:, None, :, None], groups=batch * 3)
    return F.conv2d(rows, lines[:, None, None, :], groups=batch * 3).reshape(image.shape)


def _padded(image: Tensor) -> tuple[int, int]:
    return image.shape[2] + 6, image.shape[3] + 6
