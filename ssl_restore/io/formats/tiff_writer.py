"""TIFF and BigTIFF files, written in bands, page after page.

Little-endian, Deflate strips; whole numbers with predictor 2.  BigTIFF where it may become larger
than 4 GB.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ssl_restore.io.formats import jpeg
from ssl_restore.io.formats.bands import LEVEL, bands
from ssl_restore.io.formats.format import ERRORS
from ssl_restore.io.picture import Picture, Pixels

# The tags of a TIFF's own directory that describe the picture and not how it is stored: texts,
# camera, resolution, dates, artist, copyright, the EXIF and the GPS directory.
_DIRECTORIES = {34665, 34853}
_DESCRIPTIVE = {270, 271, 272, 282, 283, 296, 305, 306, 315, 33432} | _DIRECTORIES
_XMP, _IPTC, _PHOTOSHOP, _PROFILE = 700, 33723, 34377, 34675
_LARGEST = 2**32 - 2**24  # bytes of a file that is no BigTIFF, with room for its directories


def encode(picture: Picture, quality: int | None) -> Iterator[bytes]:
    """A file of one page; ValueError where it cannot hold it."""
    _check(picture)
    return encode_pages([picture], 1)


def encode_pages(pictures: Iterable[Picture], count: int) -> Iterator[bytes]:
    """A file of so many pages, one in memory at a time; ValueError where it cannot hold one."""
    at, big = 0, False
    for number, picture in enumerate(pictures):
        _check(picture)
        if number == 0:
            big = count * _stored_bytes(picture) > _LARGEST
            head = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) if big else b"II*\0\x08\0\0\0"
            at = len(head)
            yield head
        strips, rows = _strips(picture)
        tags = _directory(picture, [len(strip) for strip in strips], rows, big)
        directory = tags.tobytes(at)
        end, last = at + len(directory) + sum(map(len, strips)), number + 1 == count
        at = end + end % 2  # where the next directory begins, at an even place
        yield _linked(directory, 0 if last else at, tags, big)
        yield from strips
        yield b"" if last else bytes(at - end)


def _check(picture: Picture) -> None:
    grey = picture.pixels.shape[2] == 1 and picture.levels is None
    if picture.pixels.dtype == np.uint16 and grey and picture.alpha is not None:
        raise ValueError("16-bit grey with alpha")  # hardly any reader takes it, nor does this one


def _stored_bytes(picture: Picture) -> int:
    kind = np.dtype(picture.levels.kind) if picture.levels else picture.pixels.dtype
    return picture.pixels.size * kind.itemsize * (2 if picture.alpha is not None else 1)


def _numbers(band: Pixels, picture: Picture) -> Pixels:
    """The samples of a band as the file holds them."""
    if picture.levels is None:
        return band
    channels = picture.pixels.shape[2]
    levels = replace(picture.levels, linear=False)  # display values, as they are read again
    colours = levels.stored(band[:, :, :channels])
    if picture.alpha is None:
        return colours
    most = 1.0 if colours.dtype.kind == "f" else np.iinfo(colours.dtype).max
    alpha = (band[:, :, channels:].astype(np.float64) * most).astype(colours.dtype)
    return np.concatenate((colours, alpha), axis=2)


def _strips(picture: Picture) -> tuple[list[bytes], int]:
    """The packed strips of a page, and the rows of each but the last."""
    strips, rows = [], 0
    for band in bands(picture):
        rows = rows or len(band)
        steps = _numbers(band, picture).copy()
        if picture.levels is None:
            steps[:, 1:] -= band[:, :-1]  # predictor 2
        steps = steps.astype(steps.dtype.newbyteorder("<"), copy=False)
        strips.append(zlib.compress(steps.data, LEVEL))
    return strips, rows


def _directory(picture: Picture, sizes: list[int], rows: int, big: bool) -> Any:
    """What is said of a page; its strips' places count from the end of the directory."""
    height, width, channels = picture.pixels.shape
    alpha = picture.alpha is not None
    kind = np.dtype(picture.levels.kind) if picture.levels else picture.pixels.dtype
    number = {"u": 1, "i": 2, "f": 3}[kind.kind]
    tags: Any = ImageFileDirectory_v2(b"II+\0" + bytes(12) if big else b"II*\0" + bytes(4))
    bits = (8 * kind.itemsize,) * (channels + alpha)
    tags[256], tags[257], tags[258], tags[259] = width, height, bits, 8
    tags[262], tags[277], tags[278] = (channels + 1) // 2, channels + alpha, rows
    for tag, values in ((273, accumulate(sizes[:-1], initial=0)), (279, sizes)):
        tags.tagtype[tag] = 16 if big else 4
        tags[tag] = tuple(values)
    tags[284], tags[317] = 1, 2 if picture.levels is None else 1
    if alpha:
        tags[338] = 2
    if number != 1:
        tags[339] = (number,) * (channels + alpha)
    _describe(picture, tags)
    return tags


def _linked(directory: bytes, following: int, tags: Any, big: bool) -> bytes:
    """A directory that names the place of the next one."""
    start, step, form = (8, 20, "<Q") if big else (2, 12, "<L")
    at = start + step * len(tags)
    link = struct.pack(form, following)
    return directory[:at] + link + directory[at + len(link) :]


def _describe(picture: Picture, tags: Any) -> None:
    """Put all that is known of a picture into its directory."""
    metadata = picture.metadata
    if picture.exif:
        exif = Image.Exif()
        try:
            exif.load(b"Exif\0\0" + picture.exif)
            _copy_description(exif, tags)
        except ERRORS:
            pass  # a block that nothing can read is left out
    if metadata.dpi:
        tags[282], tags[283], tags[296] = *metadata.dpi, 2
    if metadata.comment and 270 not in tags:
        tags[270] = metadata.comment
    records = jpeg.iptc_of(metadata.photoshop) if metadata.photoshop else None
    blocks = {_XMP: (1, metadata.xmp), _IPTC: (7, records), _PHOTOSHOP: (1, metadata.photoshop)}
    for tag, (kind, body) in (blocks | {_PROFILE: (7, picture.icc)}).items():
        if body:
            tags.tagtype[tag], tags[tag] = kind, body
    for tag, kind, value in metadata.tags:
        tags.tagtype[tag], tags[tag] = kind, value


def described(given: Image.Exif) -> bytes | None:
    """An EXIF block of what a directory says of the picture."""
    kept = Image.Exif()
    _copy_description(given, kept)
    return kept.tobytes() if len(kept) else None


def _copy_description(source: Image.Exif, target: Any) -> None:
    """Copy the tags that say what the picture is, not how it is stored."""
    for tag in _DESCRIPTIVE & source.keys():
        target[tag] = source.get_ifd(tag) if tag in _DIRECTORIES else source[tag]
