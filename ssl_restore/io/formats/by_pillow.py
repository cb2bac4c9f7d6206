"""What Pillow decodes, as the parts of a Picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

from ssl_restore.errors import UserError
from ssl_restore.io.formats.format import Check
from ssl_restore.io.picture import Metadata, Picture, Pixels

# What Pillow decoded -> what is kept; a key colour is turned into alpha apart.
_MODES = {"1": "L", "L": "L", "LA": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA"}
_MODES |= {"YCbCr": "RGB", "RGBX": "RGB", "CMYK": "RGB", "LAB": "RGB"}
COLOUR_SPACES = ("CMYK", "LAB")  # that are turned into sRGB
Opener = Callable[[IO[bytes]], ImageFile.ImageFile]


def size_by(opener: Opener) -> Callable[[IO[bytes]], tuple[int, int]]:
    """What reads the size of a picture from an open file."""

    def size(file: IO[bytes]) -> tuple[int, int]:
        return opener(file).size

    return size


def opened(opener: Opener, data: bytes, check: Check) -> ImageFile.ImageFile:
    """The image of a file of one frame, its size checked, its pixels not yet decoded."""
    image = opener(io.BytesIO(data))
    check(*image.size)
    if getattr(image, "n_frames", 1) > 1:
        raise UserError("holds several pages or frames; save each as a file of its own")
    return image


def decoded(image: ImageFile.ImageFile) -> Pixels:
    """(H, W, 1 to 4) uint8: grey, grey and alpha, RGB or RGBA."""
    mode = _MODES.get(image.mode)
    if mode is None:
        raise UserError(f"{image.mode!r} samples; save it as 8 or 16 bit grey or RGB first")
    if image.mode == "P" and "transparency" in image.info:
        mode = "RGBA"
    image.load()
    if image.mode in COLOUR_SPACES:
        array = np.asarray(to_srgb(image))
    else:
        array = np.asarray(image if image.mode == mode else image.convert(mode))
    return array if array.ndim == 3 else array[:, :, None]


def to_srgb(image: Image.Image) -> Image.Image:
    """A CMYK picture through its own profile, or a Lab one, in sRGB; CMYK without a profile by
    subtraction."""
    from PIL import ImageCms  # noqa: PLC0415

    profile: Any = image.info.get("icc_profile")
    try:
        if image.mode == "LAB":
            given: Any = ImageCms.createProfile("LAB")
        elif profile:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        else:
            return image.convert("RGB")
        result = ImageCms.profileToProfile(
            image, given, ImageCms.createProfile("sRGB"), outputMode="RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )  # fmt: skip
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")  # a profile that nothing can read
    assert result is not None
    return result


def srgb_profile() -> bytes:
    """The ICC profile of sRGB."""
    from PIL import ImageCms  # noqa: PLC0415

    profile: bytes = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile


def split(array: Pixels, key: Any = None) -> tuple[Pixels, Pixels | None]:
    """Colour and alpha of (H, W, 1 to 4); a key colour is where nothing is seen."""
    if array.shape[2] in (2, 4):
        return array[:, :, :-1], array[:, :, -1]
    if key is None:
        return array, None
    seen = (array != key).any(axis=2)
    return array, seen * np.array(np.iinfo(array.dtype).max, array.dtype)


def picture_of(image: ImageFile.ImageFile, metadata: Metadata | None = None) -> Picture:
    """The picture of an image of 8 bits, with what Pillow tells of all formats alike."""
    key = image.info.get("transparency") if image.mode in ("1", "L", "RGB") else None
    pixels, alpha = split(decoded(image), key)
    info = image.info
    if metadata is None:
        comment = info.get("comment")
        text = decoded_text(comment) if isinstance(comment, bytes) else comment
        texts = (("Comment", text),) if text else ()
        metadata = Metadata(xmp=info.get("xmp") or None, dpi=dpi_of(info), texts=texts)
    icc = None if image.mode in COLOUR_SPACES else info.get("icc_profile")
    return Picture(pixels, alpha, icc or None, info.get("exif") or None, metadata)


def dpi_of(info: dict[Any, Any]) -> tuple[float, float] | None:
    """Of Pillow's `info`, where it is a sensible one."""
    try:
        across, down = (float(value) for value in info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 0 < across < 1e6 and 0 < down < 1e6 else None


def decoded_text(text: bytes) -> str:
    """UTF-8; what is not comes back as it was from `encoded_text`."""
    return text.decode("utf-8", "surrogateescape")


def encoded_text(text: str) -> bytes:
    """The inverse of `decoded_text`."""
    return text.encode("utf-8", "surrogateescape")


def image_of(picture: Picture) -> Image.Image:
    """A Pillow image of a picture of 8 bits."""
    array = picture.pixels
    if picture.alpha is not None:
        array = np.concatenate((array, picture.alpha[:, :, None]), axis=2)
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
