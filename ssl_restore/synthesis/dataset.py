"""A data set of pairs in a folder: what is missing is made, side by side, and logged line by line.

    KIND/NAME.png    one folder for each kind of picture (`rainy`, `clean` ...), the same names
    video/TAKE.mp4   when asked for: the first kind of a shot as a clip
    meta.jsonl       one line a picture: names, seed, settings, version, what was drawn

A picture depends on the seed and the settings, its photograph's name, the number of the variant
and that of the frame, and on nothing else: not on the workers, the other photographs, or where a
run was interrupted.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from torch import Tensor

from degradations.sensor import quantise
from ssl_restore import __version__
from ssl_restore.device import thread_pool
from ssl_restore.errors import UserError
from ssl_restore.io import MAX_PIXELS, images, places, shots
from ssl_restore.io.clips.suffixes import is_clip
from ssl_restore.io.disk import write_error
from ssl_restore.io.fields import parsed
from ssl_restore.io.files import check_space, replacing
from ssl_restore.io.jobs import write
from ssl_restore.io.picture import Picture
from ssl_restore.io.shots import Frame

VIDEO = "video"
_BYTES_PER_PIXEL = 1.5  # of a photograph as PNG, about


class Maker(Protocol):
    """What makes the pictures of a data set."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The folders; the first holds the degraded pictures."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """All that the pictures depend on besides their photographs, as JSON has it."""

    def check(self) -> None:
        """UserError for settings that nothing can be made with."""

    def layers(self, photo: Tensor, frame: Frame) -> tuple[Sequence[Tensor], Mapping[str, Any]]:
        """The picture of each kind, (1, 3 or 1, H, W), and what was drawn for them."""


@dataclass(frozen=True)
class DatasetPlan:
    folder: Path
    maker: Maker
    wanted: tuple[Frame, ...]
    missing: tuple[Frame, ...]

    @property
    def complete(self) -> int:
        return len(self.wanted) - len(self.missing)


def plan(
    photos: Path,
    folder: Path,
    maker: Maker,
    *,
    variants: int = 1,
    frames: int | None = None,
    sequence: bool = False,
    recursive: bool = False,
    notify: Callable[[str], None] = lambda line: None,
) -> DatasetPlan:
    """What is still to be made; creates the folders and drops half-finished lines of meta.jsonl.

    UserError when the folder holds a data set of other settings or other photographs, or pictures
    that were not made for it, and when it would write over the photographs.
    """
    maker.check()
    if variants < 1:
        raise UserError(f"at least 1 is expected, got {variants}", parameter="variants")
    wanted = shots.frames(
        photos, variants=variants, count=frames, sequence=sequence, recursive=recursive,
        output=folder, notify=notify,
    )  # fmt: skip
    _check_folder(folder, photos, maker, wanted)
    lines = _read_meta(folder)
    for line in lines:
        _check_line(folder, line, maker.settings)
    complete = [
        line for line in lines if all(p.is_file() for p in _paths(folder, maker, line["name"]))
    ]
    origins = {line["name"]: (line["photo"], line["photo_bytes"]) for line in complete}
    for frame in wanted:
        if origins.get(frame.name, _origin(frame)) != _origin(frame):
            raise UserError(
                f"{folder}: its {frame.name} was made from another photograph than "
                f"{frame.source}; give another folder"
            )
    targets = [path for frame in wanted for path in _paths(folder, maker, frame.name)]
    places.check(folder, targets)
    for kind in maker.kinds:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    missing = tuple(frame for frame in wanted if frame.name not in origins)
    check_space(folder, _likely_size(folder, maker, missing), notify)
    with replacing(folder / "meta.jsonl") as temporary:
        temporary.write_text(
            "".join(json.dumps(line) + "\n" for line in complete), encoding="utf-8"
        )
    return DatasetPlan(folder, maker, tuple(wanted), missing)


def make(
    plan: DatasetPlan, *, workers: int = 1, max_pixels: int = MAX_PIXELS
) -> Iterator[str | None]:
    """Make what is missing; yields None for a picture made, a line for a photograph left out."""
    pending = deque[Future[dict[str, Any] | str]]()
    path = plan.folder / "meta.jsonl"
    # One torch thread a worker: sums are then formed in one order, whatever the worker count.
    with thread_pool(workers, each=1) as pool, path.open("a", encoding="utf-8") as meta:
        sources = shots.pictures(plan.missing, max_pixels)
        while True:
            for frame, read in sources:
                pending.append(pool.submit(_make_one, plan, frame, read))
                if len(pending) > 2 * workers:
                    break
            if not pending:
                return
            result = pending.popleft().result()
            if isinstance(result, dict):
                _append(meta, result, path)
            yield result if isinstance(result, str) else None


def _append(meta: TextIO, line: Mapping[str, Any], path: Path) -> None:
    try:
        meta.write(json.dumps(line) + "\n")
        meta.flush()
    except OSError as error:
        raise write_error(path, "cannot be written", error) from error


def clips(plan: DatasetPlan, fps: float) -> Iterator[Path]:
    """Write `video/TAKE.mp4` of every take that is complete, unless nothing of it is new."""
    folder, kind = plan.folder / VIDEO, plan.maker.kinds[0]
    takes: dict[str, list[Path]] = {}
    for frame in plan.wanted:
        takes.setdefault(frame.take, []).append(plan.folder / kind / f"{frame.name}.png")
    new = {frame.take for frame in plan.missing}
    folder.mkdir(exist_ok=True)
    for take, paths in takes.items():
        target = folder / f"{take}.mp4"
        if (take in new or not target.exists()) and all(path.is_file() for path in paths):
            target.parent.mkdir(parents=True, exist_ok=True)
            shots.write_clip(paths, target, fps)
            yield target


def _make_one(plan: DatasetPlan, frame: Frame, read: Callable[[], Picture]) -> dict[str, Any] | str:
    try:
        picture = read()
    except UserError as error:
        return str(error)
    try:
        source, size = _origin(frame)
    except OSError as error:
        return f"{frame.source}: cannot be read ({error.strerror}); it was there a moment ago"
    colour = picture.pixels.shape[2] == 3
    photo = quantise(images.to_tensor(picture.pixels))
    layers, parameters = plan.maker.layers(photo, frame)
    for kind, layer in zip(plan.maker.kinds, layers, strict=True):
        channels = layer.shape[1]
        like = np.empty((1, 1, channels), np.uint8)
        pixels = images.to_pixels(layer.expand(1, 3, -1, -1), like)
        icc = picture.icc if colour and channels == 3 else None
        write(plan.folder / kind / f"{frame.name}.png", Picture(pixels, icc=icc))
    number = {} if frame.number is None else {"frame": frame.number}
    return {
        "name": frame.name,
        **{kind: f"{kind}/{frame.name}.png" for kind in plan.maker.kinds},
        "photo": source,
        "photo_bytes": size,
        "variant": frame.variant,
        **number,
        **plan.maker.settings,
        "version": __version__,
        "drawn": parameters,
    }


def _check_folder(folder: Path, photos: Path, maker: Maker, wanted: Sequence[Frame]) -> None:
    source = photos.resolve()
    source = source if source.is_dir() else source.parent
    if any((folder / kind).resolve() == source for kind in (*maker.kinds, VIDEO)):
        raise UserError(f"{folder}: its {source.name} is the folder of photographs; give another")
    if not folder.is_dir() and not folder.absolute().parent.is_dir():
        raise UserError(f"{folder}: the folder {folder.parent} does not exist; create it first")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; give a folder")
    if not (folder / "meta.jsonl").exists():
        targets = [p for frame in wanted for p in _paths(folder, maker, frame.name)]
        targets += [folder / VIDEO / f"{take}.mp4" for take in {frame.take for frame in wanted}]
        foreign = [path for path in targets if path.exists()]
        if foreign:
            raise UserError(f"{foreign[0]}: was not made for this data set; give another folder")


def _likely_size(folder: Path, maker: Maker, missing: Sequence[Frame]) -> float:
    """Bytes that the missing pictures take, about."""
    of_photos = places.likely_size(
        (frame.source, path)
        for frame in missing if not is_clip(frame.source)
        for path in _paths(folder, maker, frame.name)
    )  # fmt: skip
    sizes = [frame.size or (0, 0) for frame in missing if is_clip(frame.source)]
    filmed = sum(height * width for height, width in sizes)
    return of_photos + _BYTES_PER_PIXEL * len(maker.kinds) * filmed


def _origin(frame: Frame) -> tuple[str, int]:
    name = frame.shot if frame.size is None else frame.source.name  # with its sub-folder
    return name, frame.source.stat().st_size


def _paths(folder: Path, maker: Maker, name: str) -> list[Path]:
    return [folder / kind / f"{name}.png" for kind in maker.kinds]


def _read_meta(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of meta.jsonl; the last one may have been cut short by a kill."""
    path = folder / "meta.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    entries = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            entry = parsed(line)
            if not isinstance(entry["name"], str):
                raise TypeError(entry["name"])
            _ = entry["photo"], entry["photo_bytes"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: line {number} is damaged; delete that line") from error
        entries.append(entry)
    return entries


def _check_line(folder: Path, line: dict[str, Any], settings: Mapping[str, Any]) -> None:
    for key, setting in json.loads(json.dumps(dict(settings))).items():
        if line.get(key) != setting:
            old, new = ("none" if v is None else v for v in (line.get(key), setting))
            raise UserError(
                f"{folder}: holds a data set of {key} {old}, not {new}; go on with "
                "its settings, or give another folder"
            )
