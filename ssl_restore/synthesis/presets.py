"""What `ssl-restore synth-rain` and `synth` put on photographs: presets, and settings by name.

    rainy/NAME.png     quantise(noise(drops(rain(haze(clean))))), 8-bit RGB; all but rain optional
    clean/NAME.png     the photograph as 8-bit RGB; of the preset `night` darkened
    rain/NAME.png      the layer of the streaks alone, 8-bit grey (without the veil)

    degraded/NAME.png  of `synth`: the named degradations, one after the other, 8-bit RGB
    clean/NAME.png     the photograph

`dataset` writes them, with meta.jsonl.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor

from degradations import (
    Degradation,
    Drops,
    HarvestedRain,
    Haze,
    Noise,
    Rain,
    RainParams,
    Range,
    Shape,
    Weather,
)
from ssl_restore import discover
from ssl_restore.errors import UnknownName, UserError, WrongCall
from ssl_restore.synthesis.degrader import Degrader


@dataclass(frozen=True)
class SlantingRain(Rain):
    """Rain whose wind blows from the left or, as often, from the right."""

    def sample(self, shape: Shape, generator: torch.Generator) -> RainParams:
        params = super().sample(shape, generator)
        turned = torch.rand(shape[0], 1, generator=generator) < 0.5
        return replace(params, angle_rad=torch.where(turned, -1, 1) * params.angle_rad)


@dataclass(frozen=True)
class GrowingRain:
    """Rain of which some ranges grow with the picture, and stay as they are in a small one."""

    rain: Rain
    growing: tuple[str, ...]  # names of ranges in pixels
    side_px: int = 480  # longer side of the pictures for which they are meant

    def for_picture(self, height: int, width: int, generator: torch.Generator) -> Rain:
        scale = max(1.0, max(height, width) / self.side_px)
        ranges: dict[str, Any] = {
            name: tuple(scale * value for value in getattr(self.rain, name))
            for name in self.growing
        }
        return replace(self.rain, **ranges)

    def sample(self, shape: Shape, generator: torch.Generator) -> RainParams:
        return self.for_picture(*shape[2:], generator).sample(shape, generator)

    def apply(self, image: Tensor, params: RainParams) -> Tensor:
        return self.rain.apply(image, params)


# Lengths and widths are in pixels of a picture of 480 x 320, on which they were chosen by eye.
GROWING = ("length_px", "width_px", "ripple_px", "kind_size")
PRESETS: Mapping[str, Rain] = {
    "mixed": Rain(rain_free=0),
    "drizzle": Rain(
        rain_free=0, angle_rad=(-0.25, 0.25), population_spread_rad=(0.01, 0.05),
        length_px=(6, 22), width_px=(0.5, 1.1), brightness=(0.08, 0.3), coverage=(0.01, 0.08),
        populations=(1, 2),
    ),
    "moderate": Rain(
        rain_free=0, angle_rad=(-0.4, 0.4), population_spread_rad=(0.01, 0.06),
        length_px=(14, 50), width_px=(0.6, 1.6), brightness=(0.1, 0.4), coverage=(0.04, 0.25),
        populations=(1, 3),
    ),
    "heavy": Rain(
        rain_free=0, angle_rad=(-0.6, 0.6), population_spread_rad=(0.01, 0.08),
        length_px=(22, 90), width_px=(0.6, 1.9), brightness=(0.08, 0.36), coverage=(0.1, 0.45),
        ceiling=(0.25, 0.7), populations=(2, 3), veil=0.3, transmission=(0.75, 0.95),
        airlight=(0.5, 0.8),
    ),
    "storm": Rain(
        rain_free=0, angle_rad=(-0.8, 0.8), population_spread_rad=(0.02, 0.12),
        length_px=(30, 120), width_px=(0.7, 2.4), brightness=(0.1, 0.4), coverage=(0.2, 0.7),
        ceiling=(0.25, 0.6), populations=(3, 3), veil=0.7, transmission=(0.65, 0.9),
        airlight=(0.5, 0.8),
    ),
    "windy": SlantingRain(  # the gusts are the spreads of the angle
        rain_free=0, angle_rad=(0.5, 1.0), angle_spread_rad=(0.03, 0.12),
        population_spread_rad=(0.03, 0.15), length_px=(18, 70), width_px=(0.6, 1.8),
        brightness=(0.08, 0.36), coverage=(0.06, 0.4), ceiling=(0.3, 1.0), populations=(2, 3),
        veil=0.3, transmission=(0.8, 0.97), airlight=(0.5, 0.8),
    ),
    # A long exposure with a flash or lamps near the camera: few, long, thin streaks that are
    # bright against a dark picture, and the noise of a high sensitivity. The photograph itself is
    # darkened (NIGHT_LIGHT), and streaks shine where it is bright.
    "night": Rain(
        rain_free=0, angle_rad=(-0.35, 0.35), angle_spread_rad=(0.005, 0.04),
        population_spread_rad=(0.01, 0.05), length_px=(40, 160), width_px=(0.6, 1.6),
        brightness=(0.1, 0.5), brightness_spread=(0.4, 0.9), coverage=(0.01, 0.1),
        populations=(1, 2), transmission=(0.8, 0.97), airlight=(0.1, 0.3), kinds=("night",),
    ),
    # Kinds that cameras see (`degradations.rain_kinds`).
    "roof": Rain(
        rain_free=0, angle_rad=(-0.3, 0.3), kinds=("drips",), populations=(3, 3),
    ),
    "bokeh": Rain(
        rain_free=0, angle_rad=(-0.5, 0.5), kinds=("bokeh",), populations=(1, 2),
    ),
    "dashes": Rain(
        rain_free=0, angle_rad=(-0.4, 0.4), kinds=("dashes", "far"), populations=(2, 3),
    ),
    "dashcam": Rain(
        rain_free=0, angle_rad=(-0.6, 0.6), population_spread_rad=(0.05, 0.3),
        kinds=("dashes", "streaks", "far"), populations=(2, 3), veil=0.5,
        transmission=(0.75, 0.97), airlight=(0.4, 0.8),
    ),
}  # fmt: skip
# The preset `rainfall`: streaks in metres and seconds, as faint as most rain is.
RAINFALL = Weather(
    rate_mm_per_h=(5.0, 100.0),
    exposure_s=(1 / 500, 1 / 100),
    aperture_m=(0.001, 0.004),
    focus_m=(5.0, 30.0),
    around=(2.0, 12.0),
    scene_m=(10.0, 50.0),
    airlight=(0.5, 0.8),
)
NIGHT_LIGHT: Range = (0.06, 0.25)  # of the photograph's, linear
NIGHT_NOISE = Noise(gain=(0.001, 0.005), sigma=(0.005, 0.025))
HAZE = Haze(visibility_m=(100, 1000))
DROPS = Drops()
NOISE = Noise(gain=(0, 0.005), sigma=(0, 0.04))


def rain(
    *,
    seed: int = 0,
    preset: str | None = None,
    like: Path | None = None,
    layers: Path | None = None,
    changes: Sequence[str] = (),
    veil: float | None = None,
    haze: bool = False,
    drops: bool = False,
    noise: bool = False,
    fps: float | None = None,
) -> Degrader:
    """Rain by a preset (`mixed` without one), whose streaks grow with the picture, or like that of
    a calibration file, or of harvested layers, in their pixels.

    `changes` are fields of the prior as `name=value`; `fps` is that of a shot, None for pictures.
    """
    if sum(given is not None for given in (preset, like, layers)) > 1:
        raise WrongCall("`preset`, `like` and `rain_layers` exclude each other: all say which rain")
    prior: Degradation
    if layers is not None:
        prior = _harvested(layers)
    elif like is not None:
        prior = _calibrated(like)
    else:
        preset = preset or "mixed"
        prior = _preset(preset)
    prior, changed = _changed(prior, changes)
    if veil is not None:
        if not 0 <= veil <= 1:
            raise UserError(f"a share from 0 to 1 is expected, got {veil}", parameter="veil")
        if not isinstance(prior, Rain):
            raise UserError(
                "rain of a rate or of a calibration has its own; leave it out", parameter="veil"
            )
        prior = replace(prior, veil=veil)
    if isinstance(prior, Rain):
        prior = GrowingRain(prior, tuple(name for name in GROWING if name not in changed))
    night = preset == "night"
    grain = NOISE if noise else NIGHT_NOISE if night else None
    steps: dict[str, Degradation | None] = {
        "haze": HAZE if haze else None,
        "rain": prior,
        "drops": DROPS if drops else None,
        "noise": grain,
    }
    settings = {"seed": seed, "preset": preset, "veil": veil, "set": changed, "fps": fps}
    settings |= {"haze": haze, "drops": drops, "noise": noise, "like": _digest(like)}
    if layers is not None:
        settings["layers"] = layers.resolve().name
    return Degrader(
        steps={name: step for name, step in steps.items() if step is not None},
        kinds=("rainy", "clean", "rain"),
        settings=settings,
        seed=seed,
        light=NIGHT_LIGHT if night else None,
        fps=fps,
    )


def degradation(
    names: Sequence[str], *, seed: int = 0, changes: Sequence[str] = (), fps: float | None = None
) -> Degrader:
    """Degradations by name, one after the other; `changes` are `name=value`, of several
    degradations `haze.name=value`.  One that is named twice is called `blur` and `blur-2`.
    """
    priors: dict[str, Degradation] = {}
    for name in names:
        plain = name.replace("_", "-").lower()
        number = sum(known.rstrip("-0123456789") == plain for known in priors) + 1
        priors[plain if number == 1 else f"{plain}-{number}"] = discover.degradation(name)()
    own: dict[str, list[str]] = {name: [] for name in priors}
    for change in changes:
        key, equals, text = change.partition("=")
        owner, dot, name = key.rpartition(".")
        owner = owner.replace("_", "-") if dot else next(iter(priors))
        if not dot and len(priors) > 1:
            raise UserError(
                f"{change}: say of which degradation, as {owner}.{change}", parameter="settings"
            )
        if owner not in priors:
            raise UnknownName("degradation", owner, priors)
        own[owner].append(name + equals + text)
    changed: dict[str, Any] = {}
    for name, prior in priors.items():
        priors[name], values = _changed(prior, own[name])
        changed |= {f"{name}.{key}": value for key, value in values.items()}
    settings = {"seed": seed, "degradations": list(priors), "set": changed, "fps": fps}
    return Degrader(priors, ("degraded", "clean"), settings, seed, fps=fps)


def settable(prior: type[Any]) -> dict[str, Any]:
    """Fields of a prior that `--set` takes, with their defaults: numbers, switches and ranges."""
    return {
        name: default
        for name, default in discover.settings(prior).items()
        if all(isinstance(v, (bool, int, float, str)) for v in _values(default))
    }


def _values(value: Any) -> Iterable[Any]:
    return value if isinstance(value, tuple) else (value,)


def _preset(name: str) -> Degradation:
    known: dict[str, Degradation] = {**PRESETS, "rainfall": RAINFALL}
    if name not in known:
        raise UnknownName("preset", name, known)
    return known[name]


def _calibrated(path: Path) -> Degradation:
    from ssl_restore.calibration import rain_file  # noqa: PLC0415

    return rain_file.read(path).prior()


def _harvested(folder: Path) -> Degradation:
    from ssl_restore.calibration import rain_layers  # noqa: PLC0415

    return HarvestedRain(rain_layers.read(folder), rain_free=0)


def _digest(path: Path | None) -> str | None:
    """`rain.json 0123456789abcdef`: the calibration's name and that of its bytes."""
    if path is None:
        return None
    return f"{path.name} {hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()}"


def _changed(prior: Any, changes: Iterable[str]) -> tuple[Any, dict[str, Any]]:
    """The prior with `name=value` changed, and the changes; one number is a range of itself."""
    assert is_dataclass(prior)
    kind = type(prior)
    known, hints = settable(kind), get_type_hints(kind)
    pairs = []
    for change in changes:
        name, equals, text = change.partition("=")
        if equals and name not in known:
            raise UnknownName("setting", name, known)
        if equals and hints[name] in (Range, tuple[int, int]) and "," not in text:
            change = f"{name}={text},{text}"  # noqa: PLW2901
        pairs.append(change)
    values = discover.parse_settings(kind, pairs)
    if isinstance(prior, Weather) and "focal_px" in values:
        prior = prior.in_pixels()
    names = {field.name for field in fields(prior)}
    try:
        return replace(prior, **{n: v for n, v in values.items() if n in names}), values
    except ValueError as error:
        raise WrongCall(str(error)) from error
