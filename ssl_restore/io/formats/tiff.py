"""TIFF and BigTIFF: one picture or a stack of pages, of whole numbers or floating point.

Floating point from 0 to 1 is taken for display values; where it goes beyond 1.5, and for other
numbers without a usual range, the largest of all pages is white.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ssl_restore.errors import UserError
from ssl_restore.io.formats import by_pillow, jpeg, tiff_writer
from ssl_restore.io.formats.exif import turned
from ssl_restore.io.formats.format import Check, Format
from ssl_restore.io.formats.tiff_pages import (
    Page,
    Pages,
    PillowTiff,
    count_pages,
    directories,
    range_of,
)
from ssl_restore.io.picture import Levels, Metadata, Picture

_NO_RGB = (5, 8)  # CMYK and Lab, which become sRGB
_FAR = 1.5  # from which values are not meant for [0, 1]
_ON_EARTH = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)  # GeoTIFF and GDAL


def decode(data: bytes, check: Check) -> Picture:
    pages = Pages(data)
    if len(pages.pages) > 1:
        raise UserError(
            f"holds {len(pages.pages)} pages; several pages or frames are not taken here: save "
            "each as a file of its own"
        )
    return next(_decoded(pages, check))


def decode_pages(data: bytes, check: Check) -> Iterator[Picture]:
    """Every page as it is shown, one at a time."""
    return _decoded(Pages(data), check)


def _decoded(pages: Pages, check: Check) -> Iterator[Picture]:
    for page in pages.pages:
        check(*page.size)
    levels = _levels(pages)
    for page in pages.pages:
        yield _picture(pages, page, levels)


def _levels(pages: Pages) -> Levels | None:
    """Those of all pages together, where there are any; an alpha channel is no part of it."""
    ranges, kinds = [], set()
    for page in pages.pages:
        if page.by == "tifffile":
            array = pages.samples(page)
            if array.dtype not in (np.uint8, np.uint16):
                ranges.append(range_of(_colours(array)))
                kinds.add(array.dtype)
    if not kinds:
        return None
    if len(kinds) > 1 or len(ranges) < len(pages.pages):
        raise UserError("its pages hold numbers of several types; save each as a file of its own")
    low, high = min(a for a, _ in ranges), max(b for _, b in ranges)
    (kind,) = kinds
    if kind.kind == "f" and low >= -_FAR and high <= _FAR:
        return Levels(0.0, 1.0, kind.name)
    black = min(0.0, low)
    return Levels(black, high if high > black else black + 1, kind.name)


def _colours(array: Any) -> Any:
    return array[:, :, :-1] if array.shape[2] in (2, 4) else array


def _picture(pages: Pages, page: Page, levels: Levels | None) -> Picture:
    pixels, alpha = by_pillow.split(pages.samples(page))
    if levels is not None:
        pixels = levels.shown(pixels)
        if alpha is not None:
            most = 1.0 if alpha.dtype.kind == "f" else float(np.iinfo(alpha.dtype).max)
            alpha = (alpha / most).astype(np.float32)
    icc = None if page.tags.get(262) in _NO_RGB else page.tags._tagdata.get(34675)
    exif = tiff_writer.described(pages.exif(page))
    upright = turned(pixels, page.turn), None if alpha is None else turned(alpha, page.turn)
    return Picture(*upright, icc or None, exif, _metadata(page.tags), levels)


def _metadata(tags: Any) -> Metadata:
    def block(tag: int) -> bytes | None:
        raw: bytes | None = tags._tagdata.get(tag)  # of whichever type
        return raw or None

    photoshop, records = block(34377), block(33723)
    photoshop = jpeg.without_thumbnails(photoshop) if photoshop else None
    if records and not (photoshop and jpeg.iptc_of(photoshop)):
        photoshop = (photoshop or b"") + jpeg.with_iptc(records.rstrip(b"\0"))
    on_earth = tuple((tag, tags.tagtype[tag], tags[tag]) for tag in _ON_EARTH if tag in tags)
    return Metadata(block(700), photoshop or None, tags=on_earth)


def _size(file: Any) -> tuple[int, int]:
    """Of the first page; what Pillow does not open is read by its directory alone."""
    try:
        return PillowTiff(file).size
    except (SyntaxError, OSError):
        _, tags = next(directories(file))
        return int(tags.get(256, 0)), int(tags.get(257, 0))


TIFF = Format(
    "TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]", _size, decode, tiff_writer.encode, deep=True,
    floats=True, decode_pages=decode_pages, count_pages=count_pages,
    encode_pages=tiff_writer.encode_pages,
)  # fmt: skip
