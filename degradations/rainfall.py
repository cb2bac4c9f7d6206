"""Rain from the weather and the camera: drops of a rain rate, seen through a lens for an exposure.

    N(D) = 8000 exp(-Lambda D) per m^3 and mm,   Lambda = 4.1 rate^-0.21 per mm    (sizes)
    v(D) = 9.65 - 10.3 exp(-0.6 D) m/s                                             (fall)
    length = f |v| T / Z,   width = f D / Z,   opacity = pi/4 D / (|v| T)          (streak, px)
    I = (1 - a) (t J + (1 - t) A) + a L,   t = exp(-beta d)                        (picture)

A drop covers a pixel for a part of the exposure only: its opacity a. A streak narrower than a pixel
covers a part of it, which `streaks.streak_layer` integrates. The drop shows what a wide lens in its
place would see: L = 0.94 e mean(J) + 0.06 A. Drops too faint to be seen singly are the veil, of
extinction beta = 0.312 rate^0.67 per km, before a scene at one distance; with a depth map, put a
`Haze` of that beta before a rain whose `scene_m` is next to nothing. Linear light; `add_rainfall`
converts from display values and back.

References: Marshall and Palmer, J. Meteorology 1948; Atlas, Srivastava and Sekhon, Rev. Geophys.
1973 (fall); Garg and Nayar, "Vision and rain", IJCV 2007 (opacity, light of a drop); Halder et al.,
"Physics-based rendering for improving robustness to rain", ICCV 2019 (0.94, 0.06, extinction).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .color import to_display, to_linear
from .streaks import RainParams, check_quantities, in_rows, streak_layer
from .types import Range, Shape, check_image, check_values, per_image, uniform

_INTERCEPT_PER_M3_MM = 8000.0
_DIAMETERS_MM = (0.5, 6.0)  # smaller drops are seen by nobody, larger ones break up
_SIZES = 44  # classes of diameter
_LAYERS = 8  # classes of distance
_FROM_AROUND, _FROM_AMBIENT = 0.94, 0.06
_AIR_M = (0.3, 20.0)  # distances in which drops are drawn singly
_FAINTEST = 0.01  # of a pixel
_RATES_MM_PER_H = (0.1, 300.0)  # of drizzle, and of a cloudburst that Marshall and Palmer never saw


@dataclass(frozen=True)
class RainfallParams:
    rain: RainParams  # brightness is -ln(1 - opacity), so that overlaps add; airlight as displayed
    around: Tensor  # (B,) light that a drop gathers, in means of the picture (linear light)


def drop_density(diameter_mm: Tensor, rate_mm_per_h: Tensor) -> Tensor:
    """N(D), drops per m^3 and mm of diameter (Marshall and Palmer 1948, eqs. 1 and 3)."""
    slope_per_mm = 4.1 * rate_mm_per_h**-0.21
    return _INTERCEPT_PER_M3_MM * torch.exp(-slope_per_mm * diameter_mm)


def fall_speed(diameter_mm: Tensor) -> Tensor:
    """Terminal speed in m/s at sea level (Atlas et al. 1973); 0 below 0.109 mm, where it fails."""
    return (9.65 - 10.3 * torch.exp(-0.6 * diameter_mm)).clamp_min(0)


def extinction_per_m(rate_mm_per_h: Tensor) -> Tensor:
    """beta = 0.312 rate^0.67 per km, in 1/m."""
    return 0.312e-3 * rate_mm_per_h**0.67


def expected_coverage(
    rate_mm_per_h: Tensor | float,
    focal_px: Tensor | float,
    exposure_s: Tensor | float,
    *,
    faintest: float = _FAINTEST,
    air_m: Range = _AIR_M,
) -> Tensor:
    """Area of the visible streaks over that of the picture, float64, in the shape of the arguments.

        C = sum over sizes of N(D) dD * v T * D * (Z_far - Z_near)        (dimensionless)

    the mean of sum(length_px * width_px) / (height * width): a streak covers f^2 v T D / Z^2
    pixels, a pixel sees Z^2 / f^2 dZ of air. Z_far is where a drop becomes too faint to be seen
    singly, `air_m[1]` at most: C is linear in the exposure only while no drop is too faint. Sharp
    streaks in still air. ValueError for a rate, focal length or exposure not above 0.
    """
    rate, focal, exposure = torch.broadcast_tensors(
        *(torch.as_tensor(v, dtype=torch.float64) for v in (rate_mm_per_h, focal_px, exposure_s))
    )
    check_values("rate_mm_per_h", rate, "mm/h", above=True)
    check_values("focal_px", focal, "px", above=True)
    check_values("exposure_s", exposure, "s", above=True)
    still = torch.zeros(rate.numel(), dtype=rate.dtype)
    air = _air(rate.flatten(), focal.flatten(), exposure.flatten(), still, air_m, faintest)
    seen_m = (air.far_m - air.near_m).sum(dim=2, keepdim=True)
    area = torch.maximum(air.path_m, air.size_m) * air.size_m  # of a streak at 1 m, over f^2
    return (air.per_m3 * area * seen_m).sum(dim=(1, 2)).view(rate.shape)


def implied_rate(
    coverage: float,
    *,
    focal_px: float,
    exposure_s: float,
    faintest: float = _FAINTEST,
    air_m: Range = _AIR_M,
) -> float:
    """The rain rate in mm/h whose `expected_coverage` (dimensionless) this is, by bisection.

    An answer of 0.1 or of 300 mm/h means that or less, that or more: a coverage beyond what these
    rates give is answered by the nearer one. ValueError for arguments that cannot be, and for a
    camera that sees no drop singly at any rate.
    """
    check_values("coverage", coverage, "streak pixels per pixel")

    def covered(log_rate: float) -> float:
        rate = math.exp(log_rate)
        found = expected_coverage(rate, focal_px, exposure_s, faintest=faintest, air_m=air_m)
        return found.item()

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
class _Air:
    """The drops before the lens: by image, size and distance, (B, sizes, layers)."""

    size_m: Tensor  # (1, sizes, 1) diameter
    near_m: Tensor  # where drops of the class are seen singly: from here
    far_m: Tensor  # to here, no farther than near_m where they are not
    per_m3: Tensor  # (B, sizes, 1) drops
    path_m: Tensor  # (B, sizes, 1) of a drop during the exposure


def _air(
    rate: Tensor, focal: Tensor, exposure: Tensor, across: Tensor, air_m: Range, faintest: float
) -> _Air:
    """Classes for images of rate (mm/h), focal length (px), exposure (s) and wind (m/s), all (B,).

    A drop is seen while it covers `faintest` of a pixel: its opacity times its width, where that is
    less than a pixel, and times its path, where that is less than a pixel.
    """
    near_m, far_m = air_m
    if not 0 < near_m < far_m:
        raise ValueError(f"0 < near_m < far_m expected, got {near_m}, {far_m} m")
    edges_mm = torch.linspace(*_DIAMETERS_MM, _SIZES + 1, dtype=rate.dtype)
    edges_m = torch.logspace(math.log10(near_m), math.log10(far_m), _LAYERS + 1, dtype=rate.dtype)
    mm = (edges_mm[1:] + edges_mm[:-1]).view(1, -1, 1) / 2
    near, far = edges_m[:-1].view(1, 1, -1), edges_m[1:].view(1, 1, -1)
    f, t, speed_across = (v.view(-1, 1, 1) for v in (focal, exposure, across))
    path = torch.hypot(fall_speed(mm), speed_across) * t
    opacity = (math.pi / 4 * mm / 1000 / path).clamp(max=0.99)
    seen = f * mm / 1000 * opacity / faintest
    seen = torch.minimum(seen, (seen * f * path).sqrt())
    far = torch.where(opacity >= faintest, torch.minimum(far, seen), near)
    per_m3 = drop_density(mm, rate.view(-1, 1, 1)) * (edges_mm[1] - edges_mm[0])
    return _Air(mm / 1000, near, torch.maximum(far, near), per_m3, path)


def add_rainfall(image: Tensor, params: RainfallParams) -> Tensor:
    """(1 - a) (t J + (1 - t) A) + a L for an image (B, C, H, W) in display values; not clamped."""
    check_image(image)
    check_quantities(params.rain)
    check_values("around", params.around, "means of the picture")
    light = to_linear(image)
    airlight = to_linear(per_image(params.rain.airlight, image))
    opacity = streak_layer(params.rain, image.shape[-2], image.shape[-1])
    t = per_image(params.rain.transmission, image)
    around = per_image(params.around, image) * light.mean(dim=(1, 2, 3), keepdim=True)
    drop = _FROM_AROUND * around + _FROM_AMBIENT * airlight
    return to_display((1 - opacity) * (t * light + (1 - t) * airlight) + opacity * drop)


@dataclass(frozen=True)
class Rainfall:
    """Prior over weather and cameras; every range is drawn once an image.

    `focal_px` is the focal length in pixels: 0.9 times the width of the picture for a view of 58
    degrees. `aperture_m` is the diameter of the lens's opening; a drop at Z is blurred over
    f aperture |1/Z - 1/focus| pixels. Drops that cover less than `faintest` of a pixel during the
    exposure, as sharp as they are without defocus, are left to the veil.
    """

    rate_mm_per_h: Range = (2.0, 100.0)
    wind_m_per_s: Range = (-3.0, 3.0)  # to the right, across the view
    gusts_m_per_s: float = 0.3  # standard deviation, drop by drop
    focal_px: Range = (300.0, 1000.0)
    exposure_s: Range = (1 / 1000, 1 / 60)
    aperture_m: Range = (0.001, 0.01)
    focus_m: Range = (3.0, 30.0)
    near_m: float = _AIR_M[0]
    far_m: float = _AIR_M[1]
    faintest: float = _FAINTEST
    around: Range = (1.0, 4.0)
    scene_m: Range = (20.0, 300.0)
    airlight: Range = (0.5, 0.95)
    taper: Range = (0.1, 0.5)

    apply = staticmethod(add_rainfall)

    def __post_init__(self) -> None:
        check_quantities(self)
        for name, unit in (
            ("rate_mm_per_h", "mm/h"), ("focal_px", "px"), ("exposure_s", "s"),
            ("aperture_m", "m"), ("focus_m", "m"), ("faintest", "share of a pixel"),
            ("near_m", "m"), ("far_m", "m"),
        ):  # fmt: skip
            check_values(name, getattr(self, name), unit, above=True)
        for name, unit in (
            ("gusts_m_per_s", "m/s"), ("around", "means of the picture"), ("scene_m", "m"),
        ):  # fmt: skip
            check_values(name, getattr(self, name), unit)

    def sample(self, shape: Shape, generator: torch.Generator) -> RainfallParams:
        batch, _, height, width = shape

        def draw(limits: Range, *, log: bool = True) -> Tensor:
            return uniform(limits, (batch,), generator, log=log)

        rate, focal, exposure = (
            draw(self.rate_mm_per_h), draw(self.focal_px), draw(self.exposure_s)
        )  # fmt: skip
        wind, aperture = draw(self.wind_m_per_s, log=False), draw(self.aperture_m)
        focus, taper = draw(self.focus_m), draw(self.taper)

        # Expected numbers by image, size and distance; pixels see (Z / f)^2 m^2 each.
        air = _air(rate, focal, exposure, wind, (self.near_m, self.far_m), self.faintest)
        f = focal.view(-1, 1, 1)
        volume_m = (air.far_m**3 - air.near_m**3) / 3 / f**2  # of the air before one pixel, m^3
        margin = f * (air.path_m + air.size_m + aperture.view(-1, 1, 1)) / air.near_m / 2 + 1
        expected = air.per_m3 * volume_m * (height + 2 * margin) * (width + 2 * margin)
        count = torch.poisson(expected, generator=generator).long()

        # One entry a drop from here on.
        owner = torch.repeat_interleave(count.flatten())
        image, size = owner // (_SIZES * _LAYERS), owner // _LAYERS % _SIZES

        def of(classes: Tensor) -> Tensor:
            return classes.expand(batch, _SIZES, _LAYERS).flatten().index_select(0, owner)

        def rand() -> Tensor:
            return torch.rand(len(owner), generator=generator)

        smallest, largest = _DIAMETERS_MM
        mm = smallest + (size + rand()) * ((largest - smallest) / _SIZES)
        cubes = of(air.near_m) ** 3, of(air.far_m) ** 3
        z = (cubes[0] + rand() * (cubes[1] - cubes[0])) ** (1 / 3)
        side = wind[image] + self.gusts_m_per_s * torch.randn(len(owner), generator=generator)
        down = fall_speed(mm)
        scale = focal[image] / z  # pixels a metre
        sharp_wide, path = scale * mm / 1000, scale * torch.hypot(side, down) * exposure[image]
        disc = focal[image] * aperture[image] * (1 / z - 1 / focus[image]).abs()
        wide, length = torch.hypot(sharp_wide, disc), torch.maximum(sharp_wide, path) + disc
        covered = math.pi / 4 * sharp_wide**2  # by the drop at any moment, px^2
        clear = 1 - (covered / (length * wide)).clamp(max=0.99)
        x = rand() * (width + 2 * of(margin)) - of(margin)
        y = rand() * (height + 2 * of(margin)) - of(margin)
        reach = (length + wide) / 2 + 1
        kept = (x > -reach) & (x < width + reach) & (y > -reach) & (y < height + reach)
        rows, present = in_rows(image[kept], batch)
        fields = (x, y, torch.atan2(side, down), length, wide, -clear.log(), taper[image])
        x, y, angle, length, wide, brightness, taper = (rows(field[kept]) for field in fields)
        haze = extinction_per_m(rate) * draw(self.scene_m)
        rain = RainParams(
            x, y, angle, length, wide, brightness, taper,
            ripple=torch.zeros_like(x), ripple_px=torch.ones_like(x), phase_rad=torch.zeros_like(x),
            present=present,
            ceiling=torch.ones(batch), transmission=(-haze).exp(),
            airlight=draw(self.airlight, log=False),
        )  # fmt: skip
        return RainfallParams(rain, draw(self.around))
