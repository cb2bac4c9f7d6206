"""Distances between pictures."""

from __future__ import annotations

from torch import Tensor

EPS, FLOOR = 0.01, 0.03


def charbonnier(error: Tensor, eps: float = EPS, weight: Tensor | None = None) -> Tensor:
    """w (sqrt(e^2 + eps^2) - eps), averaged over each image: (B, C, H, W) -> (B,).

    Squared below eps, absolute above, zero for equal pictures; w is 1 without a weight. Reference:
    Charbonnier et al., ICIP 1994; as a restoration loss: Lai et al., CVPR 2017.
    """
    distance = (error.square() + eps**2).sqrt() - eps
    return (distance if weight is None else weight * distance).mean(dim=(1, 2, 3))


def relative(distances: Tensor, floor: float = FLOOR) -> Tensor:
    """mean_i log(1 + d_i / floor) over the images of a batch; (B,) -> scalar, zero if equal.

    Between the plain mean (a large floor) and the logarithm that PSNR takes (floor 0): a light
    rain weighs nearly as much as a storm, and a picture without rain is kept.
    """
    return (distances / floor).log1p().mean()
