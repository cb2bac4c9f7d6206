"""A picture in pieces of about the same size that fade into each other over their margins."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ssl_restore.inference.tiles import Tile, spans


def split(height: int, width: int, side: int, margin: int) -> Iterator[Tile]:
    """Pieces of `side` px at most, each with the window of `margin` px more that it needs."""

    def window(part: slice, length: int) -> slice:
        return slice(max(0, part.start - margin), min(length, part.stop + margin))

    rows, columns = (math.ceil(length / math.ceil(length / side)) for length in (height, width))
    for down in spans(height, rows):
        for across in spans(width, columns):
            yield Tile(down, across, window(down, height), window(across, width))


def weight(piece: Tile, height: int, width: int, margin: int) -> Tensor:
    """Weights of a window, (h, w): they fall over its margins, but not at the picture's border.

    Where two windows alone overlap, their weights sum to one.
    """

    def ramp(window: slice, length: int) -> Tensor:
        places = torch.arange(window.start, window.stop) + 0.5
        weights = torch.ones(len(places))
        if window.start > 0:
            weights *= ((places - window.start) / (2 * margin)).clamp(max=1)
        if window.stop < length:
            weights *= ((window.stop - places) / (2 * margin)).clamp(max=1)
        return weights

    return ramp(piece.window_rows, height)[:, None] * ramp(piece.window_columns, width)
