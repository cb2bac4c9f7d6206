"""A restorer on a whole picture that is a tensor: in tiles, and averaged over the symmetries."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.device import autocast
from ssl_restore.restore import spans, tile_sides


class Ensemble(nn.Module):
    """Mean of what a restorer gives for the picture in all eight positions, turned back.

    image (B, 3, H, W), sides multiples of `stride`, -> the same shape. Reference: Timofte, Rothe
    and Van Gool, "Seven ways to improve example-based single image super resolution", CVPR 2016.
    """

    def __init__(self, restorer: nn.Module) -> None:
        super().__init__()
        self.restorer = restorer
        self.stride = restorer.stride
        self.reach = restorer.reach

    def forward(self, image: Tensor) -> Tensor:
        total = torch.zeros_like(image)
        for position in range(8):
            total += back(self.restorer(turned(image, position)).to(image), position)
        return total / 8


def turned(image: Tensor, position: int) -> Tensor:
    """One of the eight symmetries of the square: mirrored from the fifth on, then turned."""
    mirrored = image.flip(-1) if position >= 4 else image
    quarter = torch.rot90(mirrored, position % 4, (-2, -1))
    return quarter.contiguous(memory_format=torch.channels_last)


def back(image: Tensor, position: int) -> Tensor:
    """The inverse of `turned`."""
    upright = torch.rot90(image, -(position % 4), (-2, -1))
    return upright.flip(-1) if position >= 4 else upright


@torch.no_grad()
def restored(
    restorer: nn.Module, image: Tensor, *, tile: int | None = None, precision: str = "auto"
) -> Tensor:
    """What a restorer makes of a picture (1, 3, H, W) of any size; not clamped.

    `tile` as of `restore`; tiles overlap by the reach of the restorer, so that they do not show.
    """
    height, width = image.shape[2:]
    stride = int(restorer.stride)  # type: ignore[arg-type]
    margin = math.ceil(int(restorer.reach) / stride) * stride  # type: ignore[arg-type]
    rows, columns = tile_sides(height, width, tile, margin, stride)
    result = torch.empty_like(image)
    for top, bottom in spans(height, rows):
        for left, right in spans(width, columns):
            up, aside = max(0, top - margin), max(0, left - margin)
            window = to_multiple(image[..., up : bottom + margin, aside : right + margin], stride)
            with autocast(image.device, precision):
                output = restorer(window.contiguous(memory_format=torch.channels_last))
            result[..., top:bottom, left:right] = output[
                ..., top - up : bottom - up, left - aside : right - aside
            ]
    return result


def to_multiple(image: Tensor, stride: int, least: int = 1) -> Tensor:
    """Continued to the right and below to sides that are multiples and at least so large: mirrored
    where that is enough, else repeated."""
    height, width = image.shape[2:]
    down, right = (max(-side % stride, least - side) for side in (height, width))
    down, right = down + -(height + down) % stride, right + -(width + right) % stride
    if down == right == 0:
        return image
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(image, (0, right, 0, down), mode=mode)
