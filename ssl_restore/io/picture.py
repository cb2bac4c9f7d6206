"""A picture in memory, with all that its file said about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_restore.errors import UserError

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Metadata:
    """What a file says besides; a format that cannot hold a part of it is written without.

    xmp        the XMP packet
    photoshop  Photoshop's image resources, among them IPTC, without its thumbnails
    dpi        pixels an inch, (horizontal, vertical)
    texts      (keyword, text); that of a comment is Comment
    colour     (name, body) of PNG's chunks gAMA, cHRM, sRGB, cICP, mDCV and cLLI
    tags       (number, type, value) of TIFF's tags of the place on Earth
    jpeg       how a JPEG was quantised, and its chroma sampled, so that it can be written alike
    native     what only the encoder of its own format understands: channels besides, attributes
    source     name of the format that it was read from
    """

    xmp: bytes | None = None
    photoshop: bytes | None = None
    dpi: tuple[float, float] | None = None
    texts: tuple[tuple[str, str], ...] = ()
    colour: tuple[tuple[bytes, bytes], ...] = ()
    tags: tuple[tuple[int, int, Any], ...] = ()
    jpeg: tuple[tuple[tuple[int, ...], ...], int] | None = None
    native: Any = None
    source: str | None = None

    @property
    def comment(self) -> str | None:
        return next((text for keyword, text in self.texts if keyword == "Comment"), None)


@dataclass(frozen=True)
class Levels:
    """What the numbers of a file mean that has no usual range: of floating point, or signed.

        number = black + (white - black) light(display value)

    black, white  the numbers that are shown black and white; what lies beyond is kept
    kind          NumPy's name of their type in the file
    linear        whether they are light, and light() undoes the sRGB curve; else it is the identity
    """

    black: float
    white: float
    kind: str
    linear: bool = False

    def shown(self, numbers: Pixels) -> Pixels:
        """Display values, float32, in proportion beyond [0, 1]."""
        values = (numbers.astype(np.float64) - self.black) / (self.white - self.black)
        return (_encoded(values) if self.linear else values).astype(np.float32)

    def stored(self, pixels: Pixels) -> Pixels:
        """The numbers of display values: the inverse of `shown`."""
        values = pixels.astype(np.float64)
        values = self.black + (self.white - self.black) * (
            _decoded(values) if self.linear else values
        )
        kind = np.dtype(self.kind)
        if np.issubdtype(kind, np.integer):
            info = np.iinfo(kind)
            values = np.rint(values).clip(info.min, info.max)
        return values.astype(kind)


def _encoded(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sRGB curve (IEC 61966-2-1), odd about 0 and continued beyond 1."""
    size = np.abs(light)
    curve = 1.055 * np.maximum(size, 0.0031308) ** (1 / 2.4) - 0.055
    return np.copysign(np.where(size <= 0.0031308, 12.92 * size, curve), light)


def _decoded(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `_encoded`."""
    size = np.abs(value)
    curve = ((np.maximum(size, 0.04045) + 0.055) / 1.055) ** 2.4
    return np.copysign(np.where(size <= 0.04045, size / 12.92, curve), value)


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright picture: display values, with all that its file said about them.

    pixels    (H, W, C) uint8 or uint16, C = 1 (grey) or 3 (RGB); float32 where there are levels,
              nominally in [0, 1]: what lies beyond, and NaN, are kept by `restored`
    alpha     (H, W) of the same type, or None; colours are not multiplied by it
    icc       the ICC profile, or None
    exif      the EXIF block from its byte-order mark on, orientation 1, no thumbnail; or None
    metadata  all else that the file said
    levels    what the numbers of the file mean, where they are not 0 to 255 or 65535
    """

    pixels: Pixels
    alpha: Pixels | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    metadata: Metadata = Metadata()
    levels: Levels | None = None

    def __post_init__(self) -> None:
        shape, kind, alpha = self.pixels.shape, self.pixels.dtype, self.alpha
        if len(shape) != 3 or shape[2] not in (1, 3) or not self.pixels.size:
            raise ValueError(f"pixels must be (H, W, 1) or (H, W, 3) and not empty, got {shape}")
        kinds = (np.uint8, np.uint16) if self.levels is None else (np.float32,)
        if kind not in kinds:
            named = " or ".join(one.__name__ for one in kinds)
            raise ValueError(f"pixels must be {named}, got {kind}")
        if alpha is not None and (alpha.shape, alpha.dtype) != (shape[:2], kind):
            raise ValueError(f"alpha must be {kind} {shape[:2]}, got {alpha.dtype} {alpha.shape}")

    def restored(self, pixels: Pixels) -> Picture:
        """With other pixels; where they are more, the alpha is enlarged between them, and what
        belongs to the old size is left out.

        Floating point gets back what a restorer does not see: values beyond black and white, NaN.
        What it makes of the others is nowhere darker than black, as no light is; brighter than
        white it may be.
        """
        alpha, metadata = self.alpha, self.metadata
        beyond = None if self.levels is None else self.pixels - within_range(self.pixels)
        if pixels.shape[:2] != self.pixels.shape[:2]:
            metadata = replace(metadata, tags=(), native=None)
            size = pixels.shape[1], pixels.shape[0]
            if alpha is not None:
                alpha = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR))
            if beyond is not None:
                large = cv2.resize(beyond, size, interpolation=cv2.INTER_NEAREST)
                beyond = np.asarray(large).reshape(pixels.shape)
        if beyond is not None:
            pixels = (np.maximum(pixels, 0) + beyond).astype(np.float32)
        return replace(self, pixels=pixels, alpha=alpha, metadata=metadata)


def peak(kind: Any) -> float:
    """The value of white of a type of pixels."""
    return float(np.iinfo(kind).max) if np.issubdtype(kind, np.integer) else 1.0


def within_range(pixels: Pixels) -> Pixels:
    """Floating-point display values in [0, 1], NaN as 0; whole numbers as they are."""
    if np.issubdtype(pixels.dtype, np.integer):
        return pixels
    return np.nan_to_num(pixels, nan=0.0).clip(0, 1)


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
    """uint8 as it is; uint16 and floating point rounded to the nearest of 256 levels."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.rint(255 * within_range(pixels)).astype(np.uint8)


def to_whole_numbers(pixels: Pixels) -> Pixels:
    """uint8 and uint16 as they are; floating point as uint16."""
    if np.issubdtype(pixels.dtype, np.integer):
        return pixels
    return np.rint(65535 * within_range(pixels)).astype(np.uint16)


def eight_bit_rgb(pixels: Pixels) -> Pixels:
    """(H, W, 1 or 3) of any type -> (H, W, 3) uint8, a copy."""
    return np.array(np.broadcast_to(to_eight_bits(pixels), (*pixels.shape[:2], 3)))
