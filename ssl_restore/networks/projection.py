"""Projection head of contrastive learning: features -> points on the unit sphere.

    z = g(mean_xy h) / |...|  of a picture,     z = g(h_xy) / |...|  of a place in it

g is a two-layer perceptron.

The head is trained and thrown away; the restorer keeps its encoder (Chen et al., "A simple
framework for contrastive learning", ICML 2020, section 4.2).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ProjectionHead(nn.Module):
    """(B, C, H, W) -> (B, size), each row of length one; `places` (..., C) -> (..., size)."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"the size of an embedding must be at least 1, got {size}")
        self.layers = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, size)
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.places(features.mean(dim=(2, 3)))

    def places(self, vectors: Tensor) -> Tensor:
        return F.normalize(self.layers(vectors).float(), dim=-1)
