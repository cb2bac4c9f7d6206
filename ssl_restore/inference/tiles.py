"""A restorer on whole pictures, tile by tile, so that a large one fits into memory.

Tiles overlap by the reach of the network and start on multiples of its stride: every output
pixel is computed from exactly the pixels that it would see in the whole picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.device import autocast, thread_pool
from ssl_restore.errors import UserError
from ssl_restore.io import images

TILE_PIXELS = 1_600_000  # largest tile, margins included, that `tile=None` takes
MIRRORED = 4  # the position that is mirrored left to right, and not turned
TILES_AT_ONCE = 2  # on a CPU; more would take more memory


class Strength(nn.Module):
    """I - strength (I - restored): 0 gives the picture back, 1 the restored one.

    image (B, 3, H, W), sides multiples of `stride`, -> the same shape, not clamped.
    """

    def __init__(self, restorer: nn.Module, strength: float) -> None:
        super().__init__()
        self.restorer = restorer
        self.strength = strength
        self.stride = restorer.stride
        self.reach = restorer.reach

    def forward(self, image: Tensor) -> Tensor:
        return torch.lerp(image, self.restorer(image).to(image), self.strength)


class Ensemble(nn.Module):
    """Mean of what a restorer gives for the picture in several positions, turned back.

    image (B, 3, H, W), sides multiples of `stride`, -> the same shape. Reference: Timofte, Rothe
    and Van Gool, "Seven ways to improve example-based single image super resolution", CVPR 2016.
    """

    def __init__(self, restorer: nn.Module, positions: Sequence[int] = range(8)) -> None:
        super().__init__()
        self.restorer = restorer
        self.positions = positions
        self.stride = restorer.stride
        self.reach = restorer.reach

    def forward(self, image: Tensor) -> Tensor:
        total = torch.zeros_like(image)
        for position in self.positions:
            total += back(self.restorer(turned(image, position)).to(image), position)
        return total / len(self.positions)


def turned(image: Tensor, position: int) -> Tensor:
    """One of the eight symmetries of the square: mirrored from the fifth on, then turned."""
    mirrored = image.flip(-1) if position >= MIRRORED else image
    quarter = torch.rot90(mirrored, position % 4, (-2, -1))
    return quarter.contiguous(memory_format=torch.channels_last)


def back(image: Tensor, position: int) -> Tensor:
    """The inverse of `turned`."""
    upright = torch.rot90(image, -(position % 4), (-2, -1))
    return upright.flip(-1) if position >= MIRRORED else upright


def restore(
    restorer: nn.Module,
    pixels: np.ndarray,
    *,
    tile: int | None = None,
    precision: str = "auto",
    done: Callable[[int], None] = lambda pixels: None,
) -> np.ndarray:
    """Restored pixels, same shape and dtype as `pixels` (H, W, 1 or 3), uint8 or uint16.

    `tile` is the side of a tile without its margin; None chooses, 0 takes the whole picture at
    once. `done(n)` is called after each tile with the number of output pixels it gave.
    """
    height, width = pixels.shape[:2]
    device = next(restorer.parameters()).device
    stride, reach = int(restorer.stride), int(restorer.reach)  # type: ignore[arg-type]
    margin = math.ceil(reach / stride) * stride
    rows, columns = tile_sides(height, width, tile, margin, stride)
    restored = np.empty_like(pixels)

    def fill(top: int, bottom: int, left: int, right: int) -> int:
        # The window, with its margin, is clipped to the picture.
        first_row, first_column = max(0, top - margin), max(0, left - margin)
        window = pixels[first_row : bottom + margin, first_column : right + margin]
        with torch.inference_mode(), autocast(device, precision):
            image = _to_stride(images.to_tensor(window).to(device), stride)
            output = restorer(image.contiguous(memory_format=torch.channels_last))
        inner = output[
            :, :, top - first_row : bottom - first_row, left - first_column : right - first_column
        ]
        restored[top:bottom, left:right] = images.to_pixels(inner.float().cpu(), pixels)
        return (bottom - top) * (right - left)

    tiles = [(*r, *c) for r in spans(height, rows) for c in spans(width, columns)]
    if device.type != "cpu" or len(tiles) == 1:
        for tile_ in tiles:
            done(fill(*tile_))
        return restored
    with thread_pool(TILES_AT_ONCE) as pool:
        for future in [pool.submit(fill, *tile_) for tile_ in tiles]:
            done(future.result())
    return restored


def tile_sides(
    height: int, width: int, tile: int | None, margin: int, stride: int
) -> tuple[int, int]:
    """Rows and columns of a tile without its margin, multiples of the stride."""
    if tile == 0:
        return height, width
    if tile is not None:
        if tile < stride:
            raise UserError(f"--tile {tile}: too small; at least {stride}, or 0 for no tiles")
        side = tile // stride * stride
        return side, side
    rows, columns = height, width
    while (min(rows + 2 * margin, height)) * (min(columns + 2 * margin, width)) > TILE_PIXELS:
        if rows > columns:
            rows = _part(height, math.ceil(height / rows) + 1, stride)
        else:
            columns = _part(width, math.ceil(width / columns) + 1, stride)
        if rows == columns == stride:
            break
    return rows, columns


def _part(side: int, parts: int, stride: int) -> int:
    return max(stride, math.ceil(side / parts / stride) * stride)


def spans(side: int, step: int) -> Iterator[tuple[int, int]]:
    """[0, step), [step, 2 step), ... up to `side`."""
    for first in range(0, side, step):
        yield first, min(first + step, side)


def _to_stride(image: Tensor, stride: int) -> Tensor:
    """Pad right and bottom by reflection to multiples of `stride`."""
    down, right = -image.shape[-2] % stride, -image.shape[-1] % stride
    mode = "reflect" if down < image.shape[-2] and right < image.shape[-1] else "replicate"
    return F.pad(image, (0, right, 0, down), mode=mode)
