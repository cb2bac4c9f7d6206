"""Degradations one after the other on a photograph, band by band where it is rain, and in numbers.

Over the frames of a shot everything is drawn once: rain falls on from frame to frame
(`degradations.streaks.at_frame`), haze, drops on the lens and blur stay, and of noise the level
stays and the grain is drawn anew for each frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Generator, Tensor

from degradations.color import to_display, to_linear
from degradations.haze import HazeParams
from degradations.rain import Rain, add_rain
from degradations.rainfall import Rainfall, RainfallParams, add_rainfall
from degradations.sensor import quantise
from degradations.streaks import RainParams, at_frame, streak_layer
from degradations.types import Degradation, Range, Shape, map_tensors, tensors, uniform
from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.io.shots import Frame

BAND_PIXELS = 1 << 18  # rendered at a time: memory grows with the streaks in a band
SHUTTER = 0.5  # of rain in pixels: the exposure's share of the time from frame to frame
SIDE_PX = 480  # longer side of the pictures for which `sized` lengths are meant
LISTED = 64  # values of a tensor; of a larger one (a depth map) mean and range are logged
_NOISE = "degradations.noise"


@dataclass(frozen=True)
class Weather(Rainfall):
    """Rainfall whose focal length goes with the size of the picture, not by `focal_px`."""

    focal_sides: Range = (0.8, 2.0)  # focal length in longer sides of the picture: 64 to 28 degrees

    def of_size(self, height: int, width: int) -> Rainfall:
        low, high = (sides * max(height, width) for sides in self.focal_sides)
        return replace(in_pixels(self), focal_px=(low, high))


def in_pixels(weather: Rainfall) -> Rainfall:
    """The same weather before a camera of the focal length `focal_px`."""
    return Rainfall(**{f.name: getattr(weather, f.name) for f in fields(Rainfall)})


@dataclass(frozen=True)
class Degrader:
    """Makes the degraded picture, the clean one and, for rain, the layer of its streaks.

    `kinds` names them. The clean picture is the photograph, darkened where `light` is given. What
    is drawn depends on `seed`, the shot, the variant, and the name of the step.
    """

    steps: Mapping[str, Degradation]  # in their order; the name is that of the random stream
    kinds: tuple[str, ...]  # degraded, clean, and maybe the streaks
    settings: Mapping[str, Any]  # as JSON has it
    seed: int = 0
    light: Range | None = None  # share of the light that is left; None: all
    fps: float | None = None  # frames a second of a shot
    sized: tuple[str, ...] = ()  # ranges of the rain in pixels that grow with the picture

    def check(self) -> None:
        """UserError for settings that nothing can be drawn from, or that a grey picture refuses."""
        grey = torch.full((1, 3, 8, 8), 0.5)
        for name, prior in self.steps.items():
            if self.fps and isinstance(prior, Rainfall) and prior.exposure_s[1] * self.fps > 1:
                raise UserError(
                    f"an exposure of {prior.exposure_s[1]:g} s does not fit into {self.fps:g} "
                    "frames a second; give a shorter --exposure, or a lower --fps"
                )
            try:
                params, _ = _draw(prior, (1, 3, 8, 8), rng.derive(0, "check"))
                if not prior.apply(grey, params).isfinite().all():
                    raise ValueError("makes values that are not finite")
            except (ValueError, RuntimeError) as error:
                reason = str(error).split("\n", 1)[0]
                raise UserError(f"{name}: {reason}; `--set` and the options give ranges") from error

    def layers(self, photo: Tensor, frame: Frame) -> tuple[Sequence[Tensor], dict[str, Any]]:
        """The picture of each kind, and what was drawn, by the name of the step."""
        drawn: dict[str, Any] = {}
        clean, light = photo, None
        if self.light is not None:
            light = uniform(self.light, (1,), self._stream("light", frame), log=True)
            clean = quantise(to_display(light * to_linear(photo)))
            drawn["light"] = _short(light)
        image, streaks = clean, torch.zeros_like(photo[:, :1])
        height, width = photo.shape[2:]
        for name, prior in self.steps.items():
            params, exposure_s, scalars = self._params(name, prior, _shape(image), frame)
            params = moved(params, frame.number, _shape(image), self._shutter(exposure_s))
            if light is not None and isinstance(params, HazeParams):  # less light on the haze, too
                airlight = to_display(light * to_linear(params.airlight))
                params = replace(params, airlight=airlight)
            drawn[name] = {**scalars, **describe(params, height, width)}
            if isinstance(params, (RainParams, RainfallParams)):
                image, streaks = render(image, params)
            else:
                image = prior.apply(image, params)
        return (quantise(image), clean, streaks)[: len(self.kinds)], drawn

    def _stream(self, name: str, frame: Frame, number: int | None = None) -> Generator:
        purpose = f"synth/{frame.shot}/{name}" + ("" if number is None else f"/{number}")
        return rng.derive(self.seed, purpose, frame.variant)

    def _params(
        self, name: str, prior: Degradation, shape: Shape, frame: Frame
    ) -> tuple[Any, float | None, dict[str, float]]:
        if isinstance(prior, Rain):
            prior = grown(prior, self.sized, max(shape[2:]) / SIDE_PX)
        params, scalars = _draw(prior, shape, self._stream(name, frame))
        if frame.number is not None and type(prior).__module__ == _NOISE:
            grain = prior.sample(shape, self._stream(name, frame, frame.number))
            params = _of_the_shot(params, grain)
        return params, scalars.get("exposure_s"), scalars

    def _shutter(self, exposure_s: float | None) -> float:
        return SHUTTER if exposure_s is None or self.fps is None else exposure_s * self.fps


def grown(rain: Rain, names: Sequence[str], scale: float) -> Rain:
    """The same rain in a larger picture, these ranges times `scale`; as it is in a smaller one."""
    ranges: dict[str, Any] = {
        name: tuple(max(1.0, scale) * v for v in getattr(rain, name)) for name in names
    }
    return replace(rain, **ranges)


def _shape(image: Tensor) -> Shape:
    batch, channels, height, width = image.shape
    return batch, channels, height, width


def _draw(prior: Degradation, shape: Shape, generator: Generator) -> tuple[Any, dict[str, float]]:
    """Parameters, and for rainfall the weather and the camera, of which they say nothing."""
    scalars: dict[str, float] = {}
    if isinstance(prior, Rainfall):
        prior = prior.of_size(*shape[2:]) if isinstance(prior, Weather) else prior
        for field in fields(prior):
            value = getattr(prior, field.name)
            if isinstance(value, tuple):
                log = field.name not in {"wind_m_per_s", "airlight"}
                scalars[field.name] = float(uniform(value, (1,), generator, log=log))
        points: dict[str, Any] = {name: (value, value) for name, value in scalars.items()}
        prior = replace(prior, **points)
    return prior.sample(shape, generator), {n: _rounded(v) for n, v in scalars.items()}


def _of_the_shot(shot: Any, frame: Any) -> Any:
    """Noise of a frame: its levels, floats (B,), are the shot's; the grain is the frame's."""
    levels = {n: t for n, t in tensors(shot) if t.ndim == 1 and t.is_floating_point()}
    return replace(frame, **levels)


def moved(params: Any, number: int | None, shape: Shape, shutter: float) -> Any:
    """Parameters in frame `number` of a shot, counted from 1: rain has fallen on."""
    if number is None or number == 1:
        return params
    size = shape[2:]
    if isinstance(params, RainParams):
        return at_frame(params, number - 1, size, shutter=shutter)
    if isinstance(params, RainfallParams):
        return replace(params, rain=at_frame(params.rain, number - 1, size, shutter=shutter))
    return params


def render(image: Tensor, params: RainParams | RainfallParams) -> tuple[Tensor, Tensor]:
    """(rainy, streaks) of a picture (1, 3, H, W): (1, 3, H, W) and (1, 1, H, W), not clamped.

    The streaks are R of `degradations.streaks` (light added, display units), and for rainfall the
    opacity a of `degradations.rainfall`. Band by band what `add_rain` or `add_rainfall`, and
    `streak_layer`, make at once: 12 Mpixel of dense rain would fill 10 GB.
    """
    rain = params.rain if isinstance(params, RainfallParams) else params
    _, _, height, width = image.shape
    rows = max(1, BAND_PIXELS // width)
    half = (rain.length_px + rain.width_px + 4) / 2
    mean = to_linear(image).mean() if isinstance(params, RainfallParams) else image.new_zeros(())
    pieces = []
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        near = (rain.y_px + half >= top) & (rain.y_px - half <= bottom) & rain.present
        columns = near[0].nonzero()[:, 0]
        local = map_tensors(rain, lambda t, c=columns: t[:, c] if t.ndim == 2 else t)  # type: ignore[misc]
        local = replace(local, y_px=local.y_px - top)
        band = image[:, :, top:bottom]
        if isinstance(params, RainfallParams):
            rainy = _rainfall_band(band, replace(params, rain=local), mean)
        else:
            rainy = add_rain(band, local)
        pieces.append((rainy, streak_layer(local, bottom - top, width)))
    return torch.cat([p[0] for p in pieces], dim=2), torch.cat([p[1] for p in pieces], dim=2)


def _rainfall_band(band: Tensor, params: RainfallParams, mean: Tensor) -> Tensor:
    """`add_rainfall` of a band whose drops gather `around` times the mean of the whole picture.

    It takes the mean of what it is given: `around` makes up for that, and a grey row below, which
    is cut off again, keeps the mean of a black band above 0.
    """
    lit = torch.cat([band, torch.full_like(band[:, :, :1], 0.5)], dim=2)
    around = params.around * mean / to_linear(lit).mean()
    return add_rainfall(lit, replace(params, around=around))[:, :, :-1]


def describe(params: Any, height: int, width: int) -> dict[str, Any]:
    """Every parameter of one picture by name: a number, a list, of maps their mean and range.

    Of rain the means over its streaks; its streaks, maps and grain come again from the seed.
    """
    if isinstance(params, RainParams):
        return summary(params, height, width)
    if isinstance(params, RainfallParams):
        return {**summary(params.rain, height, width), "around": _short(params.around)}
    found: dict[str, Any] = {
        field.name: value
        for field in fields(params)
        if isinstance(value := getattr(params, field.name), (bool, int, float, str))
    }
    for name, tensor in tensors(params):
        values = tensor.flatten()
        if len(values) > LISTED:
            parts = values.double().mean(), values.min(), values.max()
            found[name] = dict(zip(("mean", "min", "max"), map(_short, parts), strict=True))
        elif tensor.is_floating_point():
            listed = [_short(value) for value in values]
            found[name] = listed[0] if tensor.ndim == 1 else listed
        else:
            found[name] = values.tolist()[0] if tensor.ndim == 1 else values.tolist()
    return found


def summary(params: RainParams, height: int, width: int) -> dict[str, float | int | None]:
    """The drawn rain of one picture in numbers; means over streaks centred in the picture.

    They are weighted by light, length x width x brightness: drops far away are many and do not
    show. coverage = sum of length x width of those streaks over the area; means are None without
    any light.
    """
    x, y = params.x_px[0], params.y_px[0]
    visible = params.present[0] & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    areas = (params.length_px * params.width_px)[0][visible].double()
    light = areas * params.brightness[0][visible]

    def mean(values: Tensor) -> float | None:
        return _short((light * values[0][visible]).sum() / light.sum()) if light.any() else None

    return {
        "streaks": int(visible.sum()),
        "angle_rad": mean(params.angle_rad),
        "length_px": mean(params.length_px),
        "width_px": mean(params.width_px),
        "brightness": mean(params.brightness),
        "coverage": _short(areas.sum() / (height * width)),
        "transmission": _short(params.transmission[0]),
        "airlight": _short(params.airlight[0]),
        "ceiling": _short(params.ceiling[0]),
    }


def _short(value: Tensor) -> float:
    return _rounded(float(value))


def _rounded(value: float) -> float:
    return float(f"{value:.6g}") if math.isfinite(value) else value
