"""How much rain is left in a picture, without its truth: light in lines along the streaks.

    r_t = 2 sqrt(2) s^2 (-d^2/dn^2) (G_t * Y),      n across the direction t, Y the mean channel
    P(t) = mean of max(r_t, 0)^2,                   E(t) = mean of r_t^2
    streak energy   Z = P(a) - (P(a - 20 deg) + P(a + 20 deg)) / 2
    texture energy  T = mean of E(a + k), k = 45, 67.5, 90, 112.5 and 135 deg

G_t is a Gaussian of standard deviation s across t and 8 s along it; a is the angle of the streaks.
A long streak of Gaussian cross-section (standard deviation s) and brightness b answers r = b at its
core, so Z and T are display values squared, Z about b^2 times the share of the pixels that streaks
cover.  Rain adds light: bright lines count in Z, dark ones half as much.  What the background has
in all directions alike (noise, leaves) cancels in Z, so that a rain-free picture has about 0; T has
next to nothing of the streaks and tells what was lost besides them.

Limits: one direction, that of most streaks.  Poles, trunks and facades along it count as rain: of
one picture Z is an estimate, before and after of the same picture say more, the median over a
folder most.  Streaks that lie more than 10 degrees off, drops, splashes and veils are not seen.
A restorer that blurs lowers Z too: read it with T.  A border of 24 s pixels does not count.

Oriented filters: Freeman and Adelson, "The design and use of steerable filters", PAMI 1991.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SIGMA_PX = 1.0  # across; the streak that it answers most to is 2.4 px wide at half its brightness
ALONG = 8.0  # standard deviation along, in those across
REACH = 24.0  # of the filter, in standard deviations across
BESIDE_RAD = math.radians(20)
OTHERS_RAD = tuple(math.radians(degrees) for degrees in (45, 67.5, 90, 112.5, 135))


def streak_energy(picture: Tensor, angle_rad: Tensor, sigma_px: float = SIGMA_PX) -> Tensor:
    """Z (B,) of pictures (B, C, H, W), display values squared; negative where there are fewer
    lines along `angle_rad` (B,), from the vertical, positive: falls to the right, than beside it.

    ValueError for a picture with no pixel farther than 24 `sigma_px` from its border.
    """
    spectrum = _spectrum(picture)

    def bright(turn_rad: float) -> Tensor:
        lines = _lines(spectrum, picture, angle_rad + turn_rad, sigma_px)
        return lines.clamp_min(0).square().mean(dim=(1, 2))

    return bright(0) - (bright(-BESIDE_RAD) + bright(BESIDE_RAD)) / 2


def texture_energy(picture: Tensor, angle_rad: Tensor, sigma_px: float = SIGMA_PX) -> Tensor:
    """T (B,), as `streak_energy`: lines and edges at least 45 degrees off the streaks."""
    spectrum = _spectrum(picture)
    energies = [
        _lines(spectrum, picture, angle_rad + turn, sigma_px).square().mean(dim=(1, 2))
        for turn in OTHERS_RAD
    ]
    return torch.stack(energies).mean(dim=0)


def _spectrum(picture: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W // 2 + 1)"""
    return torch.fft.rfft2(picture.mean(dim=1))


def _lines(spectrum: Tensor, picture: Tensor, angle: Tensor, sigma: float) -> Tensor:
    """r (B, H - 2 margin, W - 2 margin): where the filter does not wrap around the border."""
    height, width = picture.shape[-2:]
    margin = math.ceil(REACH * sigma)
    if min(height, width) <= 2 * margin:
        raise ValueError(
            f"expected sides above {2 * margin} pixels for sigma {sigma:g}, got {width}x{height}"
        )
    right = 2 * math.pi * torch.fft.rfftfreq(width, dtype=picture.dtype, device=picture.device)
    down = 2 * math.pi * torch.fft.fftfreq(height, dtype=picture.dtype, device=picture.device)
    sine, cosine = (part[:, None, None] for part in (angle.sin(), angle.cos()))
    across = (sigma * (right * cosine - down[:, None] * sine)).square()
    along = (sigma * ALONG * (right * sine + down[:, None] * cosine)).square()
    gain = 2 * math.sqrt(2) * across * (-(across + along) / 2).exp()
    lines = torch.fft.irfft2(spectrum * gain, s=(height, width))
    return lines[:, margin : height - margin, margin : width - margin]
