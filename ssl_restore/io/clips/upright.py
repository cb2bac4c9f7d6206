"""Quarter turns and mirrors by which a player shows a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssl_restore.io.picture import Pixels

_ONE = 1 << 16  # of a display matrix


@dataclass(frozen=True)
class Upright:
    """How stored pixels become upright: rows and columns exchanged, then mirrored."""

    exchanged: bool = False
    mirrored: bool = False  # left to right
    flipped: bool = False  # top to bottom
    matrix: tuple[int, ...] | None = None  # as the file has it, row by row

    def applied(self, pixels: Pixels) -> Pixels:
        """(H, W, C) as stored -> upright."""
        if self.exchanged:
            pixels = pixels.transpose(1, 0, 2)
        return np.ascontiguousarray(pixels[self._steps])

    def undone(self, pixels: Pixels) -> Pixels:
        """The inverse of `applied`."""
        pixels = pixels[self._steps]
        if self.exchanged:
            pixels = pixels.transpose(1, 0, 2)
        return np.ascontiguousarray(pixels)

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) upright of that as stored, and back."""
        return size[::-1] if self.exchanged else size

    @property
    def _steps(self) -> tuple[slice, slice]:
        rows, columns = (-1 if turned else 1 for turned in (self.flipped, self.mirrored))
        return slice(None, None, rows), slice(None, None, columns)


def by_matrix(matrix: Sequence[int]) -> Upright:
    """Of a display matrix (ISO/IEC 14496-12), x' = a x + c y, y' = b x + d y; one that is no
    quarter turn is kept, but the pixels are taken as they are."""
    a, b, _, c, d = (round(value / _ONE) for value in matrix[:5])
    kept = tuple(matrix)
    if {abs(a), abs(d)} == {1} and not b and not c:
        return Upright(False, a < 0, d < 0, kept)
    if {abs(b), abs(c)} == {1} and not a and not d:
        return Upright(True, c < 0, b < 0, kept)
    return Upright(matrix=kept)
