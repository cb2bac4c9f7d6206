"""A gating network: which restorer of a mixture suits a picture, and has it rain at all.

    z = head(mean, deviation and largest of every feature over all windows of the picture)

A restorer sees a picture through its receptive field; whether it rains, and how, is a matter of all
of it. The features are those of the encoder of a restorer, which has learned to see rain.
Reference: Jacobs, Jordan, Nowlan and Hinton, "Adaptive mixtures of local experts", Neural
Computation 1991.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_restore.io import images
from ssl_restore.io.picture import Pixels
from ssl_restore.networks import named

FORMAT = 1
NAMES = ("rain", "camera")  # log odds of rain, and of the second restorer against the first
STATISTICS = 3
WINDOW_PX = 256
ALONG = 3  # windows at most along a side
SMALL_PX = 128  # side that is seen whole
MULTIPLE = 16  # of sides of a window


class Gate(nn.Module):
    """Feature maps of K windows of one picture, (K, C_l, h_l, w_l) each -> log odds (len(NAMES),).

    Args:
        channels: Those of the maps together.
        width: Of the head.

    Example:
        >>> gate = Gate(12)
        >>> gate([torch.zeros(2, 4, 16, 16), torch.zeros(2, 8, 8, 8)]).shape
        torch.Size([2])
    """

    mean: Tensor  # of the statistics, over pictures
    spread: Tensor

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        self.keywords = {"channels": channels, "width": width}
        seen = STATISTICS * channels
        self.register_buffer("mean", torch.zeros(seen))
        self.register_buffer("spread", torch.ones(seen))
        self.head = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(seen, width), nn.GELU(), nn.Dropout(0.3),
            nn.Linear(width, len(NAMES)),
        )  # fmt: skip

    def told(self, statistics: Tensor) -> Tensor:
        """Of pictures (B, 3 C), as `statistics` has them -> log odds (B, len(NAMES))."""
        found: Tensor = self.head((statistics - self.mean) / self.spread)
        return found

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return self.told(statistics(maps)[None])[0]

    def save(self, path: Path) -> None:
        named.save(self, path, keywords=self.keywords, names=NAMES, version=FORMAT)


def statistics(maps: Sequence[Tensor]) -> Tensor:
    """(3 C,) of all windows of one picture: mean, logarithm of the deviation, and of the largest,
    of each feature."""
    found = []
    for features in maps:
        flat = features.float().transpose(0, 1).flatten(1)
        deviation = flat.var(dim=1, correction=0).add(1e-6).sqrt()
        found += [flat.mean(dim=1), deviation.log(), flat.amax(dim=1).clamp_min(1e-3).log()]
    return torch.cat(found)


def places(height: int, width: int, seen: float) -> list[tuple[slice, slice]]:
    """Rows and columns of at most 9 windows of one size, evenly spread over a picture from edge to
    edge, at its own resolution: of the share `seen` of its sides, of a small one all, of a large
    one less."""

    def parts(side: int) -> list[slice]:
        count = min(ALONG, math.ceil(side / WINDOW_PX))
        share = 1.0 if side <= SMALL_PX else seen
        own = min(WINDOW_PX, MULTIPLE * math.ceil(share * side / count / MULTIPLE))
        starts = (round((side - own) * number / max(1, count - 1)) for number in range(count))
        return [slice(max(0, start), max(0, start) + own) for start in starts]

    return [(rows, columns) for rows in parts(height) for columns in parts(width)]


def looked_at(pixels: Pixels, seen: float) -> Tensor:
    """The windows of a picture (H, W, 1 or 3): (K, 3, h, w), display values."""
    height, width = pixels.shape[:2]
    parts = (pixels[rows, columns] for rows, columns in places(height, width, seen))
    return torch.cat([images.to_tensor(part) for part in parts])


def load(path: Path) -> Gate:
    """The gate in a safetensors file; UserError for one of another version."""
    return named.load(Gate, path, what="a gate", names=NAMES, version=FORMAT)
