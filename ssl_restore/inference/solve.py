"""A solver on files and folders: what learns from each picture alone.

Names, formats, bit depth, alpha, profile and EXIF are kept.  A picture is in memory as numbers of
four bytes, three times; what a network computes is in tiles or parts of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ssl_restore import rng
from ssl_restore.device import out_of_memory
from ssl_restore.errors import UserError
from ssl_restore.inference.clips import amount, frames_of, once, opened, write_restored
from ssl_restore.inference.condition import Condition, range_of, told_range
from ssl_restore.io import MAX_PIXELS, images
from ssl_restore.io.disk import DiskFull
from ssl_restore.io.jobs import Job, save, save_layer, save_pages
from ssl_restore.io.picture import Picture, Pixels, to_whole_numbers


def solved(
    pixels: Pixels,
    solve: Callable[..., dict[str, Tensor]],
    *,
    device: torch.device,
    strength: float = 1.0,
    names: Sequence[str] = ("clean",),
    condition: Callable[[Pixels], Condition] | None = None,
    **settings: Any,
) -> list[Pixels]:
    """The layers of these `names` of a picture (H, W, 1 or 3), uint8 or uint16, of its type.

    `strength`, of the clean one, as that of `wrappers.Strength`; `condition` tells that of the
    picture, for None the range that it uses alone; `settings` are the solver's.
    """
    image = images.to_tensor(pixels).to(device)
    known = range_of(pixels) if condition is None else condition(pixels)
    layers = known.solved(solve, image, **settings)
    if strength != 1:
        clean = torch.lerp(image, layers["clean"], strength)
        layers = {**layers, "clean": known.within(clean, image)}
    return [images.to_pixels(layers[name].expand(-1, 3, -1, -1).cpu(), pixels) for name in names]


def solve_all(
    jobs: Sequence[Job],
    solve: Callable[..., dict[str, Tensor]],
    *,
    seed: int,
    device: torch.device,
    strength: float = 1.0,
    max_pixels: int = MAX_PIXELS,
    layer: str | None = None,
    condition: Callable[[Pixels], Condition] | None = None,
    progress: Callable[[float], None] = lambda share: None,
    finished: Callable[[Job, str | None], None] = lambda job, failure: None,
    notify: Callable[[str], None] = lambda line: None,
    said: set[str] | None = None,
    **settings: Any,
) -> list[str]:
    """Solve every job; returns one line for each picture that could not be.

    `finished(job, None)` is called when a job's files are there, or with the line of its failure.
    `progress(share)` is called with every further share of a job, `notify(line)` with what a solver
    says of a picture; `layer` names the one that goes where a job says; `condition` is as of
    `solved`; without it, which range a picture uses is said, as of `folders.restore_all`, of which
    `said` is, too. A result does not depend on the other pictures.
    """
    said = set() if said is None else said
    skipped: list[str] = []
    frames = frames_of([job for job in jobs if job.number is not None], max_pixels)
    for job in jobs:
        so_far = 0.0

        def further(share: float) -> None:
            nonlocal so_far
            progress(share - so_far)
            so_far = share

        def layers_of(picture: Picture, page: int, pages: int, job: Job = job) -> list[Pixels]:
            drawn = page if job.as_clip is None else 0  # frames alike are to have results alike
            given = {
                "generator": rng.derive(seed, "solve", drawn),
                "progress": lambda share: further((page + share) / pages),
                "notify": lambda line: notify(f"{job.source}: {line}"),
            }
            taken = inspect.signature(solve).parameters
            names = ["clean"] if job.layer is None or layer is None else ["clean", layer]
            return solved(
                picture.pixels, solve, device=device, strength=strength, names=names,
                condition=condition or (lambda pixels: told_range(job, pixels, notify, said)),
                **{name: value for name, value in given.items() if name in taken}, **settings,
            )  # fmt: skip

        failure = None
        try:
            if job.as_clip is not None:
                _solve_clip(job, layers_of, max_pixels, once(notify))
            elif job.number is not None:
                _, read = next(frames)
                _solve_picture(job, layers_of, read())
            else:
                _solve(job, layers_of, max_pixels)
        except DiskFull:
            raise
        except UserError as error:
            known_path = any(str(error).startswith(str(path)) for path in (job.source, job.target))
            failure = str(error) if known_path else f"{job.source}: {error}"
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            failure = f"{job.source}: out of memory; try a smaller `tile`"
        if failure is not None:
            skipped.append(failure)
        finished(job, failure)
        further(1.0)
    return skipped


def _solve_clip(
    job: Job,
    layers_of: Callable[[Picture, int, int], list[Pixels]],
    most: int,
    notify: Callable[[str], None],
) -> None:
    """Solve every frame of a clip."""
    count, done = amount(job, most).frames, 0

    def skipped(frames: int) -> None:
        nonlocal done
        done += frames

    def restored(pixels: Pixels) -> Pixels:
        skipped(1)
        return layers_of(Picture(pixels), min(done, count) - 1, count)[0]

    with opened(job, most) as source:
        write_restored(job, source, restored, skipped=skipped, notify=notify)


def _solve(job: Job, layers_of: Callable[[Picture, int, int], list[Pixels]], most: int) -> None:
    """Read a picture, or page by page a stack, of at most so many pixels, and write its result."""
    pages = images.page_count(job.source)
    if pages > 1:
        found = enumerate(images.pages(job.source, max_pixels=most))
        clean = (page.restored(layers_of(page, number, pages)[0]) for number, page in found)
        save_pages(job, clean, pages)
        return
    _solve_picture(job, layers_of, images.read(job.source, max_pixels=most))


def _solve_picture(
    job: Job, layers_of: Callable[[Picture, int, int], list[Pixels]], picture: Picture
) -> None:
    layers = layers_of(picture, 0, 1)
    if len(layers) > 1:
        save_layer(job, Picture(to_whole_numbers(layers[1])))
    save(job, picture.restored(layers[0]))
