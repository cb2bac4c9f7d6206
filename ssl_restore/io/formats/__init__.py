"""The formats of picture files: how each is told, decoded and encoded."""

from __future__ import annotations

import re
from pathlib import PurePath

from ssl_restore.io.formats.exr import EXR
from ssl_restore.io.formats.extra import HEIC, JPEG_XL, RAW
from ssl_restore.io.formats.format import ERRORS, Check, Format
from ssl_restore.io.formats.jpeg import JPEG
from ssl_restore.io.formats.plain import AVIF, BMP, GIF, JPEG_2000, PNM, QOI, TGA, WEBP
from ssl_restore.io.formats.png import PNG
from ssl_restore.io.formats.tiff import TIFF

__all__ = ["ERRORS", "FORMATS", "PNG", "READ", "WRITTEN", "Check", "Format", "of_content"]

FORMATS = (
    PNG, JPEG, TIFF, WEBP, BMP, AVIF, GIF, JPEG_2000, PNM, QOI, TGA, HEIC, JPEG_XL, EXR, RAW,
)  # fmt: skip
READ = {suffix: form for form in FORMATS for suffix in form.suffixes}
WRITTEN = {suffix: form for suffix, form in READ.items() if form.encode is not None}


def of_content(path: PurePath, start: bytes) -> Format | None:
    """The format of a file that begins so; what has no signature is told by the suffix, and so is
    a camera's raw file, which may begin as a TIFF does and hold its thumbnail as one."""
    named = READ.get(path.suffix.lower())
    for form in FORMATS:
        if form.signature is not None and re.match(form.signature, start, re.DOTALL):
            return RAW if named is RAW and form is TIFF else form
    return named if named is not None and named.signature is None else None


def numbered(name: str) -> list[int | str]:
    """A name split into text and numbers, so that 2 comes before 10."""
    return [int(s) if s.isdecimal() else s for s in re.split(r"(\d+)", name.casefold())]
