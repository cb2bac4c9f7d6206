"""Layers of real rain from clips of cameras that do not move, in a folder of pictures.

A layer is a frame minus its background (`background.py`), where that is known and brighter than
noise: an 8-bit picture, black where there is no rain. `layers.json` says where each comes from and
what was rejected; `sheet.jpg` shows them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ssl_restore import __version__
from ssl_restore.calibration import background
from ssl_restore.calibration.background import Place
from ssl_restore.errors import UserError
from ssl_restore.io import images, video
from ssl_restore.io.fields import parsed
from ssl_restore.io.files import replacing
from ssl_restore.io.manifest import identity
from ssl_restore.io.picture import Picture, Pixels, eight_bit_rgb

FAINTEST = 3  # of 255, mean of the colours: what is weaker is noise and compression
LEAST_KNOWN = 0.3  # share of the pixels whose background is known
LEAST_RAIN = 0.01  # of 255, mean light of the rain
LARGE_PX, MOST_LARGE = 25, 0.5  # light that a blur of this size keeps, as of lamps and things
SHEET, INDEX = "sheet.jpg", "layers.json"
SHOWN, SHOWN_PX = 12, 240  # layers on the sheet, and their width


@dataclass(frozen=True)
class Harvest:
    """Layers of a clip by the number of their frame, and a line for each frame without one."""

    layers: dict[int, Pixels]  # (H, W, 3) uint8
    rejected: tuple[str, ...]


def harvest(source: Path, count: int, *, on_read: Callable[[], object] = lambda: None) -> Harvest:
    """Up to `count` layers, spread evenly over a clip or a folder of frames.

    Raises:
        UserError: For what is no clip of one scene, or shows no rain.
    """
    clip = background.find(video.find(source), count, on_read=on_read)
    layers: dict[int, Pixels] = {}
    rejected = list(clip.skipped)
    for place in clip.places:
        reason = _reason_against(place)
        if reason is None:
            layers[place.number] = layer_of(place)
        else:
            rejected.append(f"{source}: frame {place.number}: {reason}")
    if not layers:
        raise UserError(f"{source}: no layer of rain could be taken ({rejected[0]})")
    return Harvest(layers, tuple(rejected))


def layer_of(place: Place) -> Pixels:
    """(H, W, 3) uint8: light over the background, 0 where it is unknown or too faint."""
    light = np.clip(place.layer, 0, 255).astype(np.uint8)
    light[light.mean(axis=2) <= FAINTEST] = 0
    return light


def _reason_against(place: Place) -> str | None:
    if place.mask.mean() < LEAST_KNOWN:
        return f"{1 - place.mask.mean():.0%} of it moves"
    if background.rain_light(place) < LEAST_RAIN:
        return "no rain to be seen"
    light = layer_of(place).mean(axis=2)
    smooth = cv2.morphologyEx(light, cv2.MORPH_OPEN, np.ones((LARGE_PX, LARGE_PX)))
    if smooth.sum() > MOST_LARGE * light.sum():
        return "most of what is brighter is larger than rain"
    return None


def is_harvested(folder: Path, source: Path, count: int) -> bool:
    """Whether a folder holds the layers of this clip, so many asked for, by this version."""
    known = _known(folder)
    return known.get("version") == __version__ and any(
        clip.get("identity") == _identity(source, count)
        and all((folder / name).is_file() for name in clip["layers"])
        for clip in known["clips"]
    )


def _identity(source: Path, count: int) -> list[int]:
    """By which a clip is known again; of a folder of frames by all of them."""
    files = images.find(source) if source.is_dir() else [source]
    sizes, times = zip(*(identity(path) for path in files), strict=True)
    return [len(files), sum(sizes), max(times), count]


def _known(folder: Path) -> dict[str, Any]:
    index = folder / INDEX
    if not index.is_file():
        return {"clips": []}
    try:
        known = parsed(index.read_text(encoding="utf-8"))
        _ = [name for clip in known["clips"] for name in _names(clip)]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{index}: damaged; remove it, or give another folder") from error
    return dict(known)


def _names(clip: Mapping[str, Any]) -> list[str]:
    """Of the layers of a clip, in the folder itself."""
    names = [str(name) for name in clip["layers"]]
    if any(Path(name).name != name for name in names):
        raise ValueError(names)
    return names


def write(folder: Path, source: Path, found: Harvest, count: int) -> None:
    """The layers of a clip, of which so many were asked for, into a folder, beside those of others,
    whose files are not replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {n: f"{source.stem or source.name}-{n:05}.png" for n in found.layers}
    for name in names.values():
        if (folder / name).exists():
            raise UserError(f"{folder / name}: exists; give another folder")
    for number, layer in found.layers.items():
        images.write(folder / names[number], Picture(layer))
    known = _known(folder) | {"version": __version__}
    known["clips"].append(
        {"source": str(source), "identity": _identity(source, count),
         "layers": list(names.values()), "rejected": list(found.rejected)}
    )  # fmt: skip
    with replacing(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    _write_sheet(folder / SHEET, list(found.layers.values()))


def _write_sheet(path: Path, layers: list[Pixels]) -> None:
    count = min(SHOWN, len(layers))
    height, width = layers[0].shape[:2]
    size = SHOWN_PX, max(1, round(SHOWN_PX * height / width))
    shown = [
        np.asarray(cv2.resize(cv2.convertScaleAbs(layers[n * len(layers) // count], alpha=4), size))
        for n in range(count)
    ]
    shown += [np.zeros_like(shown[0])] * (-len(shown) % 4)
    rows = [np.hstack(shown[n : n + 4]) for n in range(0, len(shown), 4)]
    with replacing(path) as temporary:
        images.write(temporary, Picture(np.vstack(rows)))


def read(folder: Path) -> tuple[Tensor, ...]:
    """The layers in a folder, (3, H, W) uint8 each; UserError where there are none."""
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no folder of layers of rain; `ssl-restore rain-layers` takes them from a "
            "clip",
            parameter="rain_layers",
        )
    paths = [path for path in images.find(folder) if path.name != SHEET]
    read_in = (eight_bit_rgb(images.read(path).pixels) for path in paths)
    layers = tuple(torch.from_numpy(pixels).permute(2, 0, 1).contiguous() for pixels in read_in)
    if not any(layer.any() for layer in layers):
        raise UserError(f"{folder}: all layers are black; take others", parameter="rain_layers")
    return layers
