"""A restorer on a whole picture that is a tensor, in tiles."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.device import autocast
from ssl_restore.inference.tiles import spans, tile_sides


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
