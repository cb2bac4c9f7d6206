"""Fewer pixels: the picture is filtered and sampled on a grid `factor` times as coarse.

    I = W_y J W_x^T,      W[i, j] = k((i + 1/2 - (j + 1/2) / factor) / stretch),   rows sum to one

k is the cubic of Keys (a = -1/2). With stretch 1 the kernel is as much wider as the grid is
coarser and the result is free of aliasing (the `bicubic` of the super-resolution benchmarks);
a smaller stretch aliases, a larger one blurs. It acts on the values that it is given (the
benchmarks: display values). At the border the kernel is cut and its rows sum to one again.

References: Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 1981;
for the adjoint, Hansen, Nagy and O'Leary, "Deblurring images", SIAM 2006.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .types import Range, Shape, uniform


@dataclass(frozen=True)
class ResampleParams:
    stretch: Tensor  # (B,) width of the kernel, in coarse pixels; 1 is free of aliasing
    factor: int = 2  # fine pixels a coarse one, along each axis


def _cubic(distance: Tensor) -> Tensor:
    x = distance.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def resampling(size: int, params: ResampleParams, like: Tensor) -> Tensor:
    """W (B, max(1, size // factor), size): what one axis of each image is multiplied by."""
    if params.factor < 1:
        raise ValueError(f"factor must be at least 1, got {params.factor}")
    fine = (torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) / params.factor
    count = max(1, size // params.factor)
    coarse = torch.arange(count, device=like.device, dtype=like.dtype) + 0.5
    stretch = params.stretch.to(like).view(-1, 1, 1)
    weights = _cubic((coarse[:, None] - fine) / stretch)
    return weights / weights.sum(dim=2, keepdim=True)


def resample(image: Tensor, params: ResampleParams) -> Tensor:
    """W_y J W_x^T: (B, C, H, W) -> (B, C, H // factor, W // factor); linear in the image."""
    rows = resampling(image.shape[-2], params, image)
    columns = resampling(image.shape[-1], params, image)
    return torch.einsum("bih,bchw,bjw->bcij", rows, image, columns)


def resample_adjoint(coarse: Tensor, size: tuple[int, int], params: ResampleParams) -> Tensor:
    """W_y^T I W_x (B, C, *size), the adjoint of `resample`: <A x, y> = <x, A^T y>."""
    rows, columns = (resampling(side, params, coarse) for side in size)
    return torch.einsum("bih,bcij,bjw->bchw", rows, coarse, columns)


@dataclass(frozen=True)
class Resample:
    factor: int = 2
    stretch: Range = (0.8, 1.2)

    apply = staticmethod(resample)

    def sample(self, shape: Shape, generator: torch.Generator) -> ResampleParams:
        return ResampleParams(uniform(self.stretch, shape[:1], generator), self.factor)
