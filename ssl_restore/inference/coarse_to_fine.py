"""A restorer on what is larger than it knows: at smaller sizes of the picture first.

    I <- I - up(down(I) - restored down(I))    at 1/N, 2/N, ... 1/2,    then    restored I

down averages, up is bilinear: what is finer stays as it is. In a photograph of 12 megapixels a
drop near the camera is tens of pixels wide; at a quarter of the size it is what the restorer has
learned. At 1/2 it costs a quarter of the time more, at all smaller sizes together a third.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from torch import Tensor
from torch.nn import functional as F

from ssl_restore.errors import UserError
from ssl_restore.inference.tiles import restore, restore_tensor
from ssl_restore.io.picture import Pixels
from ssl_restore.restorer import Restorer

LEAST_PX = 16  # smaller sizes than this are left out
LARGEST_SCALE = 16


def scale_of(restorer: Restorer, size: tuple[int, int], scale: int | None) -> int:
    """The given N, or for None the one that fits the size: 1 where the longest side is below what
    the restorer asks for (`coarse_from`), then 2 from there, 4 from twice of that, and so on.

    UserError for an N that is not from 1 to 16.
    """
    if scale is not None:
        if not (isinstance(scale, int) and 1 <= scale <= LARGEST_SCALE):
            raise UserError(
                f"a whole number from 1 to {LARGEST_SCALE} is expected, got {scale!r}",
                parameter="scale",
            )
        return scale
    fitting = 1
    if restorer.coarse_from is not None:
        while fitting < LARGEST_SCALE and fitting * restorer.coarse_from <= max(size):
            fitting *= 2
    return fitting


def restore_pixels(
    restorer: Restorer,
    pixels: Pixels,
    *,
    scale: int | None = 1,
    tile: int | None = None,
    precision: str = "auto",
    progress: Callable[[int], None] = lambda pixels: None,
) -> Pixels:
    """`tiles.restore`, at smaller sizes first."""
    height, width = pixels.shape[:2]
    for small in _sizes((height, width), scale_of(restorer, (height, width), scale)):
        down = cv2.resize(pixels, small[::-1], interpolation=cv2.INTER_AREA)
        down = down.reshape(*small, pixels.shape[2])
        restored = restore(restorer, down, tile=tile, precision=precision)
        taken = cv2.resize(down.astype(np.float32) - restored, (width, height))
        left = pixels - taken.reshape(pixels.shape)
        pixels = np.clip(np.rint(left), 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    return restore(restorer, pixels, tile=tile, precision=precision, progress=progress)


def restore_values(
    restorer: Restorer,
    image: Tensor,
    *,
    scale: int | None = 1,
    tile: int | None = None,
    precision: str = "auto",
) -> Tensor:
    """`tiles.restore_tensor`, (1, 3, H, W) display values, at smaller sizes first."""
    size = int(image.shape[-2]), int(image.shape[-1])
    for small in _sizes(size, scale_of(restorer, size, scale)):
        down = F.interpolate(image, small, mode="area")
        taken = down - restore_tensor(restorer, down, tile=tile, precision=precision).to(down)
        image = image - F.interpolate(taken, size, mode="bilinear")
    return restore_tensor(restorer, image, tile=tile, precision=precision)


def _sizes(size: tuple[int, int], scale: int) -> list[tuple[int, int]]:
    """At 1/N and each double of it below 1."""
    found = []
    while scale > 1:
        small = round(size[0] / scale), round(size[1] / scale)
        if min(small) >= LEAST_PX:
            found.append(small)
        scale //= 2
    return found
