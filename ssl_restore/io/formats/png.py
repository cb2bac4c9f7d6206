"""PNG, of 8 and 16 bits, with all that its chunks say.

It is written here, in bands: neither Pillow nor OpenCV writes 16-bit grey with alpha, 16-bit colour
with its profile, or a large picture without a second copy of it.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile

from ssl_restore.io.formats import by_opencv, by_pillow, png_bands
from ssl_restore.io.formats.bands import LARGE_PIXELS, LEVEL, bands
from ssl_restore.io.formats.format import Check, Format
from ssl_restore.io.picture import Metadata, Picture, Pixels

_XMP = "XML:com.adobe.xmp"
_PHOTOSHOP = "Raw profile type iptc"  # as ImageMagick and ExifTool write it
_COLOUR = (b"cICP", b"mDCV", b"cLLI", b"sRGB", b"gAMA", b"cHRM")
_INCHES_PER_M = 1 / 0.0254
_TEXT_LIMIT = 16 << 20  # bytes of an unpacked text; longer ones are left out


def decode(data: bytes, check: Check) -> Picture:
    image = by_pillow.opened(PngImageFile, data, check)
    chunks = list(_chunks(data))
    large = image.size[0] * image.size[1] > LARGE_PIXELS
    array = png_bands.decoded(data, _samples) if large and png_bands.is_banded(data) else None
    array = _samples(data, image) if array is None else array
    key = image.info.get("transparency") if image.mode in ("1", "L", "I;16", "I", "RGB") else None
    if isinstance(key, int):  # Pillow leaves the key of a 2 or 4 bit grey unscaled
        key *= {2: 85, 4: 17}.get(data[24], 1)
    pixels, alpha = by_pillow.split(array, key)
    exif = next((body for name, body in chunks if name == b"eXIf"), None)
    icc = image.info.get("icc_profile")
    return Picture(pixels, alpha, icc or None, exif or image.info.get("exif"), _metadata(chunks))


def _samples(data: bytes, image: ImageFile | None = None) -> Pixels:
    """(H, W, 1 to 4) of a whole PNG."""
    image = PngImageFile(io.BytesIO(data)) if image is None else image
    if data[24] == 16:
        return _sixteen_bits(data, image.size, grey=data[25] in (0, 4))
    return by_pillow.decoded(image)


def _sixteen_bits(data: bytes, size: tuple[int, int], *, grey: bool) -> Pixels:
    array = by_opencv.decoded(data, "u2", size)
    if grey:  # with alpha: OpenCV repeats the grey
        return array[:, :, 2:] if array.shape[2] == 4 else array[:, :, :1]
    return array


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every chunk but IDAT.  Checks the CRC of all: decoders skip that of IDAT."""
    view, at, name = memoryview(data), 8, b""
    while name != b"IEND":
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise ValueError("it ends before its IEND chunk")
        name = data[at + 4 : at + 8]
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise ValueError(f"wrong checksum of chunk {name!r}")
        if name != b"IDAT":
            yield name, data[at + 8 : end - 4]
        at = end


def _metadata(chunks: list[tuple[bytes, bytes]]) -> Metadata:
    read = (_text(name, body) for name, body in chunks if name in (b"tEXt", b"zTXt", b"iTXt"))
    texts = [pair for pair in read if pair is not None]
    xmp = next((text.encode() for keyword, text in texts if keyword == _XMP), None)
    profile = next((text for keyword, text in texts if keyword == _PHOTOSHOP), None)
    photoshop = _from_hexadecimal(profile) if profile else None
    taken = {_XMP} | ({_PHOTOSHOP} if photoshop else set())
    dpi = None
    for name, body in chunks:
        if name == b"pHYs" and len(body) == 9 and body[8] == 1:
            across, down = struct.unpack(">LL", body[:8])
            dpi = (across / _INCHES_PER_M, down / _INCHES_PER_M) if across and down else None
    return Metadata(
        xmp, photoshop, dpi, tuple(pair for pair in texts if pair[0] not in taken),
        tuple((name, body) for name, body in chunks if name in _COLOUR),
    )  # fmt: skip


def _text(name: bytes, body: bytes) -> tuple[str, str] | None:
    """(keyword, text) of a chunk; None where nothing can read it."""
    keyword, _, rest = body.partition(b"\0")
    packed, code = name == b"zTXt", "latin-1"
    if name == b"zTXt":
        rest = rest[1:]
    elif name == b"iTXt":
        packed, code = rest[:1] == b"\1", "utf-8"
        rest = b"\0".join(rest[2:].split(b"\0")[2:])  # without language and translated keyword
    try:
        if packed:
            unpacker = zlib.decompressobj()
            rest = unpacker.decompress(rest, _TEXT_LIMIT)
            if unpacker.unconsumed_tail:
                return None
        return keyword.decode("latin-1"), rest.decode(code)
    except (zlib.error, UnicodeDecodeError):
        return None


def _from_hexadecimal(text: str) -> bytes | None:
    """The bytes of a text `\\nNAME\\n    LENGTH\\nHEXADECIMAL`."""
    match = re.fullmatch(r"\s*\S[^\n]*\n\s*\d+\n([0-9a-fA-F\s]*)", text)
    if match is None:
        return None
    digits = "".join(match[1].split())
    found = bytes.fromhex(digits) if len(digits) % 2 == 0 else b""
    return found if found.startswith(b"8BIM") else None  # others stay the text that they are


def encode(picture: Picture, quality: int | None) -> Iterator[bytes]:
    """Block by block: filter 1 or 2 for every row, whichever leaves less."""
    height, width, channels = picture.pixels.shape
    size, deflate = picture.pixels.itemsize, zlib.compressobj(LEVEL)
    kind = (2 if channels == 3 else 0) + (0 if picture.alpha is None else 4)
    yield b"\x89PNG\r\n\x1a\n"
    yield _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * size, kind, 0, 0, 0))
    yield from _described(picture)
    above: Any = 0
    for band in bands(picture):
        step = size * band.shape[2]
        rows = np.ascontiguousarray(band.astype(f">u{size}", copy=False)).view(np.uint8)
        rows = rows.reshape(len(band), -1)
        filtered = np.empty((2, len(rows), 1 + rows.shape[1]), np.uint8)
        filtered[:, :, 0] = [[1], [2]]  # PNG filters 1, difference to the left, and 2, to above
        filtered[:, :, 1:] = rows
        filtered[0, :, 1 + step :] -= rows[:, :-step]
        filtered[1, 1:, 1:] -= rows[:-1]
        filtered[1, 0, 1:] -= above
        cost = np.minimum(filtered, -filtered).sum(axis=2)  # of the differences as signed bytes
        best = np.where((cost[0] <= cost[1])[:, None], filtered[0], filtered[1])
        if packed := deflate.compress(best.data):
            yield _chunk(b"IDAT", packed)
        above = rows[-1]
    yield _chunk(b"IDAT", deflate.flush()) + _chunk(b"IEND", b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + crc


def _described(picture: Picture) -> Iterator[bytes]:
    """The chunks between the head and the pixels."""
    metadata = picture.metadata
    for name, body in metadata.colour:
        yield _chunk(name, body)
    if picture.icc:
        yield _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc))
    if metadata.dpi:
        across, down = (round(value * _INCHES_PER_M) for value in metadata.dpi)
        yield _chunk(b"pHYs", struct.pack(">LLB", across, down, 1))
    if picture.exif:
        yield _chunk(b"eXIf", picture.exif)
    for keyword, text in metadata.texts:
        yield _text_chunk(keyword, text)
    if metadata.xmp:
        yield _chunk(b"iTXt", _XMP.encode() + bytes(5) + metadata.xmp)
    if metadata.photoshop:
        digits = re.sub(r"(.{72})", r"\1\n", metadata.photoshop.hex())
        body = f"\nIPTC profile\n{len(metadata.photoshop):8}\n{digits}\n".encode()
        yield _chunk(b"zTXt", _PHOTOSHOP.encode() + bytes(2) + zlib.compress(body))


def _text_chunk(keyword: str, text: str) -> bytes:
    key = keyword.encode("latin-1", "replace")[:79]
    try:
        if "\0" not in text:
            return _chunk(b"tEXt", key + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        pass
    plain = by_pillow.encoded_text(text).decode("utf-8", "replace")
    return _chunk(b"iTXt", key + bytes(5) + plain.encode())


PNG = Format(
    "PNG", (".png",), rb"\x89PNG\r\n\x1a\n", by_pillow.size_by(PngImageFile), decode, encode,
    deep=True,
)  # fmt: skip
