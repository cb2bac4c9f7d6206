"""Exclusion of gradients: an edge belongs to one of two layers, not to both."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = 3
EPS = 1e-4  # mean gradient that counts as none


def exclusion(one: Tensor, other: Tensor, scales: int = SCALES) -> Tensor:
    """Sum over the scales of the mean squares of Psi, along both axes; a scalar.

        Psi = tanh(l1 |grad one|) tanh(l2 |grad other|),   l1 = sqrt(|grad other| / |grad one|)

    and l2 = 1 / l1, of root-mean-square gradients, so that a faint layer counts as much as a strong
    one. Zero where no pixel has an edge of both. Each scale is the mean of 2 x 2 pixels of the one
    before; a scale that would be less than 2 pixels wide is left out. Values in display units.

    Args:
        one: (B, C, H, W).
        other: The same, or with one channel.
        scales: At most.

    Reference: Zhang, Ng and Chen, "Single image reflection separation with perceptual losses", CVPR
    2018, eq. 5; as used by Gandelsman, Shocher and Irani, "Double-DIP", CVPR 2019, eq. 2.

    Example:
        >>> flat = torch.full((1, 3, 8, 8), 0.5)
        >>> exclusion(flat, torch.rand(1, 3, 8, 8)).item()
        0.0
    """
    total = one.new_zeros(())
    for _ in range(scales):
        for dim in (2, 3):
            if min(one.shape[dim], other.shape[dim]) > 1:
                total = total + _overlap(one.diff(dim=dim), other.diff(dim=dim))
        if min(one.shape[2:]) < 4:
            break
        one, other = F.avg_pool2d(one, 2), F.avg_pool2d(other, 2)
    return total


def _overlap(one: Tensor, other: Tensor) -> Tensor:
    ratio = ((_strength(other) + EPS) / (_strength(one) + EPS)).sqrt()
    return (torch.tanh(ratio * one) * torch.tanh(other / ratio)).square().mean()


def _strength(gradient: Tensor) -> Tensor:
    """Root mean square; its own gradient is finite for a flat layer, too."""
    return (gradient.square().mean() + EPS**2).sqrt()
