"""Masks: pictures that are white where a pixel is lost, or where a shadow or a drop lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_restore.errors import UserError
from ssl_restore.io import MAX_PIXELS, images
from ssl_restore.io.picture import peak

WHITE = 0.1  # from this grey on: soft edges of a brush lie over pixels that are lost in part


def read_mask(
    path: str | Path, size: tuple[int, int], *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.bool_]:
    """(H, W), True where the mask is white.

    Args:
        path: A picture, white in places. Dark grey counts as white, as the soft edge of
            a brush or a letter does, and what is transparent as black.
        size: (height, width) of the picture that it belongs to.
        max_pixels: Larger masks are refused.

    Raises:
        UserError: For a mask of another size, one without a white pixel, and one without a black
            one; it names the file.
    """
    picture = images.read(path, max_pixels=max_pixels)
    height, width = picture.pixels.shape[:2]
    if (height, width) != size:
        raise UserError(
            f"{path}: the mask has {width} x {height} pixels, but the picture "
            f"{size[1]} x {size[0]}; give one of the same size"
        )
    most = peak(picture.pixels.dtype)
    white: NDArray[Any] = picture.pixels.mean(axis=2) / most
    if picture.alpha is not None:
        white = white * (picture.alpha / most)
    marked = white >= WHITE
    if not marked.any():
        raise UserError(f"{path}: nothing is white in it; paint white what is to be changed")
    if marked.all():
        raise UserError(f"{path}: all of it is white; leave black what is to stay")
    return marked
