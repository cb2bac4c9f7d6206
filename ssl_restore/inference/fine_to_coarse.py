"""A restorer on what is larger than it knows: after the picture, on smaller sizes of the result.

    I0 = restored I,    I <- I - up(down(I) - restored down(I))    at 1/2, 1/4, ... 1/N

down averages, up is bilinear: what is finer stays as it is. A drop near the camera is tens of
pixels wide; at a half or a quarter of the size it is what the restorer has learned. Fine rain goes
first: averaged, it would be taken in part, and what is left of it hardly be known for rain. At
smaller sizes a restorer may be less thorough (`careful`), because there leaves and twigs are as
small as drops. At 1/2 this costs a quarter of the time more, at all smaller sizes together a third.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_restore.errors import UserError
from ssl_restore.inference import tiles
from ssl_restore.inference.mixture import suited
from ssl_restore.inference.tiles import restore, restore_tensor
from ssl_restore.io.picture import Pixels, peak
from ssl_restore.networks.gate import places
from ssl_restore.restorer import Restorer

LEAST_PX = 16  # smaller sizes than this are left out
LARGEST_SCALE = 16
BAND_VALUES = 4_000_000  # that are enlarged at a time


def scale_of(restorer: Restorer, size: tuple[int, int], scale: int | None) -> int:
    """The given N, or for None the one that fits the size: 1 for a restorer that asks for none
    (`coarse_from`); else 2, 4 where the longest side is `coarse_from` or more, 8 from twice that,
    while no side is below LEAST_PX.

    UserError for an N that is not from 1 to 16.
    """
    if scale is not None:
        if not (isinstance(scale, int) and 1 <= scale <= LARGEST_SCALE):
            raise UserError(
                f"a whole number from 1 to {LARGEST_SCALE} is expected, got {scale!r}",
                parameter="scale",
            )
        if scale > 1 and restorer.scale > 1:
            raise UserError("this restorer enlarges; leave it out", parameter="scale")
        return scale
    if restorer.coarse_from is None:
        return 1
    fitting = 2
    while fitting < LARGEST_SCALE and fitting * restorer.coarse_from <= 2 * max(size):
        if round(min(size) / (2 * fitting)) < LEAST_PX:
            break
        fitting *= 2
    return fitting


def restore_pixels(
    restorer: Restorer,
    pixels: Pixels,
    *,
    scale: int | None = 1,
    tile: int | None = None,
    precision: str = "auto",
    in_place: bool = False,
    progress: Callable[[int], None] = lambda pixels: None,
    notify: Callable[[str], None] = lambda line: None,
) -> Pixels:
    """`tiles.restore`, at smaller sizes too."""
    height, width = pixels.shape[:2]
    restorer = suited(restorer, pixels)
    result = restore(
        restorer, pixels, tile=tile, precision=precision, in_place=in_place, progress=progress,
        notify=notify,
    )  # fmt: skip
    sizes = _sizes((height, width), scale_of(restorer, (height, width), scale))
    coarse = restorer.at_smaller_sizes() if sizes else restorer
    if tile is None and height * width > tiles.LARGE_PIXELS:  # which is in memory beside them
        margin = tiles.margin_of(coarse)
        tile = min(tiles.tile_sides(height, width, None, margin, coarse.stride))
    for small in sizes:
        down = cv2.resize(result, small[::-1], interpolation=cv2.INTER_AREA)
        down = down.reshape(*small, pixels.shape[2])
        restored = restore(suited(coarse, down), down, tile=tile, precision=precision)
        _take(result, down, restored, restorer.white)
    return result


def _take(result: Pixels, down: Pixels, restored: Pixels, white: float) -> None:
    """result - up(down - restored), in place, in bands of rows: bilinear as OpenCV enlarges.

    Whole numbers do not go beyond white, a share of the largest; what is beyond gets no brighter.
    """
    height, width, channels = result.shape
    rows = down.shape[0]
    places = (np.arange(height) + 0.5) * (rows / height) - 0.5
    above = np.floor(places).astype(int)
    share = (places - above).astype(np.float32)[:, None, None]
    first, second = above.clip(0, rows - 1), (above + 1).clip(0, rows - 1)
    step = max(1, BAND_VALUES // (width * channels))
    for top in range(0, height, step):
        band = slice(top, min(top + step, height))
        low, high = first[band][0], second[band][-1] + 1
        taken = down[low:high].astype(np.float32) - restored[low:high]
        wide = cv2.resize(taken, (width, high - low)).reshape(high - low, width, channels)
        upper, lower = wide[first[band] - low], wide[second[band] - low]
        left = result[band] - (upper * (1 - share[band]) + lower * share[band])
        if np.issubdtype(result.dtype, np.integer):
            most = np.maximum(result[band], round(white * peak(result.dtype)))
            left = np.clip(np.rint(left), 0, most)
        result[band] = left.astype(result.dtype)


def restore_values(
    restorer: Restorer,
    image: Tensor,
    *,
    scale: int | None = 1,
    tile: int | None = None,
    precision: str = "auto",
) -> Tensor:
    """`tiles.restore_tensor`, (1, 3, H, W) display values, at smaller sizes too."""
    size = int(image.shape[-2]), int(image.shape[-1])
    restorer = _suited(restorer, image)
    result = restore_tensor(restorer, image, tile=tile, precision=precision).to(image)
    sizes = _sizes(size, scale_of(restorer, size, scale))
    coarse = restorer.at_smaller_sizes() if sizes else restorer
    for small in sizes:
        down = F.interpolate(result, small, mode="area")
        own = _suited(coarse, down)
        taken = down - restore_tensor(own, down, tile=tile, precision=precision).to(down)
        result = result - F.interpolate(taken, size, mode="bilinear")
    return result


def _suited(restorer: Restorer, image: Tensor) -> Restorer:
    if not restorer.chooses:
        return restorer
    found = places(image.shape[-2], image.shape[-1], restorer.looks_at)
    windows = [image[..., rows, columns] for rows, columns in found]
    return restorer.suited(torch.cat(windows).clamp(0, 1))


def _sizes(size: tuple[int, int], scale: int) -> list[tuple[int, int]]:
    """At 1/N and each double of it below 1, the largest first; tiny ones are left out."""
    found = []
    while scale > 1:
        small = round(size[0] / scale), round(size[1] / scale)
        if min(small) >= LEAST_PX:
            found.append(small)
        scale //= 2
    return found[::-1]
