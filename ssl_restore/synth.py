"""A data set of rain rendered on photographs: what `ssl-restore synth-rain` makes.

    rainy/NAME.png   quantise(add_rain(clean)), 8-bit RGB
    clean/NAME.png   the photograph as 8-bit RGB
    rain/NAME.png    the layer of the streaks alone, 8-bit grey (without the veil)
    meta.jsonl       one line a picture: names, seed, preset, version, what was drawn

The rain of a picture depends on the seed, the photograph's name and the number of the variant,
and on nothing else: not on the workers, the other photographs, or where a run was interrupted.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from degradations.rain import Rain, RainParams, add_rain, streak_layer
from degradations.sensor import quantise
from degradations.types import map_tensors

from . import __version__, images, rng
from .device import crew
from .errors import UnknownName, UserError
from .files import replacing
from .picture import Picture

BAND_PIXELS = 1 << 18  # rendered at a time: memory grows with the streaks in a band
KINDS = ("rainy", "clean", "rain")
# Lengths and widths are in pixels, chosen by eye on pictures of 480 x 320.
PRESETS: Mapping[str, Rain] = {
    "mixed": Rain(dry=0),
    "drizzle": Rain(
        dry=0, angle_rad=(-0.25, 0.25), population_spread_rad=(0.01, 0.05),
        length_px=(6, 22), width_px=(0.5, 1.1), brightness=(0.08, 0.3), coverage=(0.01, 0.08),
        populations=(1, 2),
    ),
    "moderate": Rain(
        dry=0, angle_rad=(-0.4, 0.4), population_spread_rad=(0.01, 0.06),
        length_px=(14, 50), width_px=(0.6, 1.6), brightness=(0.1, 0.4), coverage=(0.04, 0.25),
        populations=(1, 3),
    ),
    "heavy": Rain(
        dry=0, angle_rad=(-0.6, 0.6), population_spread_rad=(0.01, 0.08),
        length_px=(22, 90), width_px=(0.6, 1.9), brightness=(0.08, 0.36), coverage=(0.1, 0.45),
        ceiling=(0.25, 0.7), populations=(2, 3), veil=0.3, transmission=(0.75, 0.95),
        airlight=(0.5, 0.8),
    ),
    "storm": Rain(
        dry=0, angle_rad=(-0.8, 0.8), population_spread_rad=(0.02, 0.12),
        length_px=(30, 120), width_px=(0.7, 2.4), brightness=(0.1, 0.4), coverage=(0.2, 0.7),
        ceiling=(0.25, 0.6), populations=(3, 3), veil=0.7, transmission=(0.65, 0.9),
        airlight=(0.5, 0.8),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What one data set is drawn from; a folder holds pictures of one of these only."""

    seed: int = 0
    preset: str = "mixed"
    veil: float | None = None  # share of pictures with a veil; None: the preset's

    def rain(self) -> Rain:
        if self.preset not in PRESETS:
            raise UnknownName("preset", self.preset, PRESETS)
        if self.veil is None:
            return PRESETS[self.preset]
        if not 0 <= self.veil <= 1:
            raise UserError(f"--veil {self.veil}: a share from 0 to 1 is expected")
        return replace(PRESETS[self.preset], veil=self.veil)


@dataclass(frozen=True)
class Entry:
    """A picture of the data set that is to be made."""

    photo: Path
    variant: int
    name: str  # without suffix


@dataclass(frozen=True)
class Plan:
    folder: Path
    settings: Settings
    missing: tuple[Entry, ...]
    complete: int


def plan(photos: Path, folder: Path, settings: Settings, *, variants: int = 1) -> Plan:
    """What is still to be made; creates the folders and drops half-finished lines of meta.jsonl.

    UserError when the folder holds a data set of other settings or other photographs, or pictures
    that this command did not make, and when it would write over the photographs.
    """
    settings.rain()
    if variants < 1:
        raise UserError(f"--variants {variants}: at least 1 is expected")
    entries = _entries(images.find(photos), variants)
    source = photos.resolve()
    if any((folder / kind).resolve() == source for kind in KINDS):
        raise UserError(f"{folder}: its {source.name} is the folder of photographs; give another")
    if not folder.is_dir() and not folder.absolute().parent.is_dir():
        raise UserError(f"{folder}: the folder {folder.parent} does not exist; create it first")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; give a folder")
    lines = _read_meta(folder)
    if not (folder / "meta.jsonl").exists():
        foreign = [p for e in entries for p in _paths(folder, e.name) if p.exists()]
        if foreign:
            raise UserError(f"{foreign[0]}: was not made by synth-rain; give another folder")
    for line in lines:
        _check_line(folder, line, settings)
    kept = [line for line in lines if all(p.is_file() for p in _paths(folder, line["name"]))]
    done = {line["name"]: line for line in kept}
    for entry in entries:
        made = done.get(entry.name)
        if made and (made["photo"], made["photo_bytes"]) != _origin(entry.photo):
            raise UserError(
                f"{folder}: its {entry.name} was made from another photograph than {entry.photo}; "
                "give another folder"
            )
    for kind in KINDS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    with replacing(folder / "meta.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    missing = tuple(entry for entry in entries if entry.name not in done)
    return Plan(folder, settings, missing, len(entries) - len(missing))


def make(plan: Plan, *, workers: int = 1, max_pixels: int = 200_000_000) -> Iterator[str | None]:
    """Make what is missing; yields None for a picture made, a line for a photograph left out."""
    rain, pending = plan.settings.rain(), deque[Future[dict[str, Any] | str]]()
    # One torch thread a worker: sums are then formed in one order, whatever the worker count.
    path = plan.folder / "meta.jsonl"
    with crew(workers, each=1) as pool, path.open("a", encoding="utf-8") as meta:
        entries = iter(plan.missing)
        while True:
            for entry in entries:
                pending.append(pool.submit(_make_one, plan, entry, rain, max_pixels))
                if len(pending) > 2 * workers:
                    break
            if not pending:
                return
            result = pending.popleft().result()
            if isinstance(result, dict):
                meta.write(json.dumps(result) + "\n")
                meta.flush()
            yield result if isinstance(result, str) else None


def render(clean: Tensor, params: RainParams) -> tuple[Tensor, Tensor]:
    """(rainy, streaks) of a picture (1, 3, H, W): (1, 3, H, W) and (1, 1, H, W), not clamped.

    `add_rain` and `streak_layer` band by band: 12 Mpixel of dense rain would fill 10 GB at once.
    """
    _, _, height, width = clean.shape
    rows = max(1, BAND_PIXELS // width)
    half = (params.length_px + params.width_px + 4) / 2
    pieces = []
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        near = (params.y_px + half >= top) & (params.y_px - half <= bottom)
        near &= params.present
        columns = near[0].nonzero()[:, 0]
        local = map_tensors(params, lambda t, c=columns: t[:, c] if t.ndim == 2 else t)  # type: ignore[misc]
        local = replace(local, y_px=local.y_px - top)
        pieces.append(
            (add_rain(clean[:, :, top:bottom], local), streak_layer(local, bottom - top, width))
        )
    return torch.cat([p[0] for p in pieces], dim=2), torch.cat([p[1] for p in pieces], dim=2)


def summary(params: RainParams, height: int, width: int) -> dict[str, float | int | None]:
    """The drawn rain of one picture in numbers; means over streaks centred in the picture.

    coverage = sum of length x width of those streaks over the area; means are None without any.
    """
    x, y = params.x_px[0], params.y_px[0]
    seen = params.present[0] & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    count = int(seen.sum())

    def mean(values: Tensor) -> float | None:
        return _short(values[0][seen].double().mean()) if count else None

    area = (params.length_px * params.width_px)[0][seen].double().sum() / (height * width)
    return {
        "streaks": count,
        "angle_rad": mean(params.angle_rad),
        "length_px": mean(params.length_px),
        "width_px": mean(params.width_px),
        "brightness": mean(params.brightness),
        "coverage": _short(area),
        "transmission": _short(params.transmission[0]),
        "airlight": _short(params.airlight[0]),
        "ceiling": _short(params.ceiling[0]),
    }


def _short(value: Tensor) -> float:
    return float(f"{float(value):.6g}")


def _make_one(plan: Plan, entry: Entry, rain: Rain, max_pixels: int) -> dict[str, Any] | str:
    try:
        picture = images.read(entry.photo, max_pixels=max_pixels)
    except UserError as error:
        return str(error)
    profile = picture.icc if picture.pixels.shape[2] == 3 else None
    clean = quantise(images.to_tensor(picture.pixels))
    height, width = clean.shape[2:]
    generator = rng.derive(plan.settings.seed, f"synth/{entry.photo.name}", entry.variant)
    params: RainParams = rain.sample((1, 3, height, width), generator)
    rainy, streaks = render(clean, params)
    colour = np.empty((1, 1, 3), np.uint8)
    for kind, tensor, like in zip(
        KINDS, (quantise(rainy), clean, streaks.expand(1, 3, -1, -1)),
        (colour, colour, colour[:, :, :1]), strict=True,
    ):  # fmt: skip
        pixels = images.to_pixels(tensor, like)
        icc = profile if pixels.shape[2] == 3 else None
        images.write(plan.folder / kind / f"{entry.name}.png", Picture(pixels, icc=icc))
    photo, size = _origin(entry.photo)
    return {
        "name": entry.name,
        **{kind: f"{kind}/{entry.name}.png" for kind in KINDS},
        "photo": photo,
        "photo_bytes": size,
        "variant": entry.variant,
        "seed": plan.settings.seed,
        "preset": plan.settings.preset,
        "veil": plan.settings.veil,
        "version": __version__,
        **summary(params, height, width),
    }


def _entries(photos: Sequence[Path], variants: int) -> list[Entry]:
    """Variant 0 has the photograph's name, further ones NAME-2, NAME-3 ..."""
    entries, owners = [], dict[str, Path]()
    for photo in photos:
        for variant in range(variants):
            name = f"{photo.stem}-{variant + 1}" if variant else photo.stem
            other = owners.setdefault(name, photo)
            if other != photo:
                raise UserError(
                    f"{photo.parent}: {other.name} and {photo.name} would both become {name}.png; "
                    "rename one"
                )
            entries.append(Entry(photo, variant, name))
    return entries


def _origin(photo: Path) -> tuple[str, int]:
    return photo.name, photo.stat().st_size


def _paths(folder: Path, name: str) -> list[Path]:
    return [folder / kind / f"{name}.png" for kind in KINDS]


def _read_meta(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of meta.jsonl; the last one may have been cut short by a kill."""
    path = folder / "meta.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    found = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            entry = json.loads(line)
            _ = entry["name"], entry["photo"], entry["photo_bytes"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: line {number} is damaged; delete that line") from error
        found.append(entry)
    return found


def _check_line(folder: Path, line: dict[str, Any], settings: Settings) -> None:
    for key, wanted in vars(settings).items():
        if line.get(key) != wanted:
            raise UserError(
                f"{folder}: holds a data set of {key} {line.get(key)}, not {wanted}; go on with "
                "its settings, or give another folder"
            )
