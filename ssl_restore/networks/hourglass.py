"""Hourglass network with skip connections that draws a picture from a fixed code: deep image prior.

Convolutions with reflected borders, bilinear up-sampling and batch statistics: such a network
reproduces a picture sooner than noise. Reference: Ulyanov, Vedaldi and Lempitsky, "Deep image
prior", CVPR 2018 (the network is smaller here).

No `build` here: that is for restorers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCALES = 4
INPUT_CHANNELS = 16


class Hourglass(nn.Module):
    """(B, INPUT_CHANNELS, H, W), sides multiples of 2^SCALES, -> (B, channels, H, W) in 0 to 1."""

    def __init__(self, width: int, skip: int = 4, channels: int = 3) -> None:
        super().__init__()
        entries = [INPUT_CHANNELS, *[width] * (SCALES - 1)]
        self.skips = nn.ModuleList(_layer(entry, skip, 1) for entry in entries)
        self.downs = nn.ModuleList(
            nn.Sequential(_layer(entry, width, 3, stride=2), _layer(width, width, 3))
            for entry in entries
        )
        self.ups = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(width + skip),
                _layer(width + skip, width, 3),
                _layer(width, width, 1),
            )
            for _ in entries
        )
        self.head = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        beside = []
        for skip, down in zip(self.skips, self.downs, strict=True):
            beside.append(skip(x))
            x = down(x)
        for kept, up in zip(reversed(beside), reversed(self.ups), strict=True):
            wide = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = up(torch.cat([wide, kept], dim=1))
        return torch.sigmoid(self.head(x).float())


def _layer(entry: int, width: int, side: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(entry, width, side, stride, side // 2, padding_mode="reflect"),
        nn.BatchNorm2d(width),
        nn.LeakyReLU(0.2, inplace=True),
    )
