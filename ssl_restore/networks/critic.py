"""A small convolutional critic of patches that sees only the edges: Haar's detail bands.

    haar(x) = (LL, LH, HL, HH),     D(x) = conv(features(LH, HL, HH)),   one score a patch

Without LL it cannot tell pictures by their colours, brightness or composition, in which unpaired
folders differ; rain and what a restorer leaves of it are narrow. Haze is light and colour: for it
the critic sees LL, too. The transform is orthonormal, so a gradient has the same norm in the bands
as in the pixels of the picture.

No `build` here: that is for restorers. References: Haar, Mathematische Annalen 1910; patch scores:
Isola et al., CVPR 2017, section 2.2.2; detail bands for a critic: Wu et al., "A practical
contrastive learning framework for single-image super-resolution", arXiv 2111.13924.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ssl_restore.networks.zeroed import zeroed

GAIN = 8.0  # detail bands of photographs have a deviation of about 1/8 of one
LOW_GAIN = 2.0
SLOPE = 0.2  # of the leaky ReLU below zero
HALVING = (1, 2)  # layers, from 0, with a stride of 2


def haar(image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One level of Haar's transform: (B, C, H, W) -> LL, LH, HL, HH, each (B, C, H/2, W/2).

    Of each square a b / c d of four pixels

        LL = (a + b + c + d) / 2,     LH = (a + b - c - d) / 2   (rows differ),
        HL = (a - b + c - d) / 2   (columns differ),     HH = (a - b - c + d) / 2.

    ValueError for odd sides.
    """
    if image.shape[-2] % 2 or image.shape[-1] % 2:
        raise ValueError(f"Haar's transform needs even sides, got {tuple(image.shape[-2:])}")
    top, bottom = image[..., 0::2, :], image[..., 1::2, :]
    total, rows = (top + bottom) / 2, (top - bottom) / 2

    def left_right(x: Tensor) -> tuple[Tensor, Tensor]:
        left, right = x[..., 0::2], x[..., 1::2]
        return left + right, left - right

    (low, columns), (edges, corners) = left_right(total), left_right(rows)
    return low, edges, columns, corners


class Critic(nn.Module):
    """(B, channels, H, W), display units, sides multiples of 8 -> scores (B, 1, H/8, W/8).

    It has `depth` layers, 3 or more, of which the second and the third halve the size.

    A high score says "as in the folder of clean ones". No norm, so that each picture is judged on
    its own; what keeps it smooth is the penalty of its objective.
    """

    def __init__(
        self, channels: int = 3, width: int = 16, *, low: bool = False, depth: int = 3
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"the critic's width must be at least 1, got {width}")
        self.low = low
        widths = ((3 + low) * channels, *(level * width for level in range(1, depth + 1)))
        layers = [
            nn.Conv2d(before, after, 4 if level in HALVING else 3, 2 if level in HALVING else 1, 1)
            for level, (before, after) in enumerate(pairwise(widths))
        ]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, SLOPE)
        self.layers = nn.ModuleList(layers)
        self.head = zeroed(nn.Conv2d(widths[-1], 1, 3, padding=1))  # untrained: no opinion

    def features(self, image: Tensor) -> list[Tensor]:
        """Feature maps, finest first: (B, width, H/2, W/2), (B, 2 width, H/4, W/4), ..."""
        low, *details = haar(image)
        x = GAIN * torch.cat(details, dim=1)
        if self.low:
            x = torch.cat([x, LOW_GAIN * (low - 1)], dim=1)  # grey is 1
        maps = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            maps.append(x)
        return maps

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image)[-1]).float()


class Featured(Protocol):
    """A network with feature maps, finest first."""

    def features(self, image: Tensor) -> list[Tensor]: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...


class _Features(nn.Module):
    def __init__(self, net: Featured) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> list[Tensor]:
        return self.net.features(image)


def features_at_rest(net: Featured, image: Tensor) -> list[Tensor]:
    """net.features(image) with a gradient for the image only."""
    weights = {f"net.{name}": value.detach() for name, value in net.named_parameters()}
    maps: list[Tensor] = functional_call(_Features(net), weights, image)
    return maps
