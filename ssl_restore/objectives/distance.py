"""Distances between pictures."""

from __future__ import annotations

from torch import Tensor


def charbonnier(error: Tensor, eps: float = 0.01) -> Tensor:
    """sqrt(e^2 + eps^2) - eps, averaged over each image: (B, C, H, W) -> (B,).

    Squared below eps, absolute above, zero for equal pictures. Reference: Charbonnier et al.,
    ICIP 1994; as a restoration loss: Lai et al., CVPR 2017.
    """
    return ((error.square() + eps**2).sqrt() - eps).mean(dim=(1, 2, 3))


def relative(distances: Tensor, floor: float = 0.03) -> Tensor:
    """mean_i log(1 + d_i / floor) over the images of a batch; (B,) -> scalar, zero if equal.

    Between the plain mean (a large floor) and the logarithm that PSNR takes (floor 0): a light
    rain weighs nearly as much as a storm, and a picture without rain is kept.
    """
    return (distances / floor).log1p().mean()
