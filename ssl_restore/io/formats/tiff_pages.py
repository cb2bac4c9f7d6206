"""The pages of a TIFF or BigTIFF file, and how the samples of each are decoded.

Ordinary samples of up to 8 bits are decoded by Pillow, those of 16, of which Pillow reads no
colour, by OpenCV, and all others by tifffile: floating point, signed, 32 bits, separate planes.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from ssl_restore.errors import UserError
from ssl_restore.io.formats import by_opencv, by_pillow, exif
from ssl_restore.io.formats.bands import LARGE_PIXELS
from ssl_restore.io.picture import Pixels

_MOST_PAGES = 1_000_000
_FORMATS = {1: "u", 2: "i", 3: "f", 4: "u"}
_NUMBERS = {"f2", "f4", "f8", "i1", "i2", "i4", "u4"}  # that have levels
_CHANNELS = {  # one besides the colours that is no plain alpha, by its tag 338
    (0,): "of no stated meaning (RGBX); save it first without, or as plain (unassociated) alpha",
    (1,): "premultiplied (associated) alpha; save it first as plain (unassociated) alpha",
}
_EXACT = 2**24  # whole numbers up to here are exact in single precision


class PillowTiff(TiffImageFile):
    def load_prepare(self) -> None:  # Pillow's asks its global limit again
        ImageFile.ImageFile.load_prepare(self)


@dataclass(frozen=True)
class Page:
    number: int
    place: int  # of its directory
    tags: Any
    turn: int  # its orientation
    by: str  # what decodes it: pillow, opencv or tifffile

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return int(self.tags.get(256, 0)), int(self.tags.get(257, 0))


class Pages:
    """Those of a file that are no smaller copies and no masks of others."""

    def __init__(self, data: bytes) -> None:
        every, edits = [], []
        for number, (place, tags) in enumerate(directories(io.BytesIO(data))):
            turn, changes, _ = exif.orientation(data, place)
            edits += changes  # with the tag at 1, no version of a decoder turns it too
            every.append(Page(number, place, tags, turn, ""))
        if not every:
            raise ValueError("it holds no directory")
        whole = [every[number] for number in _pictures(page.tags for page in every)] or every[:1]
        self.pages = [Page(p.number, p.place, p.tags, p.turn, _decoder(p.tags)) for p in whole]
        self._data = exif.edited(data, edits)
        self._image: PillowTiff | None = None
        self._file: Any = None

    def image(self, page: Page) -> PillowTiff:
        """Pillow's image of the page, its samples not decoded."""
        if self._image is None:
            self._image = PillowTiff(io.BytesIO(self._data))
        self._image.seek(page.number)
        return self._image

    def exif(self, page: Page) -> Image.Exif:
        """Its directory, and those of EXIF and GPS that it names."""
        found = Image.Exif()
        found.endian = "<" if self._data[:2] == b"II" else ">"
        found.bigtiff = 43 in self._data[2:4]
        found.load_from_fp(io.BytesIO(self._data), page.place)
        return found

    def samples(self, page: Page) -> Pixels:
        """(H, W, C and alpha): uint8 or uint16, or numbers of another type that have levels."""
        _check_extent(page.tags, len(self._data))
        if page.by in ("pillow", "opencv") and page.size[0] * page.size[1] > LARGE_PIXELS:
            found = self._in_segments(page)
            if found is not None:
                return found
        if page.by == "pillow":
            return by_pillow.decoded(self.image(page))
        return self._by_opencv(page) if page.by == "opencv" else self._by_tifffile(page)

    def _by_opencv(self, page: Page, kind: str = "u2") -> Pixels:
        order, head = ("<" if self._data[:2] == b"II" else ">"), (4, "L")
        if 43 in self._data[2:4]:
            head = (8, "Q")
        buffer = np.frombuffer(self._data, np.uint8)
        if page.number:  # which becomes the first
            buffer = buffer.copy()
            start = struct.pack(order + head[1], page.place)
            buffer[head[0] : head[0] + len(start)] = np.frombuffer(start, np.uint8)
        return by_opencv.decoded(buffer, kind, page.size)

    def _in_segments(self, page: Page) -> Pixels | None:
        """The samples of a large page, strip by strip or tile by tile; None where they are packed
        in a way that tifffile does not unpack alone."""
        if page.tags.get(259, 1) not in (1, 8, 32946) or not _is_usual(page.tags):
            return None
        import tifffile  # noqa: PLC0415

        (width, height), kind = page.size, np.dtype(type_of(page.tags))
        if page.tags.get(258, (1,))[0] != 8 * kind.itemsize:
            return None
        whole = np.empty((height, width, int(page.tags.get(277, 1))), kind)
        # Closed, the stream gives up the file, which tifffile's pages refer to in circles.
        with io.BytesIO(self._data) as stream, tifffile.TiffFile(stream) as file:
            for segment, place, shape in file.pages[page.number].segments(
                maxworkers=1, buffersize=1 << 23
            ):
                if segment is None:
                    raise ValueError("a part of its samples is missing")
                top, left = place[2], place[3]
                part = segment.reshape(shape)[0]
                target = whole[top : top + part.shape[0], left : left + part.shape[1]]
                target[...] = part[: target.shape[0], : target.shape[1]]
        return whole

    def _by_tifffile(self, page: Page) -> Pixels:
        import tifffile  # noqa: PLC0415  (what few files need)

        if self._file is None:
            self._file = tifffile.TiffFile(io.BytesIO(self._data))
        try:
            array: Pixels = self._file.pages[page.number].asarray()
        except (ValueError, ImportError) as error:
            if "imagecodecs" not in str(error):
                raise
            kind, usual = type_of(page.tags), _is_usual(page.tags)
            if usual and kind in ("f4", "f8"):  # which OpenCV unpacks, however it is packed
                return self._by_opencv(page, kind)
            raise UserError(
                "a TIFF that is packed in a way that takes the package imagecodecs; install "
                "ssl-restore[formats]"
            ) from error
        if array.ndim == 3 and page.tags.get(284, 1) == 2:  # separate planes
            array = np.moveaxis(array, 0, -1)
        array = array[:, :, None] if array.ndim == 2 else array
        width, height = page.size
        if array.shape != (height, width, int(page.tags.get(277, 1))):
            raise ValueError("its samples are not of its size")
        bits = page.tags.get(258, (1,))[0]
        if array.dtype == np.uint16 and bits < 16:
            array = ((array.astype(np.uint32) * 65535) // (2**bits - 1)).astype(np.uint16)
        return _white_is_most(array) if page.tags.get(262) == 0 else array


def directories(stream: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """(place, tags) of every page, one after the other."""
    length = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(16)
    head = head if 43 in head[2:4] else head[:8]
    tags: Any = ImageFileDirectory_v2(head)
    places: set[int] = set()
    while tags.next and tags.next not in places and len(places) < _MOST_PAGES:
        if tags.next >= length:
            raise ValueError("its directory lies beyond its end")
        place = tags.next
        places.add(place)
        stream.seek(place)
        tags = ImageFileDirectory_v2(head)
        tags.load(stream)
        yield place, tags


def count_pages(file: IO[bytes]) -> int:
    """Those that are no smaller copies and no masks of others."""
    return max(1, len(_pictures(tags for _, tags in directories(file))))


def _pictures(every: Iterable[Any]) -> list[int]:
    """Numbers of the pages that are no smaller copies and no masks of others, as they say; the
    second of two is a thumbnail where it has the shape of the first and a quarter of its sides, or
    less."""
    sizes = {
        number: (int(tags.get(256, 0)), int(tags.get(257, 0)))
        for number, tags in enumerate(every)
        if not _is_reduced(tags)
    }
    if len(sizes) == 2:
        (width, height), (across, down) = sizes.values()
        alike = abs(across * height - down * width) <= max(width, height)  # to a pixel
        if alike and 4 * max(across, down) <= max(width, height):
            return [*sizes][:1]
    return [*sizes]


def _is_reduced(tags: Any) -> bool:
    """A smaller copy, or a mask, by the new and the old kind of its subfile."""
    kind = tags.get(254, 0)
    return bool(isinstance(kind, int) and kind & 5) or tags.get(255) == 2


def type_of(tags: Any) -> str:
    """As NumPy names it, without byte order: u1, f4 ..."""
    bits, number = tags.get(258, (1,))[0], tags.get(339, (1,))[0]
    return f"{_FORMATS.get(number, '?')}{-(-bits // 8)}"


def _decoder(tags: Any) -> str:
    """What decodes the samples of a page; UserError for what nothing here reads right."""
    bits, numbers, light = tags.get(258, (1,)), tags.get(339, (1,)), tags.get(262)
    samples, planes, extra = tags.get(277, 1), tags.get(284, 1), tags.get(338, (2,))
    extras = samples - {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}.get(light, samples)
    even = len(set(bits)) == 1 and len(set(numbers)) == 1
    sane = even and (extras == 0 or (extras == 1 and extra == (2,)))
    kind = type_of(tags)
    if sane and kind == "u1" and planes == 1 and bits[0] in (1, 2, 4, 8):
        return "pillow"
    if sane and _is_usual(tags) and bits[0] == 16 and kind == "u2":
        return "opencv"
    simple = sane and light in (0, 1, 2)
    if simple and (kind in _NUMBERS or (kind == "u2" and bits[0] > 8)):
        return "tifffile"
    if simple and kind == "u1" and bits[0] == 8:
        return "tifffile"
    if extras == 1 and extra in _CHANNELS:
        raise UserError(f"its last channel is {_CHANNELS[extra]}")
    name = {"i": "signed", "f": "floating point"}.get(kind[0], "whole number")
    raise UserError(
        f"a TIFF of {samples} x {bits[0]}-bit {name} samples (photometric {light}, "
        f"planes {planes}, extra {extra}); save it first as grey or RGB, with no channel besides "
        "plain alpha"
    )


def _is_usual(tags: Any) -> bool:
    """Interleaved grey, RGB or RGBA, 0 being black."""
    kind = tags.get(262), tags.get(277, 1)
    return kind in ((1, 1), (2, 3), (2, 4)) and tags.get(284, 1) == 1


def _check_extent(tags: Any, length: int) -> None:
    """ValueError for samples beyond the end, of which decoders make something all the same."""
    places, lengths = tags.get(273) or tags.get(324, ()), tags.get(279) or tags.get(325, ())
    if any(at + count > length for at, count in zip(places, lengths, strict=False)):
        raise ValueError("its samples lie beyond its end")


def _white_is_most(array: Pixels) -> Pixels:
    """Samples of a picture in which 0 is white."""
    if not np.issubdtype(array.dtype, np.unsignedinteger):
        return array  # its levels are what they are
    return np.iinfo(array.dtype).max - array


def range_of(array: Pixels) -> tuple[float, float]:
    """Smallest and largest finite number; UserError for whole numbers too large to be exact."""
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if not finite.size:
        raise UserError("all its samples are infinite or no numbers; save it anew")
    low, high = float(finite.min()), float(finite.max())
    if array.dtype.kind != "f" and max(-low, high) > _EXACT:
        raise UserError(f"whole numbers up to {high:.0f}; save it first as 16 bit or float")
    return low, high
