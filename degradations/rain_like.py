"""Rain like that of measured pictures: the prior that calibration writes.

Every image takes the numbers of one measured picture, moved by what the measurement leaves in
doubt; its streaks are drawn anew. So what belongs together (long streaks are the bright ones of
this folder) stays together. Renderer, space and units are those of `rain`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from .description import describe_streaks
from .falling import rain_at_frame
from .populations import Populations, draw_streaks, with_farther
from .rain import Rain, add_rain, rain_veil, render_rain
from .streaks import RainParams, check_quantities, remove_streaks
from .types import Shape, check_values


@dataclass(frozen=True)
class MeasuredRain:
    """The rain of one picture in numbers.

    Lengths, widths and brightnesses are geometric means over the streaks, weighted by their area; a
    `_spread` is the standard deviation of the logarithm about it, of widths within a population.

    Example:
        >>> MeasuredRain(length_px=20.0).length_px
        20.0
    """

    angle_rad: float = 0.0
    angle_spread_rad: float = 0.05
    length_px: float = 30.0
    length_spread: float = 0.3
    width_px: float = 1.5
    width_spread: float = 0.3
    brightness: float = 0.2
    brightness_spread: float = 0.5
    coverage: float = 0.2
    taper: float = 0.5
    depth_share: float = 0.7
    ripple: float = 0.45
    ripple_px: float = 18.0
    ceiling: float = 2.0
    optical_depth: float = 0.0  # of the veil, -ln(transmission)
    airlight: float = 0.8

    def __post_init__(self) -> None:
        check_quantities(self)


@dataclass(frozen=True)
class Uncertainty:
    """Standard deviations of the errors of a measurement: of logarithms, and of the angle.

    Brightness and coverage are taken for one another, while their product, the light of the rain,
    is measured well: what an error of one adds, the other takes away.

    Example:
        >>> Uncertainty(length=0.1).length
        0.1
    """

    angle_rad: float = 0.02
    length: float = 0.2
    width: float = 0.15
    brightness: float = 0.2
    light: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            check_values(field.name, getattr(self, field.name), "standard deviation")


@dataclass(frozen=True)
class RainLike:
    """Prior over rain like that of measured pictures, of which each image takes one at random.

    Example:
        >>> row = MeasuredRain(length_px=40.0)
        >>> rain = RainLike((row,), Uncertainty(0, 0, 0, 0, 0))
        >>> rain.populate(2, torch.Generator().manual_seed(0)).length_px.flatten()
        tensor([35.9051, 35.9051])
    """

    rows: tuple[MeasuredRain, ...] = (MeasuredRain(),)
    uncertainty: Uncertainty = Uncertainty()
    rain_free: float = 0.06  # share of images without rain
    mirrored: bool = False  # half of the images get the angle from the other side
    varied: float = 0.0  # share of images that get `Rain` of all kinds instead
    far: float = 0.3  # coverage of the drops too far away to be measured, over that of the others

    apply = staticmethod(add_rain)
    render = staticmethod(render_rain)
    at_frame = staticmethod(rain_at_frame)
    without_streaks = staticmethod(remove_streaks)
    affine_veil = staticmethod(rain_veil)
    describe = staticmethod(describe_streaks)

    def __post_init__(self) -> None:
        check_quantities(self)

    def sample(self, shape: Shape, generator: torch.Generator) -> RainParams:
        near = self.populate(shape[0], generator)
        streaks = draw_streaks(near, shape, generator)
        return with_farther(streaks, near, torch.full((shape[0],), self.far), shape, generator)

    def populate(self, batch: int, generator: torch.Generator) -> Populations:
        """One population an image, moved by the uncertainty; ValueError without any row."""
        like = self._like(batch, generator)
        if not self.varied:
            return like
        other = Rain(rain_free=self.rain_free).populate(batch, generator)
        instead = torch.rand(batch, generator=generator) < self.varied

        def chosen(ours: Tensor, theirs: Tensor) -> Tensor:
            if ours.ndim == 1:
                return torch.where(instead, theirs, ours)
            return torch.where(instead[:, None], theirs, ours.expand_as(theirs))

        first = torch.arange(other.coverage.shape[1]) == 0  # further ones are empty
        like = replace(like, coverage=like.coverage * first)
        names = [field.name for field in fields(like) if field.name != "apart"]
        mixed: dict[str, Any] = {n: chosen(getattr(like, n), getattr(other, n)) for n in names}
        return Populations(**mixed)

    def _like(self, batch: int, generator: torch.Generator) -> Populations:
        if not self.rows:
            raise ValueError("rain like that of no picture at all: rows is empty")
        chosen = torch.randint(len(self.rows), (batch,), generator=generator).tolist()

        def of(name: str, uncertainty: float = 0.0) -> Tensor:
            """(B,) of the chosen pictures, moved by a log-normal factor."""
            values = torch.tensor([float(getattr(self.rows[row], name)) for row in chosen])
            return values * (uncertainty * torch.randn(batch, generator=generator)).exp()

        error = self.uncertainty
        length_spread, width_spread = of("length_spread"), of("width_spread")
        brightness_spread = of("brightness_spread")
        angle = of("angle_rad") + error.angle_rad * torch.randn(batch, generator=generator)
        if self.mirrored:
            angle = torch.where(torch.rand(batch, generator=generator) < 0.5, -angle, angle)
        rainy = torch.rand(batch, generator=generator) >= self.rain_free
        # From geometric means weighted by area to the plain means of log-normal populations.
        common = of("depth_share") * length_spread * width_spread
        length = of("length_px", error.length) * (-length_spread.square() / 2 - common).exp()
        width = of("width_px", error.width) * (-width_spread.square() / 2 - common).exp()
        brighter = (error.brightness * torch.randn(batch, generator=generator)).exp()
        bright = of("brightness") * brighter * (brightness_spread.square() / 2).exp()
        one_population: dict[str, Any] = {
            "angle_rad": angle, "angle_spread_rad": of("angle_spread_rad"),
            "length_px": length, "length_spread": length_spread,
            "width_px": width, "width_spread": width_spread,
            "brightness": bright, "brightness_spread": brightness_spread,
            "coverage": of("coverage", error.light) / brighter * rainy, "taper": of("taper"),
            "depth_share": of("depth_share"),
            "ripple": of("ripple"), "ripple_px": of("ripple_px"),
        }  # fmt: skip
        return Populations(
            **{name: values[:, None] for name, values in one_population.items()},
            ceiling=of("ceiling"),
            transmission=(-of("optical_depth")).exp(),
            airlight=of("airlight"),
        )
