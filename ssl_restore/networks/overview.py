"""One look at the whole picture at a small size, for restorers that need it before the tiles.

A restorer with an `overview_px` has a method `overview(small) -> maps`, and its `forward` takes for
a window of the picture the same window of the maps. They are linear between the pixels of the small
picture and depend on the place in the picture alone: tiles come out as the whole does.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_restore.restorer import Restorer

Span = tuple[int, int]  # first and one after the last


def shrunk(image: Tensor, longest: int) -> Tensor:
    """(B, C, H, W) averaged down to a longest side of `longest` pixels; a smaller one as it is."""
    size = small_size((image.shape[-2], image.shape[-1]), longest)
    return image if size == tuple(image.shape[-2:]) else F.interpolate(image, size, mode="area")


def maps_of(restorer: Restorer, image: Tensor, maps: Tensor | None) -> Tensor:
    """The maps of a window (B, 3, H, W), checked; of a whole picture where none are given."""
    size = (image.shape[-2], image.shape[-1])
    if maps is None:
        maps = sampled(restorer.overview(shrunk(image, restorer.overview_px or max(size))), size)
    if tuple(maps.shape[-2:]) != size:
        raise ValueError(f"maps of {size} are expected, got {tuple(maps.shape[-2:])}")
    return maps


def square_means(image: Tensor, side: int) -> Tensor:
    """(B, C, H, W) averaged over squares of `side` pixels, of which the last may be cut off."""
    return F.avg_pool2d(image, side, ceil_mode=True, count_include_pad=False)


def small_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Rows and columns of the small picture."""
    scale = min(1.0, longest / max(size))
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


def sampled(
    maps: Tensor, size: tuple[int, int], rows: Span | None = None, columns: Span | None = None
) -> Tensor:
    """Maps (B, C, h, w) in a window of the picture of `size` (H, W), bilinear, (B, C, rows,
    columns); the whole by default."""
    if rows is None and columns is None and size == tuple(maps.shape[-2:]):
        return maps
    down = _between(maps.transpose(-1, -2), size[0], rows or (0, size[0])).transpose(-1, -2)
    return _between(down, size[1], columns or (0, size[1]))


def _between(maps: Tensor, side: int, span: Span) -> Tensor:
    """Linear along the last dimension, at the pixels of a span of `side` pixels."""
    small = maps.shape[-1]
    places = (torch.arange(*span, dtype=torch.float64) + 0.5) * (small / side) - 0.5
    places = places.clamp(0, small - 1)
    first = places.floor().long()
    share = (places - first).to(maps)
    first = first.to(maps.device)
    after = (first + 1).clamp_max(small - 1)
    return torch.lerp(maps[..., first], maps[..., after], share)
