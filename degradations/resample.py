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

from .types import Range, Shape, check_batch, check_image, check_values, uniform


@dataclass(frozen=True)
class ResampleParams:
    """Parameters of `resample`, one row an image.

    Example:
        >>> ResampleParams(stretch=torch.ones(1), factor=4).factor
        4
    """

    stretch: Tensor  # (B,) width of the kernel, in coarse pixels; 1 is free of aliasing
    factor: int = 2  # fine pixels a coarse one, along each axis


def _cubic(distance: Tensor) -> Tensor:
    x = distance.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def resampling(size: int, params: ResampleParams, like: Tensor) -> Tensor:
    """W: what one axis of each image is multiplied by.

        W[i, j] = k((i + 1/2 - (j + 1/2) / factor) / stretch),   rows sum to one

    Args:
        size: pixels along the axis.
        params: one row an image.
        like: the images, of which number, device and dtype count.

    Returns:
        (B, max(1, size // factor), size).

    Raises:
        ValueError: for a factor below 1 and a stretch that is not above 0.

    Example:
        >>> resampling(4, ResampleParams(torch.ones(1)), torch.zeros(1, 1, 4, 4))
        tensor([[[ 0.4587,  0.4587,  0.1198, -0.0372],
                 [-0.0372,  0.1198,  0.4587,  0.4587]]])
    """
    check_values("factor", params.factor, "fine pixels a coarse one", 1)
    check_values("stretch", params.stretch, "coarse pixels", above=True)
    if len(params.stretch) != len(like):
        raise ValueError(f"{len(like)} images need as many stretches, got {len(params.stretch)}")
    fine = (torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) / params.factor
    count = max(1, size // params.factor)
    coarse = torch.arange(count, device=like.device, dtype=like.dtype) + 0.5
    stretch = params.stretch.to(like).view(-1, 1, 1)
    weights = _cubic((coarse[:, None] - fine) / stretch)
    return weights / weights.sum(dim=2, keepdim=True)


def resample(image: Tensor, params: ResampleParams) -> Tensor:
    """W_y J W_x^T: filtered and sampled on a coarser grid; linear in the image.

    Args:
        image: (B, C, H, W).
        params: one row an image.

    Returns:
        (B, C, H // factor, W // factor), each side at least 1.

    Example:
        >>> resample(torch.full((1, 1, 4, 4), 0.3), ResampleParams(torch.ones(1)))
        tensor([[[[0.3000, 0.3000],
                  [0.3000, 0.3000]]]])
    """
    check_image(image)
    rows = resampling(image.shape[-2], params, image)
    columns = resampling(image.shape[-1], params, image)
    return torch.einsum("bih,bchw,bjw->bcij", rows, image, columns)


def resample_adjoint(coarse: Tensor, size: tuple[int, int], params: ResampleParams) -> Tensor:
    """W_y^T I W_x, the adjoint of `resample`: <A x, y> = <x, A^T y>.

    Args:
        coarse: (B, C, H, W).
        size: (height, width) of the fine image.
        params: one row an image.

    Returns:
        (B, C, *size).

    Example:
        >>> coarse = resample_adjoint(torch.ones(1, 1, 2, 2), (4, 4), ResampleParams(torch.ones(1)))
        >>> coarse.shape, coarse.sum().round()
        (torch.Size([1, 1, 4, 4]), tensor(4.))
    """
    check_batch(coarse)
    rows, columns = (resampling(side, params, coarse) for side in size)
    return torch.einsum("bih,bcij,bjw->bchw", rows, coarse, columns)


@dataclass(frozen=True)
class Resample:
    """Prior over the sharpness of smaller pictures.

    Example:
        >>> small = degrade(torch.zeros(1, 3, 9, 6), Resample(3), torch.Generator().manual_seed(0))
        >>> small.shape
        torch.Size([1, 3, 3, 2])
    """

    factor: int = 2
    stretch: Range = (0.8, 1.2)

    apply = staticmethod(resample)

    def __post_init__(self) -> None:
        check_values("factor", self.factor, "fine pixels a coarse one", 1)
        check_values("stretch", self.stretch, "coarse pixels", above=True)

    def sample(self, shape: Shape, generator: torch.Generator) -> ResampleParams:
        return ResampleParams(uniform(self.stretch, shape[:1], generator), self.factor)
