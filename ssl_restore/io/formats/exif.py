"""EXIF blocks: which way up, and without the thumbnail of the picture before restoration."""

from __future__ import annotations

import re
import struct

import numpy as np

from ssl_restore.io.picture import Pixels

_XMP_TURN = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>)\s*)[2-8]""")


def turned_upright(block: bytes) -> tuple[int, bytes]:
    """The orientation of an EXIF block, and the block with the tag at 1 and without thumbnail."""
    turn, edits = 1, list[tuple[int, bytes]]()
    try:
        order = "<" if block[:2] == b"II" else ">"
        (start,) = struct.unpack_from(order + "L", block, 4)
        turn, edits, end = orientation(block, start)
        edits.append((end, bytes(4)))
    except (struct.error, OverflowError):
        pass  # a block nothing can read is kept as it came
    return turn, edited(block, edits)


def orientation(tiff: bytes, start: int) -> tuple[int, list[tuple[int, bytes]], int]:
    """The orientation that the directory at `start` gives, the edits (place, bytes) that make it 1,
    and where the place of the next directory stands; struct.error where it cannot be read."""
    order = "<" if tiff[:2] == b"II" else ">"
    width, counter, step = (8, "Q", 20) if 43 in tiff[2:4] else (4, "H", 12)  # BigTIFF
    (count,) = struct.unpack_from(order + counter, tiff, start)
    first = start + struct.calcsize(order + counter)
    turn, edits = 1, list[tuple[int, bytes]]()
    for at in range(first, first + step * count, step):
        tag, kind = struct.unpack_from(order + "HH", tiff, at)
        if (tag, kind) == (274, 3):
            (turn,) = struct.unpack_from(order + "H", tiff, at + step - width)
            edits.append((at + step - width, struct.pack(order + "H", 1)))
    return turn, edits, first + step * count


def edited(data: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    """The same bytes object where nothing changes."""
    edits = [(at, value) for at, value in edits if data[at : at + len(value)] != value]
    if not edits:
        return data
    changed = bytearray(data)
    for at, value in edits:
        changed[at : at + len(value)] = value
    return bytes(changed)


def upright_xmp(xmp: bytes) -> bytes:
    """An XMP packet whose picture is stored as it is shown."""
    return _XMP_TURN.sub(rb"\g<1>1", xmp)


def turned(array: Pixels, turn: int) -> Pixels:
    """Rows and columns in display order; EXIF's `turn` says where the stored row 0, column 0 is."""
    array = array.swapaxes(0, 1) if turn in (5, 6, 7, 8) else array
    array = array[::-1] if turn in (3, 4, 7, 8) else array
    return np.ascontiguousarray(array[:, ::-1] if turn in (2, 3, 6, 7) else array)
