"""Salt and pepper: broken pixels that are black or white, all colours of them or one by one.

    I = v with chance `share`, else J,   v = 1 with chance `salt`, else 0

Display values; not zero-mean. `break_pixels` puts in what was drawn. Reference: Gonzalez and Woods,
"Digital image processing", 4th edition, section 5.2 (salt-and-pepper noise).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .lost_pixels import LOST, ImpulseParams, break_pixels, sample_ranks
from .noise import redraw_grain
from .types import Range, Shape, check_values, uniform


@dataclass(frozen=True)
class SaltPepper:
    """Prior over the share of broken pixels, and of white ones among them.

    Example:
        >>> noise = SaltPepper(share=(0.5, 0.5), salt=(1, 1))
        >>> params = noise.sample((1, 3, 8, 8), torch.Generator().manual_seed(0))
        >>> params.share, params.value.unique()
        (tensor([0.5000]), tensor([1.]))
    """

    share: Range = (0.005, 0.2)
    salt: Range = (0.2, 0.8)
    apart: float = 0.3  # chance that colours break one by one

    apply = staticmethod(break_pixels)
    at_frame = redraw_grain

    def __post_init__(self) -> None:
        check_values("share", self.share, LOST, 0, 1)
        check_values("salt", self.salt, "share of the broken pixels", 0, 1)
        check_values("apart", self.apart, "chance of an image", 0, 1)

    def sample(self, shape: Shape, generator: torch.Generator) -> ImpulseParams:
        batch, channels = shape[:2]
        share = uniform(self.share, (batch,), generator)
        salt = uniform(self.salt, (batch,), generator).view(-1, 1, 1, 1)
        apart = torch.rand(batch, generator=generator).view(-1, 1, 1, 1) < self.apart
        value = (torch.rand(shape, generator=generator) < salt).float()
        size = (batch * channels, 1, *shape[2:])
        rank = sample_ranks(size, generator).view(shape)
        return ImpulseParams(
            share,
            torch.where(apart, rank, rank[:, :1]),
            torch.where(apart, value, value[:, :1]),
        )
