"""Deconvolution with a known kernel and a sparse prior on gradients, free of border ringing.

    min_J  1/2 |m (k * J - I)|^2 + weight * sum |grad J|        (total variation of all channels)

J reaches beyond the picture by the reach of the kernel, where nothing is known (m = 0), so that
nothing is assumed of the border. Where I is saturated, k * J may be brighter than I but not darker.
Solved by ADMM with v = k * J and w = grad J; all linear steps are FFTs on a torus.

References: Wang, Yang, Yin and Zhang, "A new alternating minimization algorithm for total variation
image reconstruction", SIAM J. Imaging Sciences 2008 (splitting of grad J); Almeida and Figueiredo,
"Deconvolving images with unknown boundaries using the alternating direction method of multipliers",
IEEE TIP 2013, section III (splitting of k * J under a mask).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional as F

from ssl_restore.solvers import pieces

RHO_DATA = 0.05  # penalty of v = k * J
RHO_EDGES = 200.0  # penalty of w = grad J, times the weight of the prior
ITERATIONS = 30
PIECE_PX = 1024  # a larger picture is taken apart
MARGIN_PX = 16  # of a piece, besides the reach of the kernel
LEAST_POWER = 1e-9  # of a frequency, where neither kernel nor gradient has any


def transfer(kernel: Tensor, size: torch.Size) -> Tensor:
    """Transform of a centred kernel (K, K), as of `rfft2` of `size` (H, W)."""
    height, width = size
    side = len(kernel)
    spread = F.pad(kernel, (0, width - side, 0, height - side))
    return torch.fft.rfft2(spread.roll((-(side // 2), -(side // 2)), (0, 1)))


def differences(image: Tensor) -> Tensor:
    """Forward differences down and to the right on a torus, (C, H, W) -> (2, C, H, W)."""
    return torch.stack([image.roll(-1, -2) - image, image.roll(-1, -1) - image])


def divergence(edges: Tensor) -> Tensor:
    """The adjoint of `differences`, (2, C, H, W) -> (C, H, W)."""
    down, right = edges
    return down.roll(1, -2) - down + right.roll(1, -1) - right


def gradient_power(size: torch.Size, like: Tensor) -> Tensor:
    """|transform of `differences`|^2, summed, as of `rfft2` of `size`: (H, W // 2 + 1)."""
    height, width = size

    def of_axis(length: int, count: int) -> Tensor:
        turns = torch.arange(count, device=like.device, dtype=like.dtype) / length
        return 2 - 2 * (2 * torch.pi * turns).cos()

    return of_axis(height, height)[:, None] + of_axis(width, width // 2 + 1)


def on_torus(image: Tensor, extra: int) -> Tensor:
    """An image (C, H, W), and `extra` px or a few more after it on both axes.

    What is added fades from one edge, mirrored, to the opposite one.
    """
    for axis in (-2, -1):
        length = image.shape[axis]
        added = next_fast_len(length + extra, real=True) - length
        place = torch.arange(added, device=image.device)
        share = ((place + 0.5) / max(1, added)).to(image)
        share = (share.square() * (3 - 2 * share)).unsqueeze(-1 if axis == -2 else 0)
        after = image.index_select(axis, length - 1 - _mirrored(place, length))
        before = image.index_select(axis, _mirrored(added - 1 - place, length))
        image = torch.cat([image, torch.lerp(after, before, share.expand_as(after))], dim=axis)
    return image


def _mirrored(place: Tensor, length: int) -> Tensor:
    place = place.remainder(2 * length)
    return torch.minimum(place, 2 * length - 1 - place)


def deconvolve(
    image: Tensor,
    kernel: Tensor,
    *,
    weight: float,
    saturated: Tensor | None = None,
    iterations: int = ITERATIONS,
    until: float | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Tensor:
    """J (C, H, W) of an image and its kernel, which acts on the values as they are.

    Args:
        image: (C, H, W).
        kernel: (K, K), K odd, of sum one, from the middle down and right.
        weight: Of the prior.
        saturated: (C, H, W), where the image is cut off at white; None: nowhere.
        iterations: Of ADMM.
        until: Time of `time.monotonic` from which no iteration begins, but the first.
        progress: Called with the share of the iterations that is done.
    """
    height, width = image.shape[-2:]
    inside = (slice(None), slice(height), slice(width))
    x = on_torus(image, 2 * (len(kernel) // 2))
    size = x.shape[-2:]
    k = transfer(kernel, size)
    rho_edges = RHO_EDGES * weight
    power = RHO_DATA * k.abs().square() + rho_edges * gradient_power(size, x)
    power = power.clamp_min(LEAST_POWER)
    blurred, edges = torch.fft.irfft2(k * torch.fft.rfft2(x), s=size), differences(x)
    blurred_dual, edges_dual = torch.zeros_like(blurred), torch.zeros_like(edges)
    for step in range(iterations):
        if step > 0 and until is not None and time.monotonic() > until:
            break
        v = blurred + blurred_dual
        fitted = (image + RHO_DATA * v[inside]) / (1 + RHO_DATA)
        if saturated is not None:
            fitted = torch.where(saturated, torch.maximum(fitted, v[inside]), fitted)
        v[inside] = fitted
        blurred_dual += blurred - v
        w = _shrink(edges + edges_dual, weight / rho_edges)
        edges_dual += edges - w
        spectrum = RHO_DATA * k.conj() * torch.fft.rfft2(v - blurred_dual)
        spectrum = spectrum + rho_edges * torch.fft.rfft2(divergence(w - edges_dual))
        spectrum = spectrum / power
        x, blurred = torch.fft.irfft2(torch.stack([spectrum, k * spectrum]), s=size)
        edges = differences(x)
        progress((step + 1) / iterations)
    return x[inside]


def _shrink(edges: Tensor, threshold: float) -> Tensor:
    """Vectors of both directions and all channels, (2, C, H, W), shorter by the threshold."""
    size = edges.square().mean(dim=1, keepdim=True).sum(dim=0, keepdim=True).sqrt()
    return edges * (1 - threshold / size.clamp_min(threshold))


def deconvolve_large(
    image: Tensor,
    kernel: Tensor,
    *,
    weight: float,
    saturated: Tensor,
    seconds: float | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Tensor:
    """`deconvolve` of a picture of any size, in pieces that fade into each other."""
    height, width = image.shape[-2:]
    margin = MARGIN_PX + len(kernel) // 2
    tiles = list(pieces.split(height, width, PIECE_PX, margin))
    total, weights, start = (
        torch.zeros_like(image),
        image.new_zeros(height, width),
        time.monotonic(),
    )
    for number, tile in enumerate(tiles):
        window = (..., tile.window_rows, tile.window_columns)

        def share_done(share: float, number: int = number) -> None:
            progress((number + share) / len(tiles))

        until = None if seconds is None else start + (number + 1) / len(tiles) * seconds
        part = deconvolve(
            image[window], kernel, weight=weight, saturated=saturated[window], until=until,
            progress=share_done,
        )  # fmt: skip
        faded = pieces.weight(tile, height, width, margin).to(part)
        total[window] += faded * part
        weights[window] += faded
    return total / weights
