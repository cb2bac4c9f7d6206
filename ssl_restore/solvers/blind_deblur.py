"""Blind deblurring: the kernel of camera shake or defocus is found, and the blur undone with it.

    I = k * J + n,     k the same everywhere

The kernel is found on the part of the picture with most edges (`blur_kernel`), once for display
values and once for linear light; the spectrum of the picture tells which of them the blur acted on,
and whether there is any (`blur_evidence`). Then the picture is deconvolved with it
(`deconvolution`). A picture that shows no blur stays as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from degradations.color import to_display, to_linear
from ssl_restore.errors import UserError
from ssl_restore.solvers import blur_evidence, blur_kernel
from ssl_restore.solvers.deconvolution import deconvolve_large

TASKS = ("deblur",)
LEAST_PX = 32  # side of a picture in which a kernel can be found
FIRST_PX = 31  # side of the kernel that is tried first
LARGEST_PX = 151
LARGEST_SHARE = 3  # a kernel that is sought has a third of the picture's side at most
LOOK_PX = 512  # longest side of the reduced picture that tells how large the kernel is
CROP_PX, CROP_KERNELS, LARGEST_CROP_PX = 384, 8, 768  # at least; in sides of the kernel; at most
RIM_SHARE = 0.02  # of a kernel on the rim of its square, from which the square is too small
GROWN = 1.6  # side of the next square
SMALLEST_RADIUS_PX = 1.0  # of gyration; a smaller kernel is that of a sharp picture
LEAST_SUPPORT = 0.35  # by the spectrum; blurred photographs have 0.43 or more, sharp ones 0.32
WEIGHT = {False: 1e-3, True: 5e-4}  # of the prior, without noise; for linear light
NOISE_WEIGHT = 7.0  # more for its variance
LEAST_RANGE = 0.25  # of grey values; darker pictures are not stretched further
KERNEL_TIME = 0.5  # share of `seconds`


@dataclass(frozen=True)
class Found:
    """A kernel, and what speaks for it."""

    kernel: Tensor  # (K, K)
    linear: bool  # it acted on linear light
    support: float


def solve(
    image: Tensor,
    *,
    kernel_px: int | None = None,
    weight: float | None = None,
    seconds: float | None = None,
    progress: Callable[[float], None] = lambda share: None,
    notify: Callable[[str], None] = lambda line: None,
) -> dict[str, Tensor]:
    """{"clean", "kernel"} of an image (1, 3, H, W); the kernel (1, 1, K, K) has 1 at its brightest.

    Settings: side of the square in which the kernel is sought, `kernel_px` (by default as the
    picture tells; of an even number one less), and `weight` of the prior of the deconvolution
    (by default as the noise tells), which trades noise for detail.

    Raises:
        UserError: For a picture without edges or below 32 px, and a kernel larger than the picture.
    """
    start = time.monotonic()
    _check(image, kernel_px)
    until = None if seconds is None else start + KERNEL_TIME * seconds
    found = find(
        image[0], kernel_px, until=until, progress=lambda share: progress(KERNEL_TIME * share)
    )
    side = len(found.kernel)
    if not found_blur(found):
        notify("hardly any blur was found in it: it stays as it is")
        progress(1.0)
        return {"clean": image.clone(), "kernel": blur_kernel.point(side, image)[None, None]}
    values = to_linear(image[0]) if found.linear else image[0]
    if weight is None:
        variances = [blur_evidence.noise_sigma(channel) ** 2 for channel in values]
        weight = WEIGHT[found.linear] + NOISE_WEIGHT * sum(variances) / len(variances)
    left = None if seconds is None else max(0.0, start + seconds - time.monotonic())
    one = bool((values == values[:1]).all())  # grey: one channel tells all
    clean = deconvolve_large(
        values[: 1 if one else 3], found.kernel, weight=weight, seconds=left,
        saturated=(image[0] >= blur_evidence.SATURATED)[: 1 if one else 3],
        progress=lambda share: progress(KERNEL_TIME + (1 - KERNEL_TIME) * share),
    )  # fmt: skip
    if seconds is not None and time.monotonic() > start + seconds:
        notify("the time was up before the picture was as sharp as it gets; give more `seconds`")
    progress(1.0)
    clean = (to_display(clean.clamp_min(0)) if found.linear else clean).expand(3, -1, -1)
    shown = found.kernel / found.kernel.max()
    return {"clean": clean[None].contiguous(), "kernel": shown[None, None]}


def found_blur(found: Found) -> bool:
    """Whether a kernel is wide enough to be one, and the picture shows it."""
    _, radius = blur_kernel.moments(found.kernel)
    return radius >= SMALLEST_RADIUS_PX and found.support >= LEAST_SUPPORT


def find(
    image: Tensor,
    kernel_px: int | None = None,
    *,
    until: float | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Found:
    """The kernel of an image (3, H, W) of display values.

    Args:
        image: Display values.
        kernel_px: Side of the kernel; None: as the picture tells.
        until: Time of `time.monotonic` from which it is not refined further.
        progress: Called with the share that is done.
    """
    grey, saturated = image.mean(dim=0), image.amax(dim=0) >= blur_evidence.SATURATED
    most = min(LARGEST_PX, min(grey.shape) // LARGEST_SHARE)
    side = _odd(kernel_px or min(most, FIRST_PX))
    if kernel_px is None and max(grey.shape) > LOOK_PX:
        side = _odd(min(most, _side_of_large(grey, saturated, until)))
    sides = [side] if kernel_px is not None else [_odd(side / GROWN), side]
    candidates: list[Found] = []
    for side in sides:  # grows
        rows, columns = _crop(grey, saturated, sides[-1])  # one for the first two: comparable
        part = image[:, rows, columns]
        for linear in (False, True):
            values = (to_linear(part) if linear else part).mean(dim=0)
            kernel = blur_kernel.estimate(_stretched(values), side, until=until)
            support = blur_evidence.support(values, kernel)
            candidates.append(Found(kernel, linear, support))
            progress(1 - 0.8 ** len(candidates))
        best = max(candidates[-2:], key=lambda found: found.support)
        larger = _odd(min(most, round(GROWN * side)))
        if kernel_px is None and larger > sides[-1] and _rim(best.kernel) >= RIM_SHARE:
            sides.append(larger)
    progress(1.0)
    return max(candidates, key=lambda found: found.support)


def _check(image: Tensor, kernel_px: int | None) -> None:
    height, width = image.shape[2:]
    if min(height, width) < LEAST_PX:
        raise UserError(
            f"{width} x {height} is too small to find a kernel in; give at least "
            f"{LEAST_PX} x {LEAST_PX}"
        )
    if kernel_px is not None and not 3 <= kernel_px <= min(height, width):
        raise UserError(
            f"`kernel_px` from 3 to {min(height, width)}, the shorter side of the picture, is "
            f"expected, got {kernel_px}; leave it out to have it chosen"
        )


def _odd(side: float) -> int:
    return max(3, (int(side) - 1) | 1)


def _crop(grey: Tensor, saturated: Tensor, side: int) -> tuple[slice, slice]:
    wanted = min(LARGEST_CROP_PX, max(CROP_PX, CROP_KERNELS * side))
    return blur_evidence.telling_crop(grey, saturated, wanted)


def _side_of_large(grey: Tensor, saturated: Tensor, until: float | None) -> float:
    """Side of the kernel in a large picture, from a reduced one that is seen whole."""
    scale = LOOK_PX / max(grey.shape)
    size = [max(1, round(scale * length)) for length in grey.shape]
    small, bright = F.interpolate(
        torch.stack([grey, saturated.to(grey)])[None], size, mode="area"
    )[0]  # fmt: skip
    blur_evidence.telling_crop(small, bright > 0.5, LOOK_PX)  # refuses what has no edges
    side = _odd(min(FIRST_PX, min(size) // LARGEST_SHARE))
    kernel = blur_kernel.estimate(_stretched(small), side, until=until)
    rows, columns = kernel.sum(dim=1).nonzero(), kernel.sum(dim=0).nonzero()
    extent = max(int(taps.max() - taps.min()) + 1 for taps in (rows, columns))
    return max(FIRST_PX, GROWN * extent / scale)


def _stretched(grey: Tensor) -> Tensor:
    """Values over about 0 to 1, as the edges' prior expects; no extreme pixel decides."""
    some = grey.flatten()[:: max(1, grey.numel() // 100_000)]
    low, high = torch.quantile(some, torch.tensor([0.005, 0.995]).to(some))
    return (grey - low) / (high - low).clamp_min(LEAST_RANGE)


def _rim(kernel: Tensor) -> float:
    """Share of a kernel on the rim of its square."""
    rim = max(1, len(kernel) // 15)
    return 1 - float(kernel[rim:-rim, rim:-rim].sum())
