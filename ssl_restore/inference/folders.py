"""A restorer on files and folders: what `derain` and `denoise` do.

Names, formats, bit depth, alpha, profile and EXIF are kept.  On a CPU small pictures are restored
side by side, one a core; of the large ones the next is read and the last is written while one is
computed, so that never more than three are in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from ssl_restore import weights
from ssl_restore.device import thread_pool
from ssl_restore.errors import UserError
from ssl_restore.inference.tiles import MIRRORED, Ensemble, restore, tile_sides
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.networks.shuffled import Shuffled
from ssl_restore.networks.unet import RainUNet, WithoutVeil
from ssl_restore.training import checkpoint

SMALL_PIXELS = 1_000_000  # up to this, side by side is faster (benchmarks/EXPERIMENTS.md)


@dataclass(frozen=True)
class Job:
    """A picture to restore and where the result goes."""

    source: Path
    target: Path


def open_restorer(
    path: Path | None, device: torch.device, *, task: str = "derain", learns: bool = False
) -> nn.Module:
    """The restorer of a checkpoint, or the one built in for a task, ready on the device.

    One that `learns` is slower: its norms are not folded into convolutions.
    """
    if path is None:
        path = weights.built_in(task)
        if not path.is_file():
            raise UserError(
                f"this installation lacks the built-in restorer of `{task}` ({path}); install "
                "ssl-restore again, or give --weights restorer.safetensors of your own `fit`"
            )
    restorer, _ = checkpoint.load(path)
    if not learns and hasattr(restorer, "folded"):
        restorer = restorer.folded()  # type: ignore[operator]
    restorer.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return restorer


def without_veil(restorer: nn.Module) -> nn.Module:
    """A derainer that takes away the veil, too; UserError for one that knows none."""
    if not isinstance(restorer, RainUNet):
        raise UserError(
            f"--veil: these weights are of a {type(restorer).__name__}, which estimates no veil; "
            "leave --veil out"
        )
    return WithoutVeil(restorer)


def with_pixel_shuffle(restorer: nn.Module, grain: int) -> nn.Module:
    """The restorer itself for 1; for noise coarser than it knows, on every `grain`-th pixel."""
    return restorer if grain == 1 else Shuffled(restorer, grain)


def with_self_ensemble(restorer: nn.Module, quality: str) -> nn.Module:
    """The restorer itself for `fast`; for `best` its mean over positions of the picture: it and its
    mirror image for a derainer, as rain falls down, all eight for others."""
    if quality == "fast":
        return restorer
    falls = isinstance(restorer, (RainUNet, WithoutVeil))
    return Ensemble(restorer, (0, MIRRORED) if falls else range(8))


def plan(
    source: Path, output: Path, *, recursive: bool = False, overwrite: bool = False
) -> list[Job]:
    """What to restore into what; nothing is read or written yet.

    A file goes to a file (the suffix may ask for another format) or into a folder: one that
    exists, or a name without a suffix. A folder goes to a folder under the same names. UserError
    when a result would replace an input, when it exists (unless `overwrite`), and when the parent
    folder of the output does not exist.
    """
    if _same(source, output):
        raise UserError(f"{output}: is the input itself; inputs are kept, give another output")
    if source.is_dir():
        jobs = _plan_folder(source, output, recursive)
    else:
        jobs = [_plan_file(source, output)]
    inputs = {_identity(job.source) for job in jobs}
    for job in jobs:
        if job.target.exists() and _identity(job.target) in inputs:
            raise UserError(f"{job.target}: is one of the inputs; give another output")
    existing = [job.target for job in jobs if os.path.lexists(job.target)]
    if existing and not overwrite:
        if not source.is_dir():
            raise UserError(f"{existing[0]}: exists; --overwrite replaces it, or give another name")
        raise UserError(
            f"{output}: {len(existing)} of {len(jobs)} results exist ({existing[0].name} ...); "
            "--overwrite replaces them, or give another folder"
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
    found = [
        path
        for path in images.find(source, recursive=recursive)
        if inside not in path.resolve().parents
    ]
    if not found:
        raise UserError(f"{source}: no picture in it but those in the output folder {output}")
    return [Job(path, output / path.relative_to(source)) for path in found]


def _need_parent(output: Path) -> None:
    if not output.is_dir() and not output.absolute().parent.is_dir():
        raise UserError(f"{output}: the folder {output.parent} does not exist; create it first")


def _same(one: Path, other: Path) -> bool:
    """The same file or folder, however it is spelt or linked."""
    return one.exists() and other.exists() and _identity(one) == _identity(other)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def restore_all(
    jobs: Sequence[Job],
    restorer: nn.Module,
    *,
    tile: int | None = None,
    precision: str = "auto",
    max_pixels: int = 200_000_000,
    done: Callable[[int, int], None] = lambda pixels, expected: None,
) -> list[str]:
    """Restore every job; returns one line for each picture that could not be.

    `done(n, expected)` is called as tiles and small pictures are ready: `n` pixels more, of
    `expected` in all jobs.
    """
    tile_sides(1, 1, tile, 0, int(restorer.stride))  # type: ignore[arg-type]  # refuses a bad tile
    sizes = {job: images.pixel_count(job.source) for job in jobs}
    expected = sum(sizes.values())

    def read(job: Job) -> Picture:
        return images.read(job.source, max_pixels=max_pixels)

    def restored(job: Job, picture: Picture, ready: Callable[[int], None]) -> Picture:
        try:
            pixels = restore(restorer, picture.pixels, tile=tile, precision=precision, done=ready)
        except UserError as error:
            raise UserError(f"{job.source}: {error}") from error
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            raise UserError(f"{job.source}: out of memory; try a smaller --tile") from error
        return replace(picture, pixels=pixels)

    def whole(job: Job) -> None:
        write(job.target, restored(job, read(job), lambda n: None))

    on_cpu = next(restorer.parameters()).device.type == "cpu"
    small: list[Job] = []
    large: list[Job] = []
    for job in jobs:
        alone = len(jobs) == 1 or not on_cpu or sizes[job] > SMALL_PIXELS
        (large if alone else small).append(job)
    skipped = _side_by_side(small, whole, lambda job: done(sizes[job], expected))
    shown = partial(restored, ready=lambda n: done(n, expected))
    return skipped + _in_turn(large, read, shown)


def _side_by_side(
    jobs: Sequence[Job], whole: Callable[[Job], None], done: Callable[[Job], None]
) -> list[str]:
    """As many jobs at once as torch has threads, one thread each; returns what was skipped."""
    skipped: list[str] = []
    with thread_pool(len(jobs)) as pool:
        futures = [pool.submit(whole, job) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            try:
                future.result()
                done(job)
            except UserError as error:
                skipped.append(str(error))
    return skipped


def _in_turn(
    jobs: Sequence[Job], read: Callable[[Job], Picture], restored: Callable[[Job, Picture], Picture]
) -> list[str]:
    """One job after the other, all threads on each; returns what was skipped."""
    if not jobs:
        return []
    skipped: list[str] = []
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        upcoming = reader.submit(read, jobs[0])
        writing: Future[None] | None = None

        def written() -> None:
            try:
                if writing is not None:
                    writing.result()
            except UserError as error:
                skipped.append(str(error))

        for job, following in zip(jobs, [*jobs[1:], None], strict=True):
            reading = upcoming
            if following is not None:
                upcoming = reader.submit(read, following)
            try:
                picture = restored(job, reading.result())
            except UserError as error:
                skipped.append(str(error))
                continue
            written()
            writing = writer.submit(write, job.target, picture)
        written()
    return skipped


def one_by_one(
    jobs: Sequence[Job],
    finish: Callable[[Job, Picture, Callable[[float], None]], None],
    *,
    max_pixels: int,
    done: Callable[[float], None],
) -> list[str]:
    """For what learns from each picture: read it, and `finish(job, picture, progress)` writes.

    Returns one line for each picture that could not be restored. `progress(share)` takes the share
    of the job that is done, `done(share)` is called with every further one.
    """
    skipped: list[str] = []
    for job in jobs:
        so_far = 0.0

        def progress(share: float) -> None:
            nonlocal so_far
            done(share - so_far)
            so_far = share

        try:
            picture = images.read(job.source, max_pixels=max_pixels)
            finish(job, picture, progress)
        except UserError as error:
            named = any(str(error).startswith(str(path)) for path in (job.source, job.target))
            skipped.append(str(error) if named else f"{job.source}: {error}")
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            skipped.append(f"{job.source}: out of memory; try a smaller --tile")
        progress(1.0)
    return skipped


def write(target: Path, picture: Picture) -> None:
    """Write a picture and make the folder that it goes to."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{target}: its folder cannot be made ({error.strerror})") from error
    images.write(target, picture)


def out_of_memory(error: Exception) -> bool:
    """torch reports a full main memory as a plain RuntimeError."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "allocate memory" in str(error)
