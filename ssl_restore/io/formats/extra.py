"""Formats whose packages are the extra `formats`, imported when such a file is met.

HEIC by pillow-heif, JPEG XL by imagecodecs and pillow-jxl-plugin (it is only read), raw files of
cameras by rawpy, which develops them.  OpenEXR has a module of its own.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from PIL import Image

from ssl_restore.errors import UserError
from ssl_restore.io.formats import by_pillow, exif, tiff_writer
from ssl_restore.io.formats.format import ERRORS, Check, Format
from ssl_restore.io.picture import Levels, Metadata, Picture

HEIC_QUALITY = 95  # where the user does not say
_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def needed(module: str, package: str, name: str) -> Any:
    """A module of the extra; UserError that names it where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{name} takes the package {package}; install ssl-restore[formats]"
        ) from error


# --- HEIC ----------------------------------------------------------------------------------------


def _heif(data: Any) -> Any:
    heif = needed("pillow_heif", "pillow-heif", "HEIC")
    return heif.open_heif(data, convert_hdr_to_8bit=False)


def _size_of_heic(file: IO[bytes]) -> tuple[int, int]:
    size: tuple[int, int] = _heif(file).size
    return size


def _decode_heic(data: bytes, check: Check) -> Picture:
    image = _heif(data)
    check(*image.size)
    array = np.asarray(image)
    array = array if array.ndim == 3 else array[:, :, None]
    if image.mode in ("RGBa", "RGBa;16"):
        raise UserError("colours multiplied by alpha; save it first with plain alpha")
    pixels, alpha = by_pillow.split(array)
    info = image.info
    # What turns the picture is applied already: its EXIF may say so once more.
    _, block = exif.turned_upright((info.get("exif") or b"").removeprefix(b"Exif\0\0"))
    metadata = Metadata(xmp=info.get("xmp") or None)
    return Picture(pixels, alpha, info.get("icc_profile") or None, block or None, metadata)


def _encode_heic(picture: Picture, quality: int | None) -> list[bytes]:
    heif = needed("pillow_heif", "pillow-heif", "HEIC")
    array = picture.pixels
    if picture.alpha is not None or array.shape[2] == 1:  # it knows no grey with alpha
        array = np.broadcast_to(array, (*array.shape[:2], 3))
    mode = "RGB"
    if picture.alpha is not None:
        array, mode = np.concatenate((array, picture.alpha[:, :, None]), axis=2), "RGBA"
    if array.dtype == np.uint16:
        mode += ";16"
    height, width = array.shape[:2]
    image = heif.from_bytes(mode=mode, size=(width, height), data=array.tobytes())
    described = {"exif": picture.exif, "xmp": picture.metadata.xmp, "icc_profile": picture.icc}
    image.info.update({name: value for name, value in described.items() if value})
    buffer = io.BytesIO()
    image.save(buffer, quality=HEIC_QUALITY if quality is None else quality, chroma=444)
    return [buffer.getvalue()]


# --- JPEG XL -------------------------------------------------------------------------------------


def _size_of_jxl(file: IO[bytes]) -> tuple[int, int]:
    return _jxl_size(file.read())


def _decode_jxl(data: bytes, check: Check) -> Picture:
    check(*_jxl_size(data))
    codecs = needed("imagecodecs", "imagecodecs", "JPEG XL")
    plugin = needed("pillow_jxl.JpegXLImagePlugin", "pillow-jxl-plugin", "JPEG XL")
    try:
        array = codecs.jpegxl_decode(data)
        info = plugin.JXLImageFile(io.BytesIO(data)).info
    except RuntimeError as error:  # of both
        raise ValueError(str(error)) from error
    array = array if array.ndim != 2 else array[:, :, None]
    if array.ndim != 3:
        raise UserError("holds several pages or frames; save each as a file of its own")
    levels = None
    if array.dtype.kind == "f":
        levels, array = Levels(0.0, 1.0, array.dtype.name), array.astype(np.float32)
    pixels, alpha = by_pillow.split(array)
    _, block = exif.turned_upright((info.get("exif") or b"").removeprefix(b"Exif\0\0"))
    metadata = Metadata(xmp=dict(_boxes(data)).get(b"xml "))
    return Picture(pixels, alpha, info.get("icc_profile") or None, block or None, metadata, levels)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, body) of the boxes of a container, the first of each name last."""
    at, found = 0, []
    while data[:2] != b"\xff\x0a" and at + 8 <= len(data):
        length, name, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        end = len(data) if length == 0 else at + length
        if end < at + head:
            break
        found.append((name, data[at + head : end]))
        at = end
    yield from reversed(found)


def _jxl_size(data: bytes) -> tuple[int, int]:
    """(width, height) by the head of the stream, ISO/IEC 18181-1."""
    boxes = dict(_boxes(data))
    stream = data if data[:2] == b"\xff\x0a" else boxes.get(b"jxlc") or boxes.get(b"jxlp", b"")[4:]
    bits = int.from_bytes(stream[2:14], "little")
    at = 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return (bits >> (at - count)) & ((1 << count) - 1)

    def side(small: bool) -> int:
        return 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])

    if stream[:2] != b"\xff\x0a":
        raise ValueError("it holds no stream")
    small = bool(take(1))
    height = side(small)
    ratio = take(3)
    if ratio == 0:
        return side(small), height
    over, under = _JXL_RATIOS[ratio - 1]
    return height * over // under, height


# --- raw files -----------------------------------------------------------------------------------


def _size_of_raw(file: IO[bytes]) -> tuple[int, int]:
    with _raw(file) as raw:
        return raw.sizes.width, raw.sizes.height


def _raw(file: IO[bytes]) -> Any:
    rawpy = needed("rawpy", "rawpy", "a camera's raw file")
    try:
        return rawpy.imread(file)
    except rawpy.LibRawError as error:
        raise ValueError(str(error)) from error


def _decode_raw(data: bytes, check: Check) -> Picture:
    """Developed: the camera's white balance, no brightening, sRGB in 16 bits, upright."""
    rawpy = needed("rawpy", "rawpy", "a camera's raw file")
    with _raw(io.BytesIO(data)) as raw:
        check(raw.sizes.width, raw.sizes.height)
        try:
            pixels = raw.postprocess(
                use_camera_wb=True, no_auto_bright=True, output_bps=16, gamma=(2.4, 12.92),
                output_color=rawpy.ColorSpace.sRGB,
            )  # fmt: skip
        except rawpy.LibRawError as error:
            raise ValueError(str(error)) from error
    return Picture(np.asarray(pixels), None, by_pillow.srgb_profile(), _exif_of_raw(data))


def _exif_of_raw(data: bytes) -> bytes | None:
    """Of one that is a TIFF besides, as most are; upright."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return None
    found = Image.Exif()
    try:
        found.load_from_fp(io.BytesIO(data))
        return tiff_writer.described(found)
    except ERRORS:
        return None


HEIC = Format(
    "HEIC", (".heic", ".heif", ".hif"), rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)", _size_of_heic,
    _decode_heic, _encode_heic, deep=True,
)  # fmt: skip
JPEG_XL = Format(
    "JPEG XL", (".jxl",), rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", _size_of_jxl, _decode_jxl
)
RAW = Format(
    "raw",
    (".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".pef", ".srw",
     ".dcr", ".kdc", ".erf", ".3fr", ".fff", ".iiq", ".mos", ".mef", ".raf", ".orf", ".rw2",
     ".rwl", ".x3f"),
    None, _size_of_raw, _decode_raw,
)  # fmt: skip
