"""What a picture tells of its blur: where its edges are, its noise, whether a kernel is in it.

A blurred picture has little power at the frequencies that its kernel takes away:

    log P(f) = smooth in log |f| and in the direction of f + b log(|K(f)|^2 + floor),   b > 0

(Burton and Moorhead, "Color and spatial structure in natural scenes", Applied Optics 1987, for the
smooth part). `support` is the correlation of both sides without the smooth part: about 0 where the
picture is sharp and the kernel is made up.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_restore.errors import UserError
from ssl_restore.solvers.deconvolution import differences, transfer

SATURATED = 0.985  # from here on a display value may be cut off; compressed files leave less than 1
LEAST_EDGES = 2e-6  # variance of the gradient in its stronger direction, above the noise
CROP_STEPS = 8  # places of a crop, at most, along each axis
NOISE_OF_MAD = 0.6745  # median of |n| / sigma, Gaussian
BIN = 8  # frequencies, along each axis, of which the mean power is taken
FLOOR = 0.01  # of |K|^2: below it noise is stronger than the picture
LEAST_BINS = 24


def noise_sigma(grey: Tensor) -> float:
    """Standard deviation of white noise in (H, W), from the smaller half of the diagonal details.

    Fine texture counts as noise.
    """
    detail = (grey[1:, 1:] - grey[1:, :-1] - grey[:-1, 1:] + grey[:-1, :-1]) / 2
    return float(detail.abs().median()) / NOISE_OF_MAD if detail.numel() else 0.0


def telling_crop(grey: Tensor, saturated: Tensor, side: int) -> tuple[slice, slice]:
    """The square of `side` px (less in a small picture) with most edges in every direction.

    It maximises the smaller eigenvalue of the structure tensor without what is near `saturated`.

    Raises:
        UserError: Where the whole picture has no edges above its noise.
    """
    height, width = grey.shape
    down, right = differences(grey[None])[:, 0, :-1, :-1]
    near = F.max_pool2d(saturated[None, None].to(grey), 5, 1, 2)[0, 0, :-1, :-1] > 0
    known = (~near).to(grey)
    products = torch.stack([down * down, right * right, down * right, torch.ones_like(down)])
    products = (products * known).unsqueeze(0)
    window = [min(side, length) - 1 for length in (height, width)]
    step = [
        max(1, math.ceil((length - 1 - extent) / CROP_STEPS))
        for length, extent in zip((height, width), window, strict=True)
    ]
    sums = F.avg_pool2d(products, window, step)[0]
    floor = 2 * noise_sigma(grey) ** 2 * sums[3]
    half = (sums[0] + sums[1]) / 2
    spread = torch.hypot((sums[0] - sums[1]) / 2, sums[2])
    if float((half + spread - floor).max()) < LEAST_EDGES:
        raise UserError(
            "no kernel can be found: it has no edges that stand out of its noise and are not "
            "saturated; give a picture, or a part of one, with contrast"
        )
    best = int((half - spread).argmax())
    row, column = divmod(best, sums.shape[2])
    top, left = row * step[0], column * step[1]
    return slice(top, top + window[0] + 1), slice(left, left + window[1] + 1)


def support(grey: Tensor, kernel: Tensor) -> float:
    """How well the power spectrum of (H, W) shows the kernel, -1 to 1; 0 for a point."""
    height, width = grey.shape
    fade = torch.outer(*(torch.hann_window(n, periodic=False).to(grey) for n in grey.shape))
    spectrum = torch.fft.rfft2((grey - grey.mean()) * fade).abs().square()
    response = transfer(kernel, grey.shape).abs().square()
    planes = torch.stack([spectrum, response]).roll(height // 2, 1)[None]
    power, response = F.avg_pool2d(planes, BIN)[0]
    down = (torch.arange(power.shape[0]).to(grey) + 0.5)[:, None] * BIN / height - 0.5
    right = (torch.arange(power.shape[1]).to(grey) + 0.5) * BIN / width
    frequency, angle = torch.hypot(down, right), torch.atan2(down, right.expand_as(power))
    inside = (frequency > 0.03) & (frequency < 0.5) & (power > 0)
    if int(inside.sum()) < LEAST_BINS:
        return 0.0
    log = frequency.log()
    turned = [wave(n * angle) for n in (2, 4) for wave in (torch.cos, torch.sin)]
    smooth = torch.stack([torch.ones_like(log), log, log.square(), *turned], dim=-1)[inside]
    seen, told = (
        values - smooth @ torch.linalg.lstsq(smooth, values).solution
        for values in (power[inside].log()[:, None], (response + FLOOR).log()[inside][:, None])
    )
    scale = float(seen.norm() * told.norm())
    return float((seen * told).sum()) / scale if scale > 1e-6 else 0.0
