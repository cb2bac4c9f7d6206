"""Projection head of contrastive learning: pooled features -> a point on the unit sphere.

    z = g(mean_xy h) / |...|,     g a two-layer perceptron

The head is trained and thrown away; the restorer keeps its encoder (Chen et al., "A simple
framework for contrastive learning", ICML 2020, section 4.2).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ProjectionHead(nn.Module):
    """(B, C, H, W) -> (B, size), each row of length one."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, size)
        )

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(self.layers(features.mean(dim=(2, 3))).float(), dim=1)
