"""Quantisation of a narrow range: a file that uses its values up to a white level below its own.

    I = white round(clip(J, 0, 1) levels) / levels,    levels = 2^bits - 1

10 bits in a file of 16 are levels = 1023 and white = 1023 / 65535; an underexposed picture of 8
bits is like it. Display values of the file; the gradient of rounding is that of the identity
(`sensor.quantise`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .sensor import quantise
from .types import Range, Shape, check_image, check_values, per_image, uniform

_OF_RANGE = "share of the range of the file"


@dataclass(frozen=True)
class NarrowRangeParams:
    """Parameters of `narrow_range`, one row an image.

    Example:
        >>> NarrowRangeParams(torch.tensor([1023]), torch.tensor([1023 / 65535])).white
        tensor([0.0156])
    """

    levels: Tensor  # (B,) whole number of steps between black and white
    white: Tensor  # (B,) value of white, share of the range of the file


def narrow_range(image: Tensor, params: NarrowRangeParams) -> Tensor:
    """white round(clip(J, 0, 1) levels) / levels.

    Args:
        image: (B, C, H, W) display values.
        params: one row an image.

    Returns:
        (B, C, H, W) in [0, white].

    Raises:
        ValueError: for levels below 1, and a white that is not above 0 and at most 1.

    Example:
        >>> params = NarrowRangeParams(torch.tensor([2]), torch.tensor([0.5]))
        >>> narrow_range(torch.tensor([[[[-0.1, 0.4, 1.0]]]]), params)
        tensor([[[[0.0000, 0.2500, 0.5000]]]])
    """
    check_image(image)
    check_values("levels", params.levels, "steps", 1)
    check_values("white", params.white, _OF_RANGE, 0, 1, above=True)
    stored = quantise(image, per_image(params.levels, image))
    return per_image(params.white, image) * stored


@dataclass(frozen=True)
class NarrowRange:
    """Prior over bits, whole numbers, and white levels, log-uniformly.

    Example:
        >>> ten = NarrowRange(bits=(10, 10), white=(1023 / 65535, 1023 / 65535))
        >>> ten.sample((1, 3, 8, 8), torch.Generator().manual_seed(0)).levels
        tensor([1023])
    """

    bits: Range = (6.0, 14.0)
    white: Range = (1 / 64, 1.0)

    apply = staticmethod(narrow_range)

    def __post_init__(self) -> None:
        check_values("bits", self.bits, "of a value", 1, 16)
        check_values("white", self.white, _OF_RANGE, 0, 1, above=True)

    def sample(self, shape: Shape, generator: torch.Generator) -> NarrowRangeParams:
        bits = uniform(self.bits, shape[:1], generator).round().long()
        return NarrowRangeParams(2**bits - 1, uniform(self.white, shape[:1], generator, log=True))
