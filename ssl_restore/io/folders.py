"""Which pictures of a folder go where: names are kept, and inputs never overwritten."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import Picture


@dataclass(frozen=True)
class Job:
    """A picture to restore and where the result goes."""

    source: Path
    target: Path
    layer: Path | None = None  # where what was taken goes


def plan(
    source: Path,
    output: Path,
    *,
    recursive: bool = False,
    overwrite: bool = False,
    layers: Path | None = None,
    also: Sequence[Path] = (),
) -> list[Job]:
    """What to restore into what; nothing is read or written yet.

    A file goes to a file (the suffix may ask for another format) or into a folder: one that
    exists, or a name without a suffix. A folder goes to a folder under the same names; what was
    taken goes to the folder `layers`, as .png. `also` are inputs beside the pictures. UserError
    when a result would replace an input, when it exists (unless `overwrite`), and when the parent
    folder of the output does not exist.
    """
    if _same(source, output):
        raise UserError(f"{output}: is the input itself; inputs are kept, give another output")
    if source.is_dir():
        jobs = _plan_folder(source, output, recursive)
    else:
        jobs = [_plan_file(source, output)]
    if layers is not None:
        jobs = _with_layers(jobs, source, layers)
    inputs = {_identity(job.source) for job in jobs}
    inputs |= {_identity(path) for path in also if path.exists()}
    results = [path for job in jobs for path in (job.target, job.layer) if path is not None]
    for path in results:
        if path.exists() and _identity(path) in inputs:
            raise UserError(f"{path}: is one of the inputs; give another output")
    existing = [path for path in results if os.path.lexists(path)]
    if existing and not overwrite:
        if not source.is_dir():
            raise UserError(f"{existing[0]}: exists; `overwrite` replaces it, or give another name")
        raise UserError(
            f"{output}: {len(existing)} of {len(results)} results exist ({existing[0].name} ...); "
            "`overwrite` replaces them, or give another folder"
        )
    return jobs


def _plan_file(source: Path, output: Path) -> Job:
    if not source.exists():
        raise UserError(f"{source}: no such file or folder; check the spelling")
    into_folder = output.is_dir() or not output.suffix
    if not into_folder and output.suffix.lower() not in images.FORMATS:
        raise UserError(
            f"{output}: unknown suffix {output.suffix!r}; use one of {', '.join(images.FORMATS)}, "
            "or name a folder"
        )
    _need_parent(output)
    if into_folder and os.path.lexists(output) and not output.is_dir():
        raise UserError(f"{output}: is a file without a suffix; give a picture's name or a folder")
    return Job(source, output / source.name if into_folder else output)


def _plan_folder(source: Path, output: Path, recursive: bool) -> list[Job]:
    if os.path.lexists(output) and not output.is_dir():
        raise UserError(f"{output}: is a file; for a folder of pictures give a folder")
    _need_parent(output)
    inside = output.resolve()  # results of an earlier run are no inputs
    paths = [
        path
        for path in images.find(source, recursive=recursive)
        if inside not in path.resolve().parents
    ]
    if not paths:
        raise UserError(f"{source}: no picture in it but those in the output folder {output}")
    return [Job(path, output / path.relative_to(source)) for path in paths]


def _with_layers(jobs: list[Job], source: Path, layers: Path) -> list[Job]:
    if os.path.lexists(layers) and not layers.is_dir():
        raise UserError(f"{layers}: is a file; give a folder", parameter="layers")
    _need_parent(layers)
    root = source if source.is_dir() else source.parent
    sources = [job.source.relative_to(root) for job in jobs]
    count = Counter(path.with_suffix("") for path in sources)
    names = [  # a.png; of a.jpg and a.png a.jpg.png and a.png.png
        path.with_suffix(".png") if count[path.with_suffix("")] == 1 else Path(f"{path}.png")
        for path in sources
    ]
    twice = next((name for name, number in Counter(names).items() if number > 1), None)
    if twice is not None:
        raise UserError(f"{root}: layers of two pictures would be {twice}; rename one of them")
    if any(layers.resolve() == job.target.resolve().parent for job in jobs):
        raise UserError(f"{layers}: the results go there; give another folder", parameter="layers")
    return [replace(job, layer=layers / name) for job, name in zip(jobs, names, strict=True)]


def _need_parent(output: Path) -> None:
    if not output.is_dir() and not output.absolute().parent.is_dir():
        raise UserError(f"{output}: the folder {output.parent} does not exist; create it first")


def _same(one: Path, other: Path) -> bool:
    """The same file or folder, however it is spelt or linked."""
    return one.exists() and other.exists() and _identity(one) == _identity(other)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def taken(before: Picture, after: Picture) -> Picture:
    """What was taken from a picture: what is darker now."""
    less = np.where(before.pixels > after.pixels, before.pixels - after.pixels, 0)
    return Picture(less.astype(before.pixels.dtype))


def write(target: Path, picture: Picture) -> None:
    """Write a picture and make the folder that it goes to."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{target}: its folder cannot be made ({error.strerror})") from error
    images.write(target, picture)
