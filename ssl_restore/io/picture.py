"""A picture in memory, with all that its file said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright picture: display values, with all that its file said about them.

    pixels  (H, W, C) uint8 or uint16, C = 1 (grey) or 3 (RGB)
    alpha   (H, W) of the same type, or None; colours are not multiplied by it
    icc     the ICC profile, or None
    exif    the EXIF block from its byte-order mark on, orientation 1, no thumbnail; or None
    """

    pixels: Pixels
    alpha: Pixels | None = None
    icc: bytes | None = None
    exif: bytes | None = None

    def __post_init__(self) -> None:
        shape, kind, alpha = self.pixels.shape, self.pixels.dtype, self.alpha
        if len(shape) != 3 or shape[2] not in (1, 3) or not self.pixels.size:
            raise ValueError(f"pixels must be (H, W, 1) or (H, W, 3) and not empty, got {shape}")
        if kind not in (np.uint8, np.uint16):
            raise ValueError(f"pixels must be uint8 or uint16, got {kind}")
        if alpha is not None and (alpha.shape, alpha.dtype) != (shape[:2], kind):
            raise ValueError(f"alpha must be {kind} {shape[:2]}, got {alpha.dtype} {alpha.shape}")


def to_eight_bits(pixels: Pixels) -> Pixels:
    """uint8 as it is; uint16 rounded to the nearest of 256 levels."""
    if pixels.dtype != np.uint16:
        return pixels
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
