"""Whether a file ends before what its container says of its own length.

A container is a row of elements that each say how long they are: RIFF chunks of .avi, boxes of .mp4
(ISO/IEC 14496-12), EBML elements of .mkv and .webm (RFC 8794), objects of .wmv (ASF). Counts of
frames and durations are no such sign: writers count frames that were left out, and durations are
those of the longest stream.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Length = Callable[[bytes], int | None]  # head of an element -> its length; None: none, or not said

_HEAD = 32  # bytes in which an element says what it is and how long
_SLACK = 8  # bytes: some writers of .avi count the head of a chunk twice
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"
_ASF_DATA = b"\x36\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"
_BOXES = {  # of the first level
    b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"mfra",
    b"uuid", b"meta", b"pnot", b"udta", b"emsg", b"prft",
}  # fmt: skip


def is_cut_off(path: Path) -> bool:
    """False also where the container says no length, as .ts, or a recording that was not closed."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        length_of = _kind(file.read(_HEAD))
        while length_of is not None and at < size:
            file.seek(at)
            length = length_of(file.read(_HEAD))
            if not length:
                return False
            at += length
    return at > size + _SLACK


def _kind(head: bytes) -> Length | None:
    for length_of in (_riff, _box, _ebml, _object):
        if length_of(head):
            return length_of
    return None


def _riff(head: bytes) -> int | None:
    if head[:4] != b"RIFF" or head[8:11] != b"AVI":
        return None
    return 8 + int.from_bytes(head[4:8], "little")


def _box(head: bytes) -> int | None:
    if head[4:8] not in _BOXES:
        return None
    size = int.from_bytes(head[:4], "big")  # 0: to the end of the file
    return int.from_bytes(head[8:16], "big") if size == 1 else size


def _ebml(head: bytes) -> int | None:
    if head[:4] not in (_EBML, _SEGMENT) or not head[4]:
        return None
    width = 9 - head[4].bit_length()  # of the size, whose first bit set is a mark
    mark = 1 << (7 * width)
    size = int.from_bytes(head[4 : 4 + width], "big") - mark
    return None if size == mark - 1 else 4 + width + size  # all ones: not said


def _object(head: bytes) -> int | None:
    return int.from_bytes(head[16:24], "little") if head[:16] in (_ASF, _ASF_DATA) else None
