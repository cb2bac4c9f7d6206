"""The rain of a folder in numbers: the file that `calibrate` writes and `--like` reads."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from degradations.choice import Choice
from degradations.harvested_rain import HarvestedRain
from degradations.rain import Rain
from degradations.rain_kinds import RAIN_KINDS
from degradations.rain_like import MeasuredRain, RainLike, Uncertainty
from degradations.types import Degradation
from ssl_restore import __version__
from ssl_restore.calibration import rain_layers
from ssl_restore.errors import UserError
from ssl_restore.io.fields import checked, parsed
from ssl_restore.io.files import replacing

FORMAT = 3
MOST, MOST_PX = 20.0, 1e4  # of the numbers in a file, of which lengths are in pixels
HARVESTED = 0.5  # share of images with rain of harvested layers, where there are any
RENAMED = {"doubt": "uncertainty", "dry": "rain_free"}  # keys of format 2, which still loads


@dataclass(frozen=True)
class PictureRain:
    """What was estimated of one picture."""

    file: str
    probability: float  # that there is rain in it
    rain: MeasuredRain
    populations: float  # 1 to 3: sorts of streaks of their own size and light
    mean: float  # of the rain layer, display units
    tail: float  # its 99 % quantile
    visible_share: float  # of the pixels with more than 0.02 of rain


@dataclass(frozen=True)
class RainCalibration:
    """The pictures with rain, how many have none, and how far the estimates can be trusted."""

    pictures: tuple[PictureRain, ...]
    rain_free: tuple[str, ...] = ()  # files in which no rain was found
    uncertainty: Uncertainty = field(
        default_factory=Uncertainty
    )  # standard deviations of the estimator's errors
    camera: dict[str, float] = field(default_factory=dict)  # as stated, with the implied rate
    version: str = __version__

    @property
    def unmeasured(self) -> float:
        """Share of the pictures in which no rain was found."""
        return len(self.rain_free) / max(1, len(self.rain_free) + len(self.pictures))

    def prior(self) -> RainLike:
        """Rain like that of these pictures."""
        return RainLike(tuple(p.rain for p in self.pictures), self.uncertainty, rain_free=0)

    def summary(self) -> dict[str, tuple[float, float, float]]:
        """Of every number the 5 % quantile, median and 95 % quantile over the pictures."""
        import numpy as np  # noqa: PLC0415

        rows = [_flat(picture) for picture in self.pictures]
        summary = {}
        for name in rows[0]:
            if name != "file":
                low, middle, high = np.quantile([row[name] for row in rows], (0.05, 0.5, 0.95))
                summary[name] = (float(low), float(middle), float(high))
        return summary

    def write(self, path: Path) -> None:
        content = {
            "format": FORMAT,
            "kind": "rain",
            "version": self.version,
            "folder": {
                name: dict(zip(("low", "median", "high"), map(_short, three), strict=True))
                for name, three in self.summary().items()
            },
            "camera": {name: _short(value) for name, value in self.camera.items()},
            "uncertainty": {
                name: _short(value) for name, value in asdict(self.uncertainty).items()
            },
            "rain_free": list(self.rain_free),
            "pictures": [
                {name: _short(value) for name, value in _flat(picture).items()}
                for picture in self.pictures
            ],
        }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


RAIN_FREE, NEAR, KINDS = 0.1, 0.1, 0.55  # of the rain that the built-in restorer learned from


def rain_prior(
    path: str,
    *,
    rain_free: float,
    varied: float,
    near: float = 0.0,
    kinds: float = 0.0,
    layers: str = "",
) -> Degradation:
    """For training: rain like that of a calibration file, of all kinds where there is none ("").

    A share of `rain_free` images has no rain, one of `varied` ones rain of all kinds in either
    case. Of rain of all kinds without a file, a share `near` of the populations is close to the
    camera, and a share `kinds` of the images has the kinds that cameras see (`rain_kinds`). With a
    folder of harvested `layers`, HARVESTED of the images have their rain instead.
    Mirrored, because the pictures that a restorer learns from are.
    """
    prior: Degradation
    if path:
        measured = read(Path(path)).prior()
        prior = replace(measured, rain_free=rain_free, varied=varied, mirrored=True)
    else:
        mixed = tuple(RAIN_KINDS) if kinds else ()
        prior = Rain(rain_free=rain_free, near=near, kinds=mixed, kind_share=kinds)
    if not layers:
        return prior
    harvested = HarvestedRain(rain_layers.read(Path(layers)), rain_free=rain_free)
    return Choice(prior, harvested, HARVESTED)


def wide_rain() -> Degradation:
    """Rain of all kinds, as the built-in restorer learned from it."""
    return rain_prior("", rain_free=RAIN_FREE, varied=0.0, near=NEAR, kinds=KINDS)


def read(path: Path) -> RainCalibration:
    """The calibration in a file; UserError when it is none, damaged, or of another version."""
    try:
        content = parsed(path.read_text(encoding="utf-8"))
        version, kind = content["format"], content.get("kind", "rain")
        if version == 2:
            content = {RENAMED.get(key, key): value for key, value in content.items()}
            version = FORMAT
    except OSError as error:
        raise UserError(f"{path}: could not be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: no calibration; calibrate a folder to make one") from error
    if kind != "rain":
        raise UserError(f"{path}: a calibration of {kind}, not of rain; calibrate a rainy folder")
    if version != FORMAT:
        raise UserError(
            f"{path}: a calibration of format {version}, this version reads {FORMAT}; "
            "calibrate the folder again"
        )
    try:
        found = {
            "pictures": tuple(_picture(row) for row in content["pictures"]),
            "uncertainty": checked(Uncertainty, _plausible(content["uncertainty"], 0.1)),
            **{name: content[name] for name in ("camera", "version")},
        }
        if not found["pictures"]:
            raise ValueError("no picture with rain")
        return checked(RainCalibration, {**found, "rain_free": tuple(content["rain_free"])})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({error}); calibrate the folder again") from error


def _flat(picture: PictureRain) -> dict[str, Any]:
    row = {name: value for name, value in vars(picture).items() if name != "rain"}
    return {**row, **asdict(picture.rain)}


def _plausible(values: dict[str, Any], share: float = 1.0) -> dict[str, Any]:
    """The values themselves; ValueError for one of which no rain could be drawn. Deviations, of
    logarithms, are limited to a tenth (a `share`)."""
    for name, value in values.items():
        most = MOST_PX if name.endswith("_px") else 0.1 * MOST if "spread" in name else MOST
        if isinstance(value, (int, float)) and abs(value) > share * most:
            raise ValueError(f"{name} is {value:g}")
    return values


def _picture(row: dict[str, Any]) -> PictureRain:
    names = {f.name for f in fields(MeasuredRain)}
    rain = checked(MeasuredRain, _plausible({name: row[name] for name in names}))
    others = {name: value for name, value in row.items() if name not in names}
    return checked(PictureRain, {"rain": rain, **others})


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value
