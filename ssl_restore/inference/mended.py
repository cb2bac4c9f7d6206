"""A restorer on pictures with broken pixels, which are mended first.

    restored = f(I'),   I' = the median of the 8 neighbours where a pixel is broken, else I

For restorers that take single pixels for detail. A pixel is broken that is too far from that median
and has too few neighbours like it. The limits are those that were measured of the whole picture
(`calibration.broken_pixels`), so that a tile is mended as the picture is. Reference: Garnett,
Huegerich, Chui and He, "A universal noise removal algorithm with an impulse detector", IEEE TIP
2005 (neighbours that are alike).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_restore.calibration.broken_pixels import Limits, median_of_8
from ssl_restore.restorer import Restorer, Wrapped


class Mended(Wrapped):
    """image (B, 3, H, W), sides multiples of `stride`, -> restored, the same shape."""

    def __init__(self, inner: Restorer, limits: Limits) -> None:
        super().__init__(inner)
        self.reach = inner.reach + 1
        self.limits = limits

    def forward(self, image: Tensor, *maps: Tensor) -> Tensor:
        return self.inner(mended(image, self.limits), *maps)


def mended(image: Tensor, limits: Limits) -> Tensor:
    """The image (B, C, H, W) with its broken pixels replaced by the median around them."""
    neighbours = neighbours_of(image)
    around = median_of_8(neighbours, torch.minimum, torch.maximum)
    edges, far = image.new_tensor(limits.edges), image.new_tensor(limits.limits)
    limit = far[torch.bucketize(around.contiguous(), edges, right=True)]
    alike = torch.zeros_like(image, dtype=torch.uint8)
    for neighbour in neighbours:
        alike += (neighbour - image).abs() <= limit / 2
    broken = ((image - around).abs() > limit) & (alike < limits.alike)
    return torch.where(broken, around, image)


def neighbours_of(image: Tensor) -> list[Tensor]:
    """The 8 neighbours of every pixel; the border mirrors where that is possible, else it is
    repeated."""
    height, width = image.shape[-2:]
    wide = F.pad(image, (1, 1, 1, 1), mode="reflect" if min(height, width) > 1 else "replicate")
    return [
        wide[..., row : row + height, column : column + width]
        for row in range(3)
        for column in range(3)
        if (row, column) != (1, 1)
    ]
