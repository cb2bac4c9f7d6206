"""Pixels that are lost, all channels of them, or broken.

    I = J m / (1 - share),  m = 0 with chance `share`     lost, the others as much brighter
    I = v with chance `share`, else J                     broken, v uniform

Reference: Lehtinen et al., "Noise2Noise", ICML 2018, section 3 (Bernoulli, impulses).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .types import Shape, check_image, check_map, check_values, per_image

_RANKS = 2**24
LOST = "chance of a pixel"
MOST_LOST = 0.999  # those left are as much brighter, so that none left would be infinitely bright


@dataclass(frozen=True)
class BernoulliParams:
    """Parameters of `drop_pixels`, one row an image.

    Example:
        >>> BernoulliParams(torch.tensor([0.5]), torch.zeros(1, 1, 2, 2, dtype=torch.int32)).share
        tensor([0.5000])
    """

    share: Tensor  # (B,) chance that a pixel is lost
    rank: Tensor  # (B, 1, H, W) whole number, uniform below 2^24: lost where below share * 2^24


@dataclass(frozen=True)
class ImpulseParams:
    """Parameters of `break_pixels`, one row an image.

    Example:
        >>> rank = torch.zeros(1, 1, 2, 2, dtype=torch.int32)
        >>> ImpulseParams(torch.tensor([0.5]), rank, torch.ones(1, 3, 2, 2)).share
        tensor([0.5000])
    """

    share: Tensor  # (B,) chance that a pixel is broken
    rank: Tensor  # (B, 1 or C, H, W) as of BernoulliParams
    value: Tensor  # (B, C, H, W) what a broken pixel shows


def hit_pixels(image: Tensor, share: Tensor, rank: Tensor) -> Tensor:
    """Ones where the rank is below share * 2^24, else zeros; to the gradient it is the share
    (straight-through).  (B,) and (B, 1 or C, H, W) -> (B, 1 or C, H, W)."""
    share = per_image(share, image)
    hard = (rank.to(image.device) < share.detach() * _RANKS).to(image.dtype)
    return hard + (share - share.detach())


def drop_pixels(image: Tensor, params: BernoulliParams) -> Tensor:
    """J m / (1 - share), m = 0 in `share` of the pixels: zero-mean.

    Args:
        image: (B, C, H, W).
        params: one row an image.

    Returns:
        (B, C, H, W), not clamped.

    Example:
        >>> rank = torch.tensor([[[[0, 2**24 - 1]]]], dtype=torch.int32)
        >>> drop_pixels(torch.full((1, 1, 1, 2), 0.3), BernoulliParams(torch.tensor([0.5]), rank))
        tensor([[[[0.0000, 0.6000]]]])
    """
    check_image(image)
    check_map("rank", params.rank, image)
    check_values("share", params.share, LOST, 0, MOST_LOST)
    left = 1 - hit_pixels(image, params.share, params.rank)
    return image * left / (1 - per_image(params.share, image))


def break_pixels(image: Tensor, params: ImpulseParams) -> Tensor:
    """v in `share` of the pixels, J elsewhere: not zero-mean.

    Args:
        image: (B, C, H, W).
        params: one row an image.

    Returns:
        (B, C, H, W), not clamped.

    Example:
        >>> rank = torch.tensor([[[[0, 2**24 - 1]]]], dtype=torch.int32)
        >>> params = ImpulseParams(torch.tensor([0.5]), rank, torch.ones(1, 1, 1, 2))
        >>> break_pixels(torch.full((1, 1, 1, 2), 0.3), params)
        tensor([[[[1.0000, 0.3000]]]])
    """
    check_image(image)
    check_map("rank", params.rank, image)
    check_map("value", params.value, image)
    check_values("share", params.share, LOST, 0, 1)
    return torch.lerp(image, params.value.to(image), hit_pixels(image, params.share, params.rank))


def sample_ranks(shape: Shape, generator: torch.Generator) -> Tensor:
    size = (shape[0], 1, *shape[2:])
    return torch.randint(_RANKS, size, generator=generator, dtype=torch.int32)
