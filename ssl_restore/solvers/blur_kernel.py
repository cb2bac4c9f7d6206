"""The kernel of a blurred picture, from the picture alone.

    I = k * J + n,      k >= 0,  sum k = 1

Coarse to fine over a pyramid, in turn:

    J = argmin |k * J - I|^2 + weight |grad J|_0         half-quadratic splitting
    k = argmin |k * grad J - grad I|^2 + ridge |k|^2     over k >= 0

J is no picture to look at: it has only the salient edges of I, sharpened, and so moves k away from
a single point. At last `weight` falls, and J takes in the finer edges that refine k.

References: Xu, Zheng and Jia, "Unnatural L0 sparse representation for natural image deblurring",
CVPR 2013 (J); Cho and Lee, "Fast motion deblurring", SIGGRAPH Asia 2009 (k from gradients); Levin,
Weiss, Durand and Freeman, "Understanding and evaluating blind deconvolution algorithms", CVPR 2009
(why no sparse prior alone finds k and J together).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from ssl_restore.solvers.deconvolution import (
    differences,
    divergence,
    gradient_power,
    on_torus,
    transfer,
)

LEVEL_RATIO = math.sqrt(0.5)  # of the sides of a picture to those of the next finer one
COARSEST_PX = 5  # side of the kernel there, at most
LEAST_SIDE_PX = 8  # of a picture of the pyramid
TURNS = 5  # of J and k a level
FINAL_TURNS = 4  # more at the finest one, with a falling weight
EDGE_WEIGHT = 8e-3  # of the L0 prior, for values from 0 to 1
LEAST_EDGE_WEIGHT = 1e-3
LARGEST_PENALTY = 1e3  # of the splitting of the gradient, which doubles from 2 weight on
RIDGE = 8.0  # in units of the squared gradient of one pixel from black to white
PEAK_SHARE = 0.05  # of the largest value of a kernel; less is noise
LEAST_PEAK_SHARE = 0.03  # in the final turns
PART_SHARE = 0.1  # of the sum of a kernel; a detached part of less is noise
DESCENT_STEPS = 30


def estimate(
    grey: Tensor,
    side: int,
    *,
    until: float | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Tensor:
    """k (side, side), its centre of mass in the middle.

    Args:
        grey: (H, W), with values over about 0 to 1.
        side: Of the kernel, odd.
        until: Time of `time.monotonic` from which k is not refined further.
        progress: Called with the share that is done.
    """
    steps = levels(side)
    kernel = grey.new_zeros(steps[0][1], steps[0][1])
    middle = len(kernel) // 2
    kernel[middle, middle - 1 : middle + 1] = 0.5
    for number, (scale, here) in enumerate(steps):
        last = number == len(steps) - 1
        small = grey if scale == 1 else _reduced(grey, scale)
        if number > 0:
            kernel = resized(kernel, here)
        for better in refine(small, kernel, final=last):
            kernel = better
            if until is not None and time.monotonic() > until:
                break
        progress((number + 1) / len(steps))
    return kernel


def levels(side: int) -> list[tuple[float, int]]:
    """(scale of the picture, side of the kernel), from coarse to fine; sides are odd."""
    made, scale = [(1.0, side)], 1.0
    while made[-1][1] > COARSEST_PX:
        scale *= LEVEL_RATIO
        made.append((scale, max(3, 2 * round(scale * side / 2) + 1)))
    return made[::-1]


def _reduced(grey: Tensor, scale: float) -> Tensor:
    size = [max(LEAST_SIDE_PX, round(scale * length)) for length in grey.shape]
    return F.interpolate(
        grey[None, None], size, mode="bicubic", antialias=True, align_corners=False
    )[0, 0]


def refine(grey: Tensor, kernel: Tensor, *, final: bool) -> Iterator[Tensor]:
    """Better and better kernels (K, K) of a picture (H, W) at one level."""
    weights = [EDGE_WEIGHT] * TURNS
    if final:
        fall = LEAST_EDGE_WEIGHT / EDGE_WEIGHT
        weights += [EDGE_WEIGHT * fall ** ((t + 1) / FINAL_TURNS) for t in range(FINAL_TURNS)]
    image = on_torus(grey[None], 4 * (len(kernel) // 2))
    power = gradient_power(image.shape[-2:], image)
    known = torch.zeros_like(image)
    known[:, : grey.shape[0] - 1, : grey.shape[1] - 1] = 1  # not across the border
    blurred = (known * differences(image))[:, 0]
    for weight in weights:
        latent = salient_edges(image, transfer(kernel, image.shape[-2:]), power, weight)
        edges = (known * differences(latent))[:, 0]
        ridge = RIDGE * weight / EDGE_WEIGHT
        peak_share = PEAK_SHARE if weight == EDGE_WEIGHT else LEAST_PEAK_SHARE
        kernel = centred(cleaned(least_squares(edges, blurred, len(kernel), ridge), peak_share))
        yield kernel


def salient_edges(image: Tensor, k: Tensor, power: Tensor, weight: float) -> Tensor:
    """J (1, H, W) on a torus; `k` and `power` are transforms of the kernel and of |grad|^2."""
    data, moved = k.abs().square(), k.conj() * torch.fft.rfft2(image)
    latent, penalty = image, 2 * weight
    while penalty < LARGEST_PENALTY:
        edges = differences(latent)
        edges = edges * (edges.square().sum(dim=0) > weight / penalty)
        spectrum = (moved + penalty * torch.fft.rfft2(divergence(edges))) / (data + penalty * power)
        latent = torch.fft.irfft2(spectrum, s=image.shape[-2:])
        penalty *= 2
    return latent


def least_squares(edges: Tensor, blurred: Tensor, side: int, ridge: float) -> Tensor:
    """k (side, side) >= 0 from gradients (2, H, W) of J and of I, by accelerated projected descent.

    The normal equations hold the autocorrelation of grad J over twice the kernel's reach.
    """
    reach, size = side // 2, edges.shape[-2:]
    f = torch.fft.rfft2(edges)
    auto = torch.fft.irfft2(f.abs().square().sum(dim=0), s=size)
    cross = torch.fft.irfft2((f.conj() * torch.fft.rfft2(blurred)).sum(dim=0), s=size)
    rows, columns = (
        torch.arange(-2 * reach, 2 * reach + 1, device=edges.device).remainder(length)
        for length in size
    )
    auto = auto.index_select(0, rows).index_select(1, columns)
    near = slice(reach, reach + side)
    cross = cross.index_select(0, rows[near]).index_select(1, columns[near])
    wide = 6 * reach + 1
    gram = torch.fft.rfft2(auto, s=(wide, wide))
    rate = 1 / (gram.abs().max() + ridge)

    def normal(k: Tensor) -> Tensor:
        spread = torch.fft.irfft2(gram * torch.fft.rfft2(k, s=(wide, wide)), s=(wide, wide))
        within = slice(2 * reach, 2 * reach + side)
        return spread[within, within] + ridge * k

    k = torch.zeros_like(cross)
    ahead, momentum = k, 1.0
    for _ in range(DESCENT_STEPS):
        following = (ahead - rate * (normal(ahead) - cross)).clamp_min(0)
        grown = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (momentum - 1) / grown * (following - k)
        k, momentum = following, grown
    return k


def cleaned(kernel: Tensor, peak_share: float) -> Tensor:
    """A kernel without small values and small detached parts, of sum one; a point if none is left.

    Values below `peak_share` of the largest are small.
    """
    kernel = kernel * (kernel >= peak_share * kernel.max())
    if not kernel.any():
        return point(len(kernel), kernel)
    values = kernel.cpu().numpy()
    labels, count = ndimage.label(values > 0, structure=np.ones((3, 3)))
    sums = ndimage.sum_labels(values, labels, np.arange(count + 1))
    kept = sums >= min(PART_SHARE * values.sum(), sums.max())
    kernel = kernel * torch.from_numpy(kept[labels]).to(kernel.device)
    return kernel / kernel.sum()


def point(side: int, like: Tensor) -> Tensor:
    """The kernel (side, side) of a sharp picture."""
    kernel = like.new_zeros(side, side)
    kernel[side // 2, side // 2] = 1
    return kernel


def centred(kernel: Tensor) -> Tensor:
    """Shifted by whole pixels so that its centre of mass is in the middle; what leaves is lost."""
    side = len(kernel)
    (down, right), _ = moments(kernel)
    wide = F.pad(kernel, (side,) * 4)
    top, left = side + round(down), side + round(right)
    made = wide[top : top + side, left : left + side]
    return made / made.sum()


def moments(kernel: Tensor) -> tuple[tuple[float, float], float]:
    """Centre of mass of a kernel (down, right) from its middle, and radius of gyration; in px."""
    taps = torch.arange(len(kernel), device=kernel.device, dtype=kernel.dtype) - len(kernel) // 2
    down, right = (float((kernel.sum(axis) * taps).sum()) for axis in (1, 0))
    away = (taps[:, None] - down).square() + (taps - right).square()
    return (down, right), float((kernel * away).sum()) ** 0.5


def resized(kernel: Tensor, side: int) -> Tensor:
    """A kernel of one level at the next finer one, (side, side), about its middle."""
    own = 2 * round((len(kernel) / LEVEL_RATIO - 1) / 2) + 1
    made = F.interpolate(kernel[None, None], (own, own), mode="bicubic", align_corners=False)[0, 0]
    extra = (side - own) // 2  # negative: cut
    made = F.pad(made.clamp_min(0), (extra,) * 4)
    return made / made.sum()
