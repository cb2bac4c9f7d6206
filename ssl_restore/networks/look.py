"""A look at the whole picture at a small size: a U-Net, and what it makes of all of the picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.networks.unet import Decoder, Encoder
from ssl_restore.networks.zeroed import zeroed

FOLD = 2  # pixels of the look to a side of one of the prediction


class Look(nn.Module):
    """(B, 3, h, w) -> maps (B, `channels`, h / 2, w / 2), rounded up, and means (B, `deepest`).

    The mean of the deepest features goes back into them, so that each place knows of all others.
    Untrained, the maps are zero.
    """

    def __init__(self, width: int, blocks: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.deepest = width * 2 ** (len(blocks) - 1)
        self.multiple = FOLD * 2 ** len(blocks)
        self.encoder = Encoder(width, blocks, channels=3 * FOLD**2)
        self.decoder = Decoder(width, blocks, channels=channels)
        self.mean_norm = nn.LayerNorm(self.deepest)  # what residual blocks add up to has no scale
        self.whole = zeroed(nn.Linear(self.deepest, self.deepest))

    def forward(self, small: Tensor) -> tuple[Tensor, Tensor]:
        height, width = small.shape[-2:]
        down, right = -height % self.multiple, -width % self.multiple
        padded = F.pad(small, (0, right, 0, down), mode="replicate")
        features = self.encoder(F.pixel_unshuffle(padded, FOLD))
        mean = self.mean_norm(features[-1].mean(dim=(2, 3)))
        features[-1] = features[-1] + self.whole(mean)[:, :, None, None]
        height, width = folded((height, width))
        return self.decoder(features).float()[..., :height, :width], mean


def folded(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the maps of a look of this size."""
    return (size[0] + FOLD - 1) // FOLD, (size[1] + FOLD - 1) // FOLD


def both_ways(look: Callable[[Tensor], Tensor], small: Tensor) -> Tensor:
    """The mean of the maps of a picture and of its mirror image, mirrored back."""
    straight, mirrored = look(torch.cat([small, small.flip(3)])).chunk(2)
    return (straight + mirrored.flip(3)) / 2
