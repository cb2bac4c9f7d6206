"""A large PNG, decoded in bands of rows, so that it is in memory once.

The rows are unpacked as they come. Each band becomes a small PNG of its own, not packed, that
begins with the last row of the band above, by which its first row may have been filtered.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from ssl_restore.io.picture import Pixels

BAND_BYTES = 8 << 20  # of unpacked rows at a time
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # of the kinds that have whole bytes and no palette


def is_banded(data: bytes) -> bool:
    """Whether it can be decoded so: 8 or 16 bits, neither palette, key colour nor interlaced."""
    depth, kind, interlaced = data[24], data[25], data[28]
    return depth in (8, 16) and kind in _CHANNELS and not interlaced and not _has_key(data)


def _has_key(data: bytes) -> bool:
    return any(name == b"tRNS" for name, _ in _chunks(data, upto=b"IDAT"))


def decoded(data: bytes, decode: Callable[[bytes], Pixels]) -> Pixels:
    """(H, W, C), `decode` being what decodes a small PNG; ValueError where rows are missing."""
    width, height, depth, kind = struct.unpack_from(">LLBB", data, 16)
    size, channels = depth // 8, _CHANNELS[kind]
    row = width * channels * size
    rows = max(1, BAND_BYTES // (row + 1))
    whole = np.empty((height, width, channels), np.uint8 if size == 1 else np.uint16)
    above, done = b"", 0
    for band in _bands(data, (row + 1) * rows, (row + 1) * height):
        if len(band) % (row + 1):
            raise ValueError("its rows are cut short")
        count = len(band) // (row + 1)
        extra = 1 if above else 0
        found = decode(_small(data, width, count + extra, above, band))
        whole[done : done + count] = found[extra:]
        done += count
        above = b"\0" + found[-1].astype(f">u{size}").tobytes()
    if done < height:
        raise ValueError(f"{done} of its {height} rows are there")
    return whole


def _small(data: bytes, width: int, rows: int, above: bytes, band: bytes) -> bytes:
    head = struct.pack(">LL", width, rows) + data[24:29]
    body = zlib.compress(above + band, 0)
    chunks = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
        for name, body in chunks
    )


def _bands(data: bytes, size: int, total: int) -> Iterator[bytes]:
    """The unpacked rows, about `size` bytes at a time and `total` in all; what follows is left."""
    unpacker, kept = zlib.decompressobj(), bytearray()
    for _, packed in _chunks(data, only=b"IDAT"):
        rest: bytes | memoryview = packed
        while rest and total:
            part = unpacker.decompress(rest, size)
            rest = unpacker.unconsumed_tail
            kept += part[:total]
            total -= min(len(part), total)
            while len(kept) >= size:
                yield bytes(kept[:size])
                del kept[:size]
            if not part and not rest:
                break
    if kept:
        yield bytes(kept)


def _chunks(
    data: bytes, *, only: bytes | None = None, upto: bytes = b"IEND"
) -> Iterator[tuple[bytes, memoryview]]:
    view, at = memoryview(data), 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(view[at : at + 4], "big")
        name = bytes(view[at + 4 : at + 8])
        if name == upto:
            return
        if only in (None, name):
            yield name, view[at + 8 : end - 4]
        at = end
