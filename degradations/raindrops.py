"""Drops of rain before a lens: how many of which size, how fast they fall, which of them are seen.

    N(D) = 8000 exp(-Lambda D) per m^3 and mm,   Lambda = 4.1 rate^-0.21 per mm    (sizes)
    v(D) = 9.65 - 10.3 exp(-0.6 D) m/s                                             (fall)
    C = sum over sizes of N(D) dD * v T * D * (Z_far - Z_near)                     (coverage)

References: Marshall and Palmer, J. Meteorology 1948; Atlas, Srivastava and Sekhon, Rev. Geophys.
1973 (fall); Halder et al., "Physics-based rendering for improving robustness to rain", ICCV 2019
(extinction).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .types import Range, check_values

_INTERCEPT_PER_M3_MM = 8000.0
DIAMETERS_MM = (0.5, 6.0)  # smaller drops are seen by nobody, larger ones break up
SIZES = 44  # classes of diameter
LAYERS = 8  # classes of distance
AIR_M = (0.3, 20.0)  # distances in which drops are drawn singly
FAINTEST = 0.01  # of a pixel
_RATES_MM_PER_H = (0.1, 300.0)  # of drizzle, and of a cloudburst that Marshall and Palmer never saw


def drop_density(diameter_mm: Tensor, rate_mm_per_h: Tensor) -> Tensor:
    """N(D) = 8000 exp(-4.1 rate^-0.21 D), drops per m^3 and mm of diameter.

    Args:
        diameter_mm: any shape.
        rate_mm_per_h: rain rate, of a shape that fits.

    Returns:
        Densities, of the shape of both. Marshall and Palmer 1948, eqs. 1 and 3.

    Example:
        >>> drop_density(torch.tensor([1.0, 2.0]), torch.tensor(25.0)).round()
        tensor([994., 123.])
    """
    slope_per_mm = 4.1 * rate_mm_per_h**-0.21
    return _INTERCEPT_PER_M3_MM * torch.exp(-slope_per_mm * diameter_mm)


def fall_speed(diameter_mm: Tensor) -> Tensor:
    """v = 9.65 - 10.3 exp(-0.6 D) m/s at sea level; 0 below 0.109 mm, where it fails.

    Args:
        diameter_mm: any shape.

    Returns:
        Terminal speeds in m/s, of that shape. Atlas et al. 1973.

    Example:
        >>> fall_speed(torch.tensor([0.1, 1.0, 5.0]))
        tensor([0.0000, 3.9972, 9.1372])
    """
    return (9.65 - 10.3 * torch.exp(-0.6 * diameter_mm)).clamp_min(0)


def extinction_per_m(rate_mm_per_h: Tensor) -> Tensor:
    """beta = 0.312 rate^0.67 per km.

    Args:
        rate_mm_per_h: rain rate, any shape.

    Returns:
        Extinction coefficients in 1/m, of that shape. Halder et al. 2019.

    Example:
        >>> extinction_per_m(torch.tensor(50.0))
        tensor(0.0043)
    """
    return 0.312e-3 * rate_mm_per_h**0.67


def expected_coverage(
    rate_mm_per_h: Tensor | float,
    focal_px: Tensor | float,
    exposure_s: Tensor | float,
    *,
    faintest: float = FAINTEST,
    air_m: Range = AIR_M,
) -> Tensor:
    """Area of the visible streaks over that of the picture.

        C = sum over sizes of N(D) dD * v T * D * (Z_far - Z_near)        (dimensionless)

    the mean of sum(length_px * width_px) / (height * width): a streak covers f^2 v T D / Z^2
    pixels, a pixel sees Z^2 / f^2 dZ of air. Z_far is where a drop becomes too faint to be seen
    singly, `air_m[1]` at most: C is linear in the exposure only while no drop is too faint. Sharp
    streaks in still air.

    Args:
        rate_mm_per_h: rain rate.
        focal_px: focal length.
        exposure_s: of the picture.
        faintest: share of a pixel that a drop must cover to be seen.
        air_m: distances between which drops are seen.

    Returns:
        C, float64, in the shape of the arguments.

    Raises:
        ValueError: for a rate, focal length or exposure not above 0.

    Example:
        >>> expected_coverage(25.0, 600.0, 0.01)
        tensor(0.0994, dtype=torch.float64)
    """
    rate, focal, exposure = torch.broadcast_tensors(
        *(torch.as_tensor(v, dtype=torch.float64) for v in (rate_mm_per_h, focal_px, exposure_s))
    )
    check_values("rate_mm_per_h", rate, "mm/h", above=True)
    check_values("focal_px", focal, "px", above=True)
    check_values("exposure_s", exposure, "s", above=True)
    still = torch.zeros(rate.numel(), dtype=rate.dtype)
    air = drops_in_air(rate.flatten(), focal.flatten(), exposure.flatten(), still, air_m, faintest)
    visible_m = (air.far_m - air.near_m).sum(dim=2, keepdim=True)
    area = torch.maximum(air.path_m, air.size_m) * air.size_m  # of a streak at 1 m, over f^2
    return (air.per_m3 * area * visible_m).sum(dim=(1, 2)).view(rate.shape)


def implied_rate(
    coverage: float,
    *,
    focal_px: float,
    exposure_s: float,
    faintest: float = FAINTEST,
    air_m: Range = AIR_M,
) -> float:
    """The rain rate whose `expected_coverage` this is, by bisection.

    An answer of 0.1 or of 300 mm/h means that or less, that or more: a coverage beyond what these
    rates give is answered by the nearer one.

    Args:
        coverage: streak pixels per pixel.
        focal_px: focal length.
        exposure_s: of the picture.
        faintest: share of a pixel that a drop must cover to be seen.
        air_m: distances between which drops are seen.

    Returns:
        mm/h.

    Raises:
        ValueError: for arguments that cannot be, and for a camera that sees no drop at any rate.

    Example:
        >>> round(implied_rate(0.05, focal_px=600, exposure_s=0.01), 3)
        11.633
    """
    check_values("coverage", coverage, "streak pixels per pixel")

    def covered(log_rate: float) -> float:
        rate = math.exp(log_rate)
        expected = expected_coverage(rate, focal_px, exposure_s, faintest=faintest, air_m=air_m)
        return expected.item()

    low, high = map(math.log, _RATES_MM_PER_H)
    if covered(high) == 0:
        raise ValueError(
            f"no drop is seen singly at focal_px {focal_px} px and exposure_s {exposure_s} s "
            f"when those that cover less than {faintest} of a pixel are too faint"
        )
    if not covered(low) < coverage < covered(high):
        return _RATES_MM_PER_H[coverage > covered(low)]
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if covered(middle) < coverage else (low, middle)
    return math.exp((low + high) / 2)


@dataclass(frozen=True)
class Air:
    """The drops before the lens: by image, size and distance, (B, sizes, layers)."""

    size_m: Tensor  # (1, sizes, 1) diameter
    near_m: Tensor  # where drops of the class are seen singly: from here
    far_m: Tensor  # to here, no farther than near_m where they are not
    per_m3: Tensor  # (B, sizes, 1) drops
    path_m: Tensor  # (B, sizes, 1) of a drop during the exposure


def drops_in_air(
    rate: Tensor, focal: Tensor, exposure: Tensor, across: Tensor, air_m: Range, faintest: float
) -> Air:
    """Classes for images of rate (mm/h), focal length (px), exposure (s) and wind (m/s), all (B,).

    A drop is seen while it covers `faintest` of a pixel: its opacity times its width, where that is
    less than a pixel, and times its path, where that is less than a pixel.
    """
    near_m, far_m = air_m
    if not 0 < near_m < far_m:
        raise ValueError(f"0 < near_m < far_m expected, got {near_m}, {far_m} m")
    edges_mm = torch.linspace(*DIAMETERS_MM, SIZES + 1, dtype=rate.dtype)
    edges_m = torch.logspace(math.log10(near_m), math.log10(far_m), LAYERS + 1, dtype=rate.dtype)
    mm = (edges_mm[1:] + edges_mm[:-1]).view(1, -1, 1) / 2
    near, far = edges_m[:-1].view(1, 1, -1), edges_m[1:].view(1, 1, -1)
    f, t, speed_across = (v.view(-1, 1, 1) for v in (focal, exposure, across))
    path = torch.hypot(fall_speed(mm), speed_across) * t
    opacity = (math.pi / 4 * mm / 1000 / path).clamp(max=0.99)
    visible_to = f * mm / 1000 * opacity / faintest
    visible_to = torch.minimum(visible_to, (visible_to * f * path).sqrt())
    far = torch.where(opacity >= faintest, torch.minimum(far, visible_to), near)
    per_m3 = drop_density(mm, rate.view(-1, 1, 1)) * (edges_mm[1] - edges_mm[0])
    return Air(mm / 1000, near, torch.maximum(far, near), per_m3, path)
