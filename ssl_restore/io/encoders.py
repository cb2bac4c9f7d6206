"""A picture's bytes in a file format.

PNG and TIFF are written here, in bands: neither Pillow nor OpenCV writes 16-bit grey with alpha,
16-bit colour with its profile, or a large picture without a second copy of it.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ssl_restore.io.picture import Picture, Pixels

_BAND = 1 << 20  # bytes filtered and compressed at a time
_LEVEL = 3  # of zlib: on filtered photographs as small as 6, and several times as fast
# The tags of a TIFF's own directory that describe the picture and not how it is stored: texts,
# camera, resolution, dates, artist, copyright, the EXIF and the GPS directory.
_DIRECTORIES = {34665, 34853}
_DESCRIPTIVE = {270, 271, 272, 282, 283, 296, 305, 306, 315, 33432} | _DIRECTORIES


def by_pillow(picture: Picture, form: str, quality: int) -> bytes:
    """A JPEG, WebP or BMP file."""
    options: dict[str, Any] = {}
    if form == "JPEG":
        options = {"quality": quality, "subsampling": 0}
    elif form == "WebP":
        options = {"lossless": True, "exact": True}  # exact: colours under alpha 0 are kept
    if picture.icc and not (form == "WebP" and picture.icc[16:20] == b"GRAY"):
        options["icc_profile"] = picture.icc
    if picture.exif:
        options["exif"] = b"Exif\0\0" + picture.exif
    (array,) = _bands(picture, picture.pixels.nbytes)
    buffer = io.BytesIO()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(buffer, form, **options)
    return buffer.getvalue()


def _bands(picture: Picture, size: int = _BAND) -> Iterator[Pixels]:
    """(rows, W, C and alpha) from top to bottom, about `size` bytes of colour each."""
    height = picture.pixels.shape[0]
    rows = max(1, size * height // picture.pixels.nbytes)
    for top in range(0, height, rows):
        band = picture.pixels[top : top + rows]
        if picture.alpha is not None:
            band = np.concatenate((band, picture.alpha[top : top + rows, :, None]), axis=2)
        yield band


def png(picture: Picture) -> Iterator[bytes]:
    """A PNG file, block by block: filter 1 or 2 for every row, whichever leaves less."""

    def chunk(name: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + crc

    height, width, channels = picture.pixels.shape
    size, deflate = picture.pixels.itemsize, zlib.compressobj(_LEVEL)
    kind = (2 if channels == 3 else 0) + (0 if picture.alpha is None else 4)
    yield b"\x89PNG\r\n\x1a\n"
    yield chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * size, kind, 0, 0, 0))
    if picture.icc:
        yield chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc))
    if picture.exif:
        yield chunk(b"eXIf", picture.exif)
    above: Any = 0
    for band in _bands(picture):
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
            yield chunk(b"IDAT", packed)
        above = rows[-1]
    yield chunk(b"IDAT", deflate.flush()) + chunk(b"IEND", b"")


def tiff(picture: Picture) -> list[bytes]:
    """A little-endian TIFF file of Deflate strips with predictor 2; ValueError where it cannot."""
    height, width, channels = picture.pixels.shape
    bits, alpha = 8 * picture.pixels.itemsize, picture.alpha is not None
    if bits == 16 and alpha and channels == 1:
        raise ValueError("16-bit grey with alpha")  # hardly any reader takes it, nor does this one
    strips, rows = [], 0
    for band in _bands(picture):
        rows = rows or len(band)
        steps = band.copy()
        steps[:, 1:] -= band[:, :-1]  # predictor 2
        steps = steps.astype(steps.dtype.newbyteorder("<"), copy=False)
        strips.append(zlib.compress(steps.data, _LEVEL))
    sizes = [len(strip) for strip in strips]
    tags: Any = ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    tags[256], tags[257], tags[258], tags[259] = width, height, (bits,) * (channels + alpha), 8
    tags[262], tags[277], tags[278], tags[279] = (channels + 1) // 2, channels + alpha, rows, sizes
    tags[273] = list(accumulate(sizes[:-1], initial=0))  # from the end of the directory
    tags[284], tags[317] = 1, 2
    if alpha:
        tags[338] = 2
    if picture.icc:
        tags.tagtype[34675] = 7
        tags[34675] = picture.icc
    if picture.exif:
        exif = Image.Exif()
        exif.load(b"Exif\0\0" + picture.exif)
        copy_description(exif, tags)
    head = io.BytesIO()
    tags.save(head)
    return [head.getvalue(), *strips]


def copy_description(source: Image.Exif, target: Any) -> None:
    """Copy the tags that say what the picture is, not how it is stored."""
    for tag in _DESCRIPTIVE & source.keys():
        target[tag] = source.get_ifd(tag) if tag in _DIRECTORIES else source[tag]
