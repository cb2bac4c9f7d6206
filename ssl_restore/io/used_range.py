"""The range of values that a picture of 16 bits uses: 10 or 12 bits of many cameras and scanners.

A file of 16 bits whose values end at 1023 is restored as if 1023 were white. Single pixels beyond,
as hot ones, say nothing: the range is told after a median of 3 x 3, and but for a share of 1e-4.
"""

from __future__ import annotations

import cv2
import numpy as np

from ssl_restore.io.picture import Pixels

LEAST_BITS = 8  # a darker picture is taken for one of 8 bits
BEYOND = 1e-4  # share of the pixels that may lie beyond the range
_STEP = 4  # of the pixels at which a first look is taken


def used_white(pixels: Pixels) -> int:
    """The largest value of the bits that the picture uses: 255, 511, ... 65535.

    Args:
        pixels: (H, W, C) uint8 or uint16; of uint8 it is 255 always.

    Returns:
        2^k - 1 for the least k from 8 on that leaves hardly a pixel beyond.

    Example:
        >>> ramp = np.arange(1024, dtype=np.uint16).repeat(4).reshape(64, 64, 1)
        >>> used_white(ramp), used_white(64 * ramp)
        (1023, 65535)
    """
    most = int(np.iinfo(pixels.dtype).max)
    if most == 255 or (pixels[::_STEP, ::_STEP] > most // 2).mean() > 100 * BEYOND:
        return most
    planes = [cv2.medianBlur(np.ascontiguousarray(plane), 3) for plane in np.moveaxis(pixels, 2, 0)]
    counts = sum(np.bincount(plane.ravel(), minlength=most + 1) for plane in planes)
    beyond = pixels.size - np.cumsum(counts)
    for bits in range(LEAST_BITS, 16):
        if beyond[2**bits - 1] <= BEYOND * pixels.size:
            return 2**bits - 1
    return most


def used_share(pixels: Pixels) -> float:
    """The same as a share of the largest value of the type; 1 for floating point.

    Example:
        >>> used_share(np.zeros((8, 8, 1), np.uint8)), used_share(np.zeros((8, 8, 1)))
        (1.0, 1.0)
    """
    if not np.issubdtype(pixels.dtype, np.integer):
        return 1.0
    return used_white(pixels) / int(np.iinfo(pixels.dtype).max)
