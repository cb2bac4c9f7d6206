"""Neighbor2Neighbor: two neighbouring pixels of every cell are two observations of one scene.

    observed      |f(g1(y)) - g2(y)|^2
    consistent    |f(g1(y)) - g2(y) - (g1(f(y)) - g2(f(y)))|^2

g1 and g2 take one pixel of every 2 x 2 cell each, drawn anew, side by side or one above the other.
They do not show quite the same scene; the second term takes that difference, as it is in the
restored picture, out of the first. It gains weight as training goes on. f(y) is that of the
averaged restorer, without a gradient: statistics of whole and of smaller pictures are not mixed.
The noise must be independent from pixel to pixel: on noise that neighbours share, f learns to keep
it. `shuffle` looks at every so many-th pixel only. Reference: Huang et al., "Neighbor2Neighbor:
self-supervised denoising from single noisy images", CVPR 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.networks.shuffled import split
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

# Pixels of a cell are counted 0 1 / 2 3: every ordered pair of neighbours.
PAIRS = torch.tensor([(0, 1), (1, 0), (0, 2), (2, 0), (1, 3), (3, 1), (2, 3), (3, 2)])


class Neighbor2Neighbor(nn.Module):
    """Terms: `observed`, `consistent`.  Needs degraded patches only; a `share` of them is looked at
    by the second term, as restoring them whole costs more than a step on their neighbours."""

    def __init__(self, restorer: Restorer, ema: Restorer, share: float, shuffle: int) -> None:
        super().__init__()
        self.restorer = restorer
        self.ema = ema
        self.share = share
        self.shuffle = shuffle

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.degraded is not None
        noisy = split(batch.degraded, self.shuffle)
        pick = draw_neighbors(noisy, generator)
        source, target = take_neighbors(noisy, pick)
        error = self.restorer(source) - target
        count = max(1, round(self.share * len(noisy)))
        with torch.no_grad():
            expected, beside = take_neighbors(self.ema(noisy[:count]), pick[:, :count])
        change = (error[:count] - (expected - beside)).square().mean()
        return {"observed": error.square().mean(), "consistent": batch.progress * change}


def draw_neighbors(image: Tensor, generator: torch.Generator) -> Tensor:
    """(2, B, 1, H/2, W/2): of every cell the numbers of two neighbouring pixels, in any order."""
    batch, _, height, width = image.shape
    drawn = torch.randint(len(PAIRS), (batch, 1, height // 2, width // 2), generator=generator)
    return PAIRS[drawn].movedim(-1, 0).to(image.device)


def take_neighbors(image: Tensor, pick: Tensor) -> tuple[Tensor, Tensor]:
    """The two pictures (B, C, H/2, W/2) that `pick` takes from an image (B, C, H, W)."""
    batch, channels, height, width = image.shape
    cells = F.pixel_unshuffle(image, 2).view(batch, channels, 4, height // 2, width // 2)
    one, other = (
        cells.gather(2, which[:, :, None].expand(-1, channels, -1, -1, -1))[:, :, 0]
        for which in pick
    )
    return one, other
