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
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from .bands import render_in_bands
from .color import to_display, to_linear
from .description import describe_streaks, number, rounded
from .falling import SHUTTER, advance_streaks
from .haze import linear_veil
from .raindrops import (
    AIR_M,
    DIAMETERS_MM,
    FAINTEST,
    LAYERS,
    SIZES,
    drops_in_air,
    expected_coverage,
    extinction_per_m,
    fall_speed,
    implied_rate,
)
from .streaks import RainParams, check_quantities, pack_rows, remove_streaks, streak_layer
from .types import Range, Shape, check_image, check_values, follow, per_image, uniform

__all__ = [
    "Rainfall",
    "RainfallParams",
    "Weather",
    "add_rainfall",
    "expected_coverage",
    "implied_rate",
    "rainfall_veil",
    "render_rainfall",
]

_FROM_AROUND, _FROM_AMBIENT = 0.94, 0.06


@dataclass(frozen=True)
class RainfallParams:
    """Parameters of `add_rainfall`, one row an image.

    Example:
        >>> rain = Rainfall(around=(2, 2)).sample((1, 3, 8, 8), torch.Generator().manual_seed(0))
        >>> rain.around
        tensor([2.])
    """

    rain: RainParams  # brightness is -ln(1 - opacity), so that overlaps add; airlight as displayed
    around: Tensor  # (B,) light that a drop gathers, in means of the picture (linear light)


def add_rainfall(image: Tensor, params: RainfallParams) -> Tensor:
    """(1 - a) (t J + (1 - t) A) + a L in linear light, a the opacity of the streaks.

    Args:
        image: (B, C, H, W) display values.
        params: one row an image.

    Returns:
        (B, C, H, W) display values, not clamped.

    Example:
        >>> image, prior = torch.full((1, 3, 20, 20), 0.5), Rainfall(airlight=(0.5, 0.5))
        >>> params = prior.sample((1, 3, 20, 20), torch.Generator().manual_seed(0))
        >>> bool((add_rainfall(image, params) >= image - 1e-5).all())
        True
    """
    check_image(image)
    check_quantities(params.rain)
    check_values("around", params.around, "means of the picture")
    light = to_linear(image)
    airlight = to_linear(per_image(params.rain.airlight, image))
    opacity = streak_layer(follow(params.rain, image), image.shape[-2], image.shape[-1])
    t = per_image(params.rain.transmission, image)
    around = per_image(params.around, image) * light.mean(dim=(1, 2, 3), keepdim=True)
    drop = _FROM_AROUND * around + _FROM_AMBIENT * airlight
    return to_display((1 - opacity) * (t * light + (1 - t) * airlight) + opacity * drop)


def render_rainfall(image: Tensor, params: RainfallParams) -> tuple[Tensor, Tensor]:
    """`add_rainfall` of one image in bands, and the opacity a of its streaks."""
    mean = to_linear(image).mean()

    def render_band(rows: slice, streaks: RainParams) -> Tensor:
        # add_rainfall takes the mean of what it is given: `around` makes up for that, and a grey
        # row below, which is cut off again, keeps the mean of a black band above 0.
        band = image[:, :, rows]
        lit = torch.cat([band, torch.full_like(band[:, :, :1], 0.5)], dim=2)
        around = params.around.to(image) * mean / to_linear(lit).mean()
        return add_rainfall(lit, RainfallParams(streaks, around))[:, :, :-1]

    return render_in_bands(image, params.rain, render_band)


def rainfall_veil(params: RainfallParams, image: Tensor) -> tuple[Tensor, Tensor]:
    """Display values of the veil on black, and how much brighter white is."""
    t = per_image(params.rain.transmission, image)
    return linear_veil(t, to_linear(per_image(params.rain.airlight, image)))


@dataclass(frozen=True)
class Rainfall:
    """Prior over weather and cameras; every range is drawn once an image.

    `focal_px` is the focal length in pixels: 0.9 times the width of the picture for a view of 58
    degrees. `aperture_m` is the diameter of the lens's opening; a drop at Z is blurred over
    f aperture |1/Z - 1/focus| pixels. Drops that cover less than `faintest` of a pixel during the
    exposure, as sharp as they are without defocus, are left to the veil.

    Example:
        >>> storm = Rainfall(rate_mm_per_h=(80, 80), exposure_s=(0.01, 0.01), scene_m=(50, 50))
        >>> params = storm.sample((1, 3, 40, 40), torch.Generator().manual_seed(0))
        >>> params.rain.transmission
        tensor([0.7454])
    """

    rate_mm_per_h: Range = (2.0, 100.0)
    wind_m_per_s: Range = (-3.0, 3.0)  # to the right, across the view
    gusts_m_per_s: float = 0.3  # standard deviation, drop by drop
    focal_px: Range = (300.0, 1000.0)
    exposure_s: Range = (1 / 1000, 1 / 60)
    aperture_m: Range = (0.001, 0.01)
    focus_m: Range = (3.0, 30.0)
    near_m: float = AIR_M[0]
    far_m: float = AIR_M[1]
    faintest: float = FAINTEST
    around: Range = (1.0, 4.0)
    scene_m: Range = (20.0, 300.0)
    airlight: Range = (0.5, 0.95)
    taper: Range = (0.1, 0.5)

    apply = staticmethod(add_rainfall)
    render = staticmethod(render_rainfall)
    affine_veil = staticmethod(rainfall_veil)

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
        air = drops_in_air(rate, focal, exposure, wind, (self.near_m, self.far_m), self.faintest)
        f = focal.view(-1, 1, 1)
        volume_m = (air.far_m**3 - air.near_m**3) / 3 / f**2  # of the air before one pixel, m^3
        margin = f * (air.path_m + air.size_m + aperture.view(-1, 1, 1)) / air.near_m / 2 + 1
        expected = air.per_m3 * volume_m * (height + 2 * margin) * (width + 2 * margin)
        count = torch.poisson(expected, generator=generator).long()

        # One entry a drop from here on.
        owner = torch.repeat_interleave(count.flatten())
        image, size = owner // (SIZES * LAYERS), owner // LAYERS % SIZES

        def of(classes: Tensor) -> Tensor:
            return classes.expand(batch, SIZES, LAYERS).flatten().index_select(0, owner)

        def rand() -> Tensor:
            return torch.rand(len(owner), generator=generator)

        smallest, largest = DIAMETERS_MM
        mm = smallest + (size + rand()) * ((largest - smallest) / SIZES)
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
        visible = (x > -reach) & (x < width + reach) & (y > -reach) & (y < height + reach)
        rows, present = pack_rows(image[visible], batch)
        fields = (x, y, torch.atan2(side, down), length, wide, -clear.log(), taper[image])
        x, y, angle, length, wide, brightness, taper = (rows(field[visible]) for field in fields)
        haze = extinction_per_m(rate) * draw(self.scene_m)
        rain = RainParams(
            x, y, angle, length, wide, brightness, taper,
            ripple=torch.zeros_like(x), ripple_px=torch.ones_like(x), phase_rad=torch.zeros_like(x),
            present=present,
            ceiling=torch.ones(batch), transmission=(-haze).exp(),
            airlight=draw(self.airlight, log=False),
        )  # fmt: skip
        return RainfallParams(rain, draw(self.around))

    def for_picture(self, height: int, width: int, generator: torch.Generator) -> Rainfall:
        """The same rain of one weather and one camera, which are drawn here."""
        points: dict[str, Any] = {}
        for name in self._ranges():
            log = name not in {"wind_m_per_s", "airlight"}
            value = float(uniform(getattr(self, name), (1,), generator, log=log))
            points[name] = value, value
        return replace(self, **points)

    def at_frame(
        self,
        params: RainfallParams,
        number: int,
        shape: Shape,
        *,
        fps: float | None = None,
        generator: torch.Generator | None = None,
    ) -> RainfallParams:
        """Drops fall for the time between frames; `exposure_s` must be that of the picture."""
        if number == 1:
            return params
        shutter = SHUTTER if fps is None else rounded(self.exposure_s[1]) * fps
        rain = advance_streaks(params.rain, number - 1, shape[2:], shutter=shutter)
        return replace(params, rain=rain)

    def check_fps(self, fps: float) -> None:
        longest = self.exposure_s[1]
        if longest * fps > 1:
            raise ValueError(
                f"exposure_s: {longest:g} s do not fit into {fps:g} frames a second; "
                "lower exposure_s or fps"
            )

    def without_streaks(self, params: RainfallParams) -> RainfallParams:
        return replace(params, rain=remove_streaks(params.rain))

    def describe(self, params: RainfallParams, height: int, width: int) -> dict[str, Any]:
        """Its ranges that are points, which are those of `for_picture`, and means over streaks."""
        points = {n: getattr(self, n) for n in self._ranges()}
        return {
            **{name: rounded(low) for name, (low, high) in points.items() if low == high},
            **describe_streaks(params.rain, height, width),
            "around": number(params.around),
        }

    def _ranges(self) -> list[str]:
        return [f.name for f in fields(self) if isinstance(getattr(self, f.name), tuple)]


@dataclass(frozen=True)
class Weather(Rainfall):
    """Prior over weather: `Rainfall` whose focal length grows with the picture, not by `focal_px`.

    Example:
        >>> Weather(focal_sides=(1, 1)).of_size(480, 640).focal_px
        (640, 640)
    """

    focal_sides: Range = (0.8, 2.0)  # focal length in longer sides of the picture: 64 to 28 degrees

    def __post_init__(self) -> None:
        super().__post_init__()
        check_values("focal_sides", self.focal_sides, "longer sides of the picture", above=True)

    def sample(self, shape: Shape, generator: torch.Generator) -> RainfallParams:
        return self.of_size(*shape[2:]).sample(shape, generator)

    def for_picture(self, height: int, width: int, generator: torch.Generator) -> Rainfall:
        return self.of_size(height, width).for_picture(height, width, generator)

    def of_size(self, height: int, width: int) -> Rainfall:
        """The prior for pictures of this size."""
        low, high = (sides * max(height, width) for sides in self.focal_sides)
        return replace(self.in_pixels(), focal_px=(low, high))

    def in_pixels(self) -> Rainfall:
        """The same weather before a camera of the focal length `focal_px`."""
        return Rainfall(**{f.name: getattr(self, f.name) for f in fields(Rainfall)})
