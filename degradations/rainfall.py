"""Rain from the weather and the camera: drops of a rain rate, seen through a lens for an exposure.

    N(D) = 8000 exp(-Lambda D) per m^3 and mm,   Lambda = 4.1 rate^-0.21 per mm    (sizes)
    v(D) = 9.65 - 10.3 exp(-0.6 D) m/s                                             (fall)
    length = f |v| T / Z,   width = f D / Z,   opacity = pi/4 D / (|v| T)          (streak, px)
    I = (1 - a) (t J + (1 - t) A) + a L,   t = exp(-beta d)                        (picture)

A drop covers a pixel for a part of the exposure only: its opacity a. A streak narrower than a pixel
covers a part of it, which `rain.streak_layer` integrates. The drop shows what a wide lens in its
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
from .rain import RainParams, in_rows, streak_layer
from .types import Range, Shape, per_image, uniform

_INTERCEPT_PER_M3_MM = 8000.0
_DIAMETERS_MM = (0.5, 6.0)  # smaller drops are seen by nobody, larger ones break up
_SIZES = 44  # classes of diameter
_LAYERS = 8  # classes of distance
_FROM_AROUND, _FROM_AMBIENT = 0.94, 0.06


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


def add_rainfall(image: Tensor, params: RainfallParams) -> Tensor:
    """(1 - a) (t J + (1 - t) A) + a L for an image (B, C, H, W) in display values; not clamped."""
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
    f aperture |1/Z - 1/focus| pixels. Streaks whose core covers less than `faintest` of a pixel are
    left to the veil.
    """

    rate_mm_per_h: Range = (2.0, 100.0)
    wind_m_per_s: Range = (-3.0, 3.0)  # to the right, across the view
    gusts_m_per_s: float = 0.3  # standard deviation, drop by drop
    focal_px: Range = (300.0, 1000.0)
    exposure_s: Range = (1 / 1000, 1 / 60)
    aperture_m: Range = (0.001, 0.01)
    focus_m: Range = (3.0, 30.0)
    near_m: float = 0.3
    far_m: float = 20.0
    faintest: float = 0.01
    around: Range = (1.0, 4.0)
    scene_m: Range = (20.0, 300.0)
    airlight: Range = (0.5, 0.95)
    taper: Range = (0.1, 0.5)

    apply = staticmethod(add_rainfall)

    def sample(self, shape: Shape, generator: torch.Generator) -> RainfallParams:
        batch, _, height, width = shape
        self._check()

        def draw(limits: Range, *, log: bool = True) -> Tensor:
            return uniform(limits, (batch,), generator, log=log)

        rate, focal, exposure = (
            draw(self.rate_mm_per_h), draw(self.focal_px), draw(self.exposure_s)
        )  # fmt: skip
        wind, aperture = draw(self.wind_m_per_s, log=False), draw(self.aperture_m)
        focus, taper = draw(self.focus_m), draw(self.taper)

        # Expected numbers by image, size and distance; pixels see (Z / f)^2 m^2 each.
        edges_mm = torch.linspace(*_DIAMETERS_MM, _SIZES + 1)
        edges_m = torch.logspace(math.log10(self.near_m), math.log10(self.far_m), _LAYERS + 1)
        sizes = (edges_mm[1:] + edges_mm[:-1]).view(1, -1, 1) / 2
        near, far = edges_m[:-1].view(1, 1, -1), edges_m[1:].view(1, 1, -1)
        f, t, speed_across = (v.view(-1, 1, 1) for v in (focal, exposure, wind))
        path_m = torch.hypot(fall_speed(sizes), speed_across) * t
        opacity = (math.pi / 4 * sizes / 1000 / path_m).clamp(max=0.99)
        seen_m = f * sizes / 1000 * opacity / self.faintest  # farther, it covers less of a pixel
        far = torch.where(opacity >= self.faintest, torch.minimum(far, seen_m), near)
        far = torch.maximum(far, near)
        volume_m = (far**3 - near**3) / 3 / f**2  # of the air before one pixel, m^3
        per_m3 = drop_density(sizes, rate.view(-1, 1, 1)) * (edges_mm[1] - edges_mm[0])
        margin = f * (path_m + sizes / 1000 + aperture.view(-1, 1, 1)) / near / 2 + 1
        expected = per_m3 * volume_m * (height + 2 * margin) * (width + 2 * margin)
        count = torch.poisson(expected, generator=generator).long()

        # One entry a drop from here on.
        owner = torch.repeat_interleave(count.flatten())
        image, size = owner // (_SIZES * _LAYERS), owner // _LAYERS % _SIZES

        def of(classes: Tensor) -> Tensor:
            return classes.expand(batch, _SIZES, _LAYERS).flatten()[owner]

        def rand() -> Tensor:
            return torch.rand(len(owner), generator=generator)

        mm = edges_mm[size] + rand() * (edges_mm[1] - edges_mm[0])
        cubes = of(near) ** 3, of(far) ** 3
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
            x, y, angle, length, wide, brightness, taper, present,
            ceiling=torch.ones(batch), transmission=(-haze).exp(),
            airlight=draw(self.airlight, log=False),
        )  # fmt: skip
        return RainfallParams(rain, draw(self.around))

    def _check(self) -> None:
        for name in ("rate_mm_per_h", "focal_px", "exposure_s", "aperture_m", "focus_m"):
            if getattr(self, name)[0] <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0 < self.near_m < self.far_m:
            raise ValueError(f"0 < near_m < far_m expected, got {self.near_m}, {self.far_m} m")
