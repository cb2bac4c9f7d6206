"""JPEG, of 8 bits, with the segments that describe it.

A picture that came from a JPEG is quantised in half the steps of that one, and its chroma sampled
alike, unless a quality is asked for: the same steps would lose much of what was restored, while
most of those that came from the source stay among these.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

from PIL import JpegImagePlugin
from PIL.JpegImagePlugin import JpegImageFile

from ssl_restore.io.formats import by_pillow
from ssl_restore.io.formats.format import Check, Format
from ssl_restore.io.picture import Metadata, Picture

QUALITY = 95  # where neither the source nor the user says
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_MOST = 65533  # bytes of a segment
_THUMBNAILS = (1033, 1036)  # Photoshop's resources that show the picture before restoration
_IPTC = 1028


def decode(data: bytes, check: Check) -> Picture:
    image = JpegImageFile(io.BytesIO(data))
    check(*image.size)
    return by_pillow.picture_of(image, _metadata(data, image))


def _metadata(data: bytes, image: JpegImageFile) -> Metadata:
    xmp, photoshop, texts = None, b"", []
    for marker, body in _segments(data):
        if marker == 0xE1 and body.startswith(_XMP) and xmp is None:
            xmp = body[len(_XMP) :]
        elif marker == 0xED and body.startswith(_PHOTOSHOP):
            photoshop += body[len(_PHOTOSHOP) :]
        elif marker == 0xFE:
            texts.append(("Comment", by_pillow.decoded_text(body)))
    kept = without_thumbnails(photoshop)
    dpi = by_pillow.dpi_of(image.info) if image.info.get("jfif_unit") else None
    return Metadata(xmp, kept or None, dpi, tuple(texts), jpeg=_quantised(image))


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, body) of what stands before the samples."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in (0xDA, 0xD9):
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, data[at + 4 : end]
        at = max(end, at + 4)


def _quantised(image: JpegImageFile) -> tuple[tuple[tuple[int, ...], ...], int] | None:
    """The tables and the sampling that Pillow takes to write alike; None where that is unusual."""
    tables = image.quantization
    sampling = JpegImagePlugin.get_sampling(image) if image.mode == "RGB" else 0
    whole = sorted(tables) == list(range(len(tables))) and 1 <= len(tables) <= 3
    if image.mode not in ("L", "RGB") or not whole or sampling < 0:
        return None
    return tuple(tuple(int(v) for v in tables[i]) for i in range(len(tables))), sampling


def resources(photoshop: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, body, whole) of Photoshop's image resources."""
    at = 0
    while photoshop[at : at + 4] == b"8BIM" and at + 12 <= len(photoshop):
        (number,) = struct.unpack_from(">H", photoshop, at + 4)
        body = at + 6 + (photoshop[at + 6] + 2) // 2 * 2  # after a name of even length
        if body + 4 > len(photoshop):
            return
        (length,) = struct.unpack_from(">L", photoshop, body)
        end = body + 4 + (length + 1) // 2 * 2
        yield number, photoshop[body + 4 : body + 4 + length], photoshop[at:end]
        at = end


def without_thumbnails(photoshop: bytes) -> bytes:
    return b"".join(whole for number, _, whole in resources(photoshop) if number not in _THUMBNAILS)


def iptc_of(photoshop: bytes) -> bytes | None:
    """The IPTC records among the resources."""
    return next((body for number, body, _ in resources(photoshop) if number == _IPTC), None)


def with_iptc(records: bytes) -> bytes:
    """Image resources that hold IPTC records alone."""
    head = b"8BIM" + struct.pack(">HHL", _IPTC, 0, len(records))
    return head + records + bytes(len(records) % 2)


def encode(picture: Picture, quality: int | None) -> list[bytes]:
    """4:4:4 of the quality, or in half the steps of its source; ValueError where too large."""
    options: dict[str, Any] = {"quality": quality or QUALITY, "subsampling": 0}
    metadata = picture.metadata
    if quality is None and metadata.jpeg is not None:
        tables, sampling = metadata.jpeg
        halves = [[-(-step // 2) for step in table] for table in tables]
        options = {"qtables": halves, "subsampling": sampling}
    if metadata.dpi:
        options["dpi"] = tuple(min(65535, max(1, round(value))) for value in metadata.dpi)
    if picture.icc:
        options["icc_profile"] = picture.icc
    buffer = io.BytesIO()
    by_pillow.image_of(picture).save(buffer, "JPEG", **options)
    whole = buffer.getvalue()
    after = 4 + int.from_bytes(whole[4:6], "big")  # the start and APP0
    return [whole[:after], *_described(picture), whole[after:]]


def _described(picture: Picture) -> Iterator[bytes]:
    metadata = picture.metadata
    if picture.exif:
        yield _segment(0xE1, b"Exif\0\0" + picture.exif, "EXIF")
    if metadata.xmp and len(_XMP + metadata.xmp) <= _MOST:
        yield _segment(0xE1, _XMP + metadata.xmp, "XMP")
    if metadata.photoshop:
        room = _MOST - len(_PHOTOSHOP)
        for start in range(0, len(metadata.photoshop), room):
            part = metadata.photoshop[start : start + room]
            yield _segment(0xED, _PHOTOSHOP + part, "IPTC")
    for keyword, text in metadata.texts:
        if keyword == "Comment":
            yield _segment(0xFE, by_pillow.encoded_text(text)[:_MOST], "comment")


def _segment(marker: int, body: bytes, name: str) -> bytes:
    if len(body) > _MOST:
        raise ValueError(f"{name} of {len(body)} bytes")
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


JPEG = Format(
    "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), rb"\xff\xd8\xff", by_pillow.size_by(JpegImageFile),
    decode, encode, alpha=False,
)  # fmt: skip
