"""A picture in memory, with all that its file said about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_restore.errors import UserError

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

    def restored(self, pixels: Pixels) -> Picture:
        """With other pixels; where they are more, the alpha is enlarged between them."""
        alpha = self.alpha
        if alpha is not None and alpha.shape != pixels.shape[:2]:
            size = pixels.shape[1], pixels.shape[0]
            alpha = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR))
        return replace(self, pixels=pixels, alpha=alpha)


def as_picture(image: Any) -> Picture:
    """A Picture of what holds one: a Picture, an array of 8 or 16 bits, a Pillow image.

    UserError for another kind, type or shape.
    """
    from PIL import Image  # noqa: PLC0415

    if isinstance(image, Picture):
        return image
    if isinstance(image, Image.Image):
        if image.mode not in ("L", "LA", "RGB", "RGBA"):
            raise UserError(
                f"a Pillow image of mode L, LA, RGB or RGBA is expected, got {image.mode}; "
                'convert it first: image.convert("RGB")',
                parameter="image",
            )
        array = np.asarray(image)
        whole = array[:, :, None] if array.ndim == 2 else array
        colours = 1 if image.mode in ("L", "LA") else 3
        alpha = whole[:, :, colours] if whole.shape[2] > colours else None
        return Picture(whole[:, :, :colours], alpha, image.info.get("icc_profile"))
    if not isinstance(image, np.ndarray):
        raise UserError(
            f"a Picture, an array or a Pillow image is expected, got {type(image).__name__}",
            parameter="image",
        )
    whole = image[:, :, None] if image.ndim == 2 else image
    if image.dtype not in (np.uint8, np.uint16):
        raise UserError(
            f"an array of uint8 or uint16 is expected, got {image.dtype}; round it first, as "
            "(255 * values).round().clip(0, 255).astype('uint8')",
            parameter="image",
        )
    if whole.ndim != 3 or whole.shape[2] not in (1, 3) or not whole.size:
        raise UserError(
            f"an array (H, W), (H, W, 1) or (H, W, 3) is expected, got {image.shape}",
            parameter="image",
        )
    return Picture(whole)


def to_eight_bits(pixels: Pixels) -> Pixels:
    """uint8 as it is; uint16 rounded to the nearest of 256 levels."""
    if pixels.dtype != np.uint16:
        return pixels
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def eight_bit_rgb(pixels: Pixels) -> Pixels:
    """(H, W, 1 or 3) of 8 or 16 bits -> (H, W, 3) uint8, a copy."""
    return np.array(np.broadcast_to(to_eight_bits(pixels), (*pixels.shape[:2], 3)))
