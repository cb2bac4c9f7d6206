"""Noise2Void: a pixel is told from its surroundings, which know the scene but not its noise.

    loss = mean over hidden pixels of |f(y with hidden pixels replaced) - y|^2

One pixel of every cell of 4 x 4 is hidden in all colours: it shows another pixel from the 5 x 5
around it. Needs noise without a mean that is independent from pixel to pixel, or from one to the
next of every `shuffle`-th pixel. Reference: Krull, Buchholz and Jug, "Noise2Void", CVPR 2019
(there 64 pixels of a patch are hidden).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_restore.networks.shuffled import split
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

CELL_PX = 4
RADIUS_PX = 2


class Noise2Void(nn.Module):
    """Terms: `hidden`.  Needs degraded patches only."""

    def __init__(self, restorer: Restorer, shuffle: int) -> None:
        super().__init__()
        self.restorer = restorer
        self.shuffle = shuffle

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.degraded is not None
        noisy = split(batch.degraded, self.shuffle)
        source, hidden = hide(noisy, generator)
        error = (self.restorer(source) - noisy).square().mean(dim=1, keepdim=True)
        return {"hidden": (error * hidden).sum() / hidden.sum()}


def hide(image: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The image (B, C, H, W) with one pixel of every cell replaced, and (B, 1, H, W) of 0 and 1.

    A replacement that would lie outside comes from the mirrored side.
    """
    batch, _, height, width = image.shape
    down, across = -(-height // CELL_PX), -(-width // CELL_PX)
    place = torch.randint(CELL_PX**2, (batch, down, across), generator=generator)
    cell = torch.arange(CELL_PX**2).view(CELL_PX, CELL_PX).repeat(down, across)[:height, :width]
    wide = place.repeat_interleave(CELL_PX, 1).repeat_interleave(CELL_PX, 2)[:, :height, :width]
    side = 2 * RADIUS_PX + 1
    step = torch.randint(side**2 - 1, (batch, height, width), generator=generator)
    step += step >= side**2 // 2  # never the pixel itself
    row = _inside(torch.arange(height).view(1, -1, 1), step // side - RADIUS_PX, height)
    column = _inside(torch.arange(width).view(1, 1, -1), step % side - RADIUS_PX, width)
    hidden = (wide == cell)[:, None].to(image.device)
    number = torch.arange(batch).view(-1, 1, 1)
    other = image.movedim(1, -1)[number, row, column].movedim(-1, 1)
    return torch.where(hidden, other, image), hidden.to(image.dtype)


def _inside(place: Tensor, step: Tensor, size: int) -> Tensor:
    moved = place + step
    return torch.where((moved < 0) | (moved >= size), place - step, moved).clamp(0, size - 1)
