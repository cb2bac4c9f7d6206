"""Formats that Pillow reads, and in part writes, with little besides: WebP, AVIF, BMP, and those
that are only read: GIF, JPEG 2000, PNM, TGA, QOI."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from PIL import features
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.QoiImagePlugin import QoiImageFile
from PIL.TgaImagePlugin import TgaImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ssl_restore.errors import UserError
from ssl_restore.io.formats import by_opencv, by_pillow
from ssl_restore.io.formats.by_pillow import Opener
from ssl_restore.io.formats.format import Check, Decode, Encode, Format
from ssl_restore.io.picture import Picture, Pixels

AVIF_QUALITY = 95  # where the user does not say


def _decode_by(opener: Opener) -> Decode:
    def decode(data: bytes, check: Check) -> Picture:
        return by_pillow.picture_of(by_pillow.opened(opener, data, check))

    return decode


def _encode_by(name: str, options: Callable[[Picture, int | None], dict[str, Any]]) -> Encode:
    def encode(picture: Picture, quality: int | None) -> list[bytes]:
        buffer = io.BytesIO()
        by_pillow.image_of(picture).save(buffer, name, **options(picture, quality))
        return [buffer.getvalue()]

    return encode


def _described(picture: Picture) -> dict[str, Any]:
    """Profile, EXIF and XMP, as Pillow takes them."""
    given = {
        "icc_profile": picture.icc,
        "exif": picture.exif and b"Exif\0\0" + picture.exif,
        "xmp": picture.metadata.xmp,
    }
    return {name: value for name, value in given.items() if value}


def _webp(picture: Picture, quality: int | None) -> dict[str, Any]:
    """Without loss; exact keeps colours under alpha 0.  It knows no grey, so no grey profile."""
    given = _described(picture)
    if picture.icc and picture.icc[16:20] == b"GRAY":
        del given["icc_profile"]
    return {"lossless": True, "exact": True, **given}


def _avif(picture: Picture, quality: int | None) -> dict[str, Any]:
    grey = picture.pixels.shape[2] == 1 and picture.alpha is None
    sampling = {} if grey else {"subsampling": "4:4:4"}
    return {"quality": AVIF_QUALITY if quality is None else quality, **sampling,
            **_described(picture)}  # fmt: skip


def _bmp(picture: Picture, quality: int | None) -> dict[str, Any]:
    return {"dpi": picture.metadata.dpi} if picture.metadata.dpi else {}


def _open_avif(file: Any) -> Any:
    from PIL.AvifImagePlugin import AvifImageFile  # noqa: PLC0415  (Pillow 11.3)

    return AvifImageFile(file)


def _decode_avif(data: bytes, check: Check) -> Picture:
    """Of 8 bits by Pillow; of 10 and 12, which it would cut to 8, by OpenCV."""
    if not features.check("avif"):
        raise UserError("this Pillow reads no AVIF; install Pillow 11.3 or newer")
    image = by_pillow.opened(_open_avif, data, check)
    found = by_pillow.picture_of(image)
    bits = _bits_of_avif(data)
    if bits == 8:
        return found
    try:
        array = by_opencv.decoded(data, "u2", image.size)
    except (ValueError, cv2.error) as error:
        raise UserError(
            f"an AVIF of {bits} bits, which this OpenCV does not read; save it as PNG"
        ) from error
    pixels, alpha = by_pillow.split(_stretched(array, 2**bits - 1))
    return replace(found, pixels=pixels, alpha=alpha)


def _bits_of_avif(data: bytes) -> int:
    """8, 10 or 12, by the first configuration of an AV1 decoder."""
    at = data.find(b"av1C")
    flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _decode_jpeg_2000(data: bytes, check: Check) -> Picture:
    """Of 8 bits by Pillow; of more by OpenCV."""
    image = by_pillow.opened(Jpeg2KImageFile, data, check)
    at = data.find(b"\xff\x51")  # SIZ
    bits = (data[at + 40] & 0x7F) + 1 if 0 <= at < len(data) - 40 else 8
    if bits <= 8:
        return by_pillow.picture_of(image)
    array = by_opencv.decoded(data, "u2", image.size)
    pixels, alpha = by_pillow.split(_stretched(array, 2**bits - 1))
    return Picture(pixels, alpha, image.info.get("icc_profile") or None)


def _decode_pnm(data: bytes, check: Check) -> Picture:
    """Of more than 8 bits here, as Pillow would cut them."""
    head = re.match(rb"P([56])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d{1,9})" + rb"\s", data)
    if head is None or int(head[4]) <= 255:
        return by_pillow.picture_of(by_pillow.opened(PpmImageFile, data, check))
    width, height, most, channels = int(head[2]), int(head[3]), int(head[4]), 2 * int(head[1]) - 9
    check(width, height)
    if most > 65535:
        raise ValueError(f"values up to {most}")
    samples = np.frombuffer(data, ">u2", width * height * channels, head.end())
    return Picture(_stretched(samples.reshape(height, width, channels).astype(np.uint16), most))


def _stretched(array: Pixels, most: int) -> Pixels:
    """Values up to `most` -> up to 65535."""
    if most == 65535:
        return array
    values = array.astype(np.uint32).clip(0, most)
    return ((values * 65535 + most // 2) // most).astype(np.uint16)


def _format(
    name: str, suffixes: tuple[str, ...], signature: bytes | None, opener: Opener, **others: Any
) -> Format:
    given = {"decode": _decode_by(opener), **others}
    return Format(name, suffixes, signature, by_pillow.size_by(opener), **given)


WEBP = _format(
    "WebP", (".webp",), rb"RIFF....WEBP", WebPImageFile, encode=_encode_by("WEBP", _webp)
)
AVIF = _format(
    "AVIF", (".avif",), rb"....ftyp(avif|avis|(mif1|miaf).{4}(.{4}){0,12}?avif)", _open_avif,
    decode=_decode_avif, encode=_encode_by("AVIF", _avif),
)  # fmt: skip
BMP = _format(
    "BMP", (".bmp", ".dib"), rb"BM", BmpImageFile, encode=_encode_by("BMP", _bmp), alpha=False
)
GIF = _format("GIF", (".gif",), rb"GIF8[79]a", GifImageFile)
JPEG_2000 = _format(
    "JPEG 2000", (".jp2", ".j2k", ".jpf", ".jpx", ".jpc"),
    rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", Jpeg2KImageFile, decode=_decode_jpeg_2000,
)  # fmt: skip
PNM = _format(
    "PNM", (".ppm", ".pgm", ".pbm", ".pnm"), rb"P[1-6]\s", PpmImageFile, decode=_decode_pnm
)
QOI = _format("QOI", (".qoi",), rb"qoif", QoiImageFile)
TGA = _format("TGA", (".tga",), None, TgaImageFile)
