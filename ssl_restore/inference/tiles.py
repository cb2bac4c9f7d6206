"""A restorer on whole pictures, tile by tile, so that a large one fits into memory.

Tiles overlap by the receptive field of the network and start on multiples of its stride: every
output pixel is computed from exactly the pixels that it would see in the whole picture.  A tile
for which there is no memory is halved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_restore.device import autocast, out_of_memory, thread_pool
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels
from ssl_restore.networks.overview import sampled, small_size
from ssl_restore.restorer import Restorer

TILE_PIXELS = 1_600_000  # largest tile, margins included, that `tile=None` takes
LARGE_PIXELS = 100_000_000  # from which tiles are half as large: the picture takes the memory
TILES_AT_ONCE = 2  # on a CPU; more would take more memory


@dataclass(frozen=True)
class Tile:
    """Rows and columns of the input that a tile fills, and of the window that it needs for that."""

    rows: slice
    columns: slice
    window_rows: slice
    window_columns: slice

    def target(self, scale: int) -> tuple[slice, slice]:
        """Where it goes in the output."""
        return _times(self.rows, scale), _times(self.columns, scale)

    def within(self, scale: int) -> tuple[slice, slice]:
        """Where it is in the output of its window."""
        pairs = (self.rows, self.window_rows), (self.columns, self.window_columns)
        rows, columns = (slice(a.start - w.start, a.stop - w.start) for a, w in pairs)
        return _times(rows, scale), _times(columns, scale)

    @property
    def window_px(self) -> int:
        rows, columns = self.window_rows, self.window_columns
        return (rows.stop - rows.start) * (columns.stop - columns.start)

    def halves(self, stride: int, margin: int) -> tuple[Tile, ...]:
        """Two tiles that fill the same; none where it is not longer than the stride."""
        rows, columns = self.rows, self.columns
        across = columns.stop - columns.start > rows.stop - rows.start
        side, window = ("columns", "window_columns") if across else ("rows", "window_rows")
        inner, outer = getattr(self, side), getattr(self, window)
        middle = inner.start + math.ceil((inner.stop - inner.start) / (2 * stride)) * stride
        if middle >= inner.stop:
            return ()
        first = slice(outer.start, min(outer.stop, middle + margin))
        second = slice(max(outer.start, middle - margin), outer.stop)
        return (
            replace(self, **{side: slice(inner.start, middle), window: first}),
            replace(self, **{side: slice(middle, inner.stop), window: second}),
        )


def restore(
    restorer: Restorer,
    pixels: Pixels,
    *,
    tile: int | None = None,
    precision: str = "auto",
    in_place: bool = False,
    progress: Callable[[int], None] = lambda pixels: None,
    notify: Callable[[str], None] = lambda line: None,
) -> Pixels:
    """Restored pixels of a picture (H, W, 1 or 3), uint8 or uint16, of the same type.

    Args:
        restorer: What is applied, on its own device.
        pixels: The picture; one side of the result is `restorer.scale` times as long.
        tile: Side of a tile without its margin; None chooses, 0 takes the whole picture at once.
        precision: `auto`, `bf16` or `fp32`, as of `device.autocast`.
        in_place: Write over `pixels`, which spares the memory of a second picture.
        progress: Called after each tile with the number of input pixels that it covered.
        notify: Called with what the user should know of the picture.
    """
    height, width, channels = pixels.shape
    device, scale = next(restorer.parameters()).device, restorer.scale
    in_place &= scale == 1
    restored = pixels
    if not in_place:
        restored = np.empty((scale * height, scale * width, channels), pixels.dtype)

    def whole(size: tuple[int, int]) -> Tensor:
        same = size == (height, width)
        small = pixels if same else cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
        return images.to_tensor(small.reshape(*size, channels)).to(device)

    maps = _overview(restorer, whole, (height, width), precision, notify)

    @torch.inference_mode()
    def fill(part: Tile, given: Pixels, top: int) -> int:
        rows = slice(part.window_rows.start - top, part.window_rows.stop - top)
        window = images.to_tensor(given[rows, part.window_columns]).to(device)
        output = _apply(restorer, window, maps(part), precision)
        inner_rows, inner_columns = part.within(scale)
        inner = output[..., inner_rows, inner_columns]
        restored[part.target(scale)] = images.to_pixels(inner.float().cpu(), pixels)
        return (part.rows.stop - part.rows.start) * (part.columns.stop - part.columns.start)

    parts = tiles(restorer, height, width, tile)
    if not in_place:
        _each(partial(fill, given=pixels, top=0), parts, restorer, device, progress)
        return restored
    memory = _Memory()
    above = pixels[:0]  # rows as they were, over those that are still to be restored
    for _, row in groupby(parts, key=lambda part: part.rows.start):
        group = list(row)
        first, window = group[0].rows, group[0].window_rows
        top = first.start - len(above)
        given = np.concatenate((above, pixels[first.start : window.stop]))
        _each(partial(fill, given=given, top=top), group, restorer, device, progress, memory)
        above = given[max(0, first.stop - margin_of(restorer) - top) : first.stop - top]
    return restored


@torch.no_grad()
def restore_tensor(
    restorer: Restorer, image: Tensor, *, tile: int | None = None, precision: str = "auto"
) -> Tensor:
    """As `restore`, of an image (1, 3, H, W) of any size in display values; not clamped."""
    height, width = image.shape[2:]
    scale = restorer.scale
    result = image.new_empty(1, image.shape[1], scale * height, scale * width)

    def whole(size: tuple[int, int]) -> Tensor:
        same = size == (height, width)
        return image if same else F.interpolate(image, size, mode="area")

    maps = _overview(restorer, whole, (height, width), precision)

    @torch.no_grad()
    def fill(part: Tile) -> int:
        window = image[..., part.window_rows, part.window_columns]
        output = _apply(restorer, window, maps(part), precision)
        (rows, columns), (top, left) = part.within(scale), part.target(scale)
        result[..., top, left] = output[..., rows, columns]
        return 0

    _each(fill, tiles(restorer, height, width, tile), restorer, image.device, lambda pixels: None)
    return result


def _overview(
    restorer: Restorer,
    whole: Callable[[tuple[int, int]], Tensor],
    size: tuple[int, int],
    precision: str,
    notify: Callable[[str], None] = lambda line: None,
) -> Callable[[Tile], tuple[Tensor, ...]]:
    """What one look at the whole picture (at a given size) tells of a tile's window, padded as
    that is; nothing for a restorer that needs no look."""
    if restorer.overview_px is None:
        return lambda part: ()
    small = whole(small_size(size, restorer.overview_px))
    with torch.no_grad(), autocast(small.device, precision):
        seen = restorer.overview(small.contiguous(memory_format=torch.channels_last)).float()
    remark = restorer.remark(small, seen)
    if remark is not None:
        notify(remark)

    def of(part: Tile) -> tuple[Tensor, ...]:
        rows, columns = part.window_rows, part.window_columns
        spans = (rows.start, rows.stop), (columns.start, columns.stop)
        return (to_multiple(sampled(seen, size, *spans), restorer.stride),)

    return of


def _apply(restorer: Restorer, window: Tensor, maps: tuple[Tensor, ...], precision: str) -> Tensor:
    padded = to_multiple(window, restorer.stride)
    with autocast(window.device, precision):
        output: Tensor = restorer(padded.contiguous(memory_format=torch.channels_last), *maps)
    return output


def _each(
    fill: Callable[[Tile], int],
    parts: list[Tile],
    restorer: Restorer,
    device: torch.device,
    progress: Callable[[int], None],
    memory: _Memory | None = None,
) -> None:
    """Fill every tile, on a CPU several side by side; `memory` is what earlier ones found."""
    fill = partial(_in_memory, fill, restorer, memory or _Memory())
    if device.type != "cpu" or len(parts) == 1:
        for part in parts:
            progress(fill(part))
        return
    with thread_pool(TILES_AT_ONCE) as pool:
        for future in [pool.submit(fill, part) for part in parts]:
            progress(future.result())


@dataclass
class _Memory:
    """How large a tile is for which there was no memory, pixels with its margin."""

    too_large: float = math.inf


def _in_memory(fill: Callable[[Tile], int], restorer: Restorer, memory: _Memory, part: Tile) -> int:
    """Fill a tile, or, where there is no memory for it, its halves."""
    halves = part.halves(restorer.stride, margin_of(restorer))
    if part.window_px < memory.too_large or not halves:
        try:
            return fill(part)
        except (MemoryError, RuntimeError) as error:
            if not halves or not out_of_memory(error):
                raise
            memory.too_large = min(memory.too_large, part.window_px)
    if torch.cuda.is_available():  # after the error, which holds on to what was computed
        torch.cuda.empty_cache()
    return sum(_in_memory(fill, restorer, memory, half) for half in halves)


def margin_of(restorer: Restorer) -> int:
    """What a tile's window has around it, in pixels: a multiple of the stride."""
    return math.ceil(restorer.reach / restorer.stride) * restorer.stride


def tiles(restorer: Restorer, height: int, width: int, tile: int | None = None) -> list[Tile]:
    """The tiles of a picture, left to right and top to bottom; margins are clipped to it."""
    margin = margin_of(restorer)
    rows, columns = tile_sides(height, width, tile, margin, restorer.stride)

    def window(part: slice, side: int) -> slice:
        return slice(max(0, part.start - margin), min(side, part.stop + margin))

    return [
        Tile(r, c, window(r, height), window(c, width))
        for r in spans(height, rows)
        for c in spans(width, columns)
    ]


def check_tile(tile: int | None, stride: int) -> None:
    """UserError for a tile that is no whole number, or smaller than the stride and not 0."""
    if tile is not None and (not isinstance(tile, int) or isinstance(tile, bool)):
        raise UserError(f"a whole number of pixels is expected, got {tile!r}", parameter="tile")
    if tile is not None and tile != 0 and tile < stride:
        raise UserError(
            f"{tile} is too small; at least {stride}, or 0 for no tiles", parameter="tile"
        )


def tile_sides(
    height: int, width: int, tile: int | None, margin: int, stride: int
) -> tuple[int, int]:
    """Rows and columns of a tile without its margin, multiples of the stride."""
    check_tile(tile, stride)
    if tile == 0:
        return height, width
    if tile is not None:
        side = tile // stride * stride
        return side, side
    rows, columns = height, width
    most = TILE_PIXELS if height * width <= LARGE_PIXELS else TILE_PIXELS // 2
    while (min(rows + 2 * margin, height)) * (min(columns + 2 * margin, width)) > most:
        if rows > columns:
            rows = _part(height, math.ceil(height / rows) + 1, stride)
        else:
            columns = _part(width, math.ceil(width / columns) + 1, stride)
        if rows == columns == stride:
            break
    return rows, columns


def _part(side: int, parts: int, stride: int) -> int:
    return max(stride, math.ceil(side / parts / stride) * stride)


def spans(side: int, step: int) -> Iterator[slice]:
    """[0, step), [step, 2 step), ... up to `side`."""
    for first in range(0, side, step):
        yield slice(first, min(first + step, side))


def _times(part: slice, scale: int) -> slice:
    return slice(scale * part.start, scale * part.stop)


def to_multiple(image: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Pad an image (B, C, H, W) to the right and below to sides that are multiples, at least so
    large: by reflection where that is enough, else by repetition."""
    height, width = image.shape[2:]
    down, right = (max(-side % multiple, least - side) for side in (height, width))
    down, right = down + -(height + down) % multiple, right + -(width + right) % multiple
    if down == right == 0:
        return image
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(image, (0, right, 0, down), mode=mode)
