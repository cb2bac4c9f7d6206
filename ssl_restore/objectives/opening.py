"""Morphological opening: the coarsest restorer that removes streaks, and a label to start from."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def opening(image: Tensor, length_px: int = 5) -> Tensor:
    """Opening (B, C, H, W) by a horizontal line: what is bright and narrower than it is removed.

        opening(I) = dilation(erosion(I)),   erosion = minimum, dilation = maximum over the line

    Idempotent and never above the image. Reference: Soille, "Morphological image analysis",
    Springer 2003, section 4.1.
    """
    reach = length_px // 2
    if length_px % 2 == 0:
        raise ValueError(f"the line must have an odd length, got {length_px}")

    def dilated(x: Tensor) -> Tensor:
        return F.max_pool2d(x, (1, length_px), stride=1, padding=(0, reach))

    return dilated(-dilated(-image))
