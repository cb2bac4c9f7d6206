"""What every picture format tells of itself."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO

import cv2

from ssl_restore.io.picture import Picture

Check = Callable[[int, int], None]  # UserError for (width, height) of too many pixels
Decode = Callable[[bytes, Check], Picture]
Encode = Callable[[Picture, "int | None"], Iterable[bytes]]  # quality 1 to 100, or None

# What decoders raise on broken files, and encoders on what they cannot hold.
_CODEC = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError)
_PYTHON = (RuntimeError, MemoryError, StopIteration)
ERRORS = (*_CODEC, *_PYTHON, struct.error, zlib.error, cv2.error)


@dataclass(frozen=True, eq=False)
class Format:
    """A format of files that hold one picture, or a stack of pages where `decode_pages` is given.

    `decode` takes the whole file, calls `check` with the size before it unpacks any pixels, and
    returns the picture as it is stored; it raises one of ERRORS where the file is damaged, and
    UserError, without the file's name, where it holds what a Picture cannot. `size` reads the
    head of an open file. Of a format that is only read `encode` is None.
    """

    name: str
    suffixes: tuple[str, ...]
    signature: bytes | None  # regular expression of the first bytes; None: told by the suffix
    size: Callable[[IO[bytes]], tuple[int, int]]
    decode: Decode
    encode: Encode | None = None
    deep: bool = False  # holds 16 bits
    alpha: bool = True  # holds an alpha channel
    floats: bool = False  # holds floating point, and whatever else has levels
    decode_pages: Callable[[bytes, Check], Iterator[Picture]] | None = None
    count_pages: Callable[[IO[bytes]], int] | None = None
    encode_pages: Callable[[Iterable[Picture], int], Iterable[bytes]] | None = None


def check_nothing(width: int, height: int) -> None:
    """For what was checked before."""
