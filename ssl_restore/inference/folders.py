"""A restorer on files and folders: what `derain` and `denoise` do.

Names, formats, bit depth, alpha, profile and EXIF are kept.  On a CPU small pictures are restored
side by side, one a core; of the large ones the next is read and the last is written while one is
computed, so that never more than three are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from ssl_restore.device import out_of_memory, thread_pool
from ssl_restore.errors import UserError
from ssl_restore.inference.fine_to_coarse import restore_pixels, scale_of
from ssl_restore.inference.tiles import check_tile, restore
from ssl_restore.inference.wrappers import Layer
from ssl_restore.io import MAX_PIXELS, images
from ssl_restore.io.folders import Job, taken, write
from ssl_restore.io.picture import Picture, Pixels
from ssl_restore.restorer import Restorer

# (name of a picture, picture) -> what restores it, and what is called with its result
Choose = Callable[[str, Picture], tuple[Restorer, Callable[[Pixels], None]]]
SMALL_PIXELS = 1_000_000  # up to this, side by side is faster (benchmarks/EXPERIMENTS.md)


def restore_all(
    jobs: Sequence[Job],
    restorer: Restorer,
    *,
    scale: int | None = 1,
    tile: int | None = None,
    precision: str = "auto",
    max_pixels: int = MAX_PIXELS,
    then: Restorer | None = None,
    layer: str | None = None,
    choose: Choose | None = None,
    progress: Callable[[int, int], None] = lambda pixels, expected: None,
    notify: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Restore every job; returns one line for each picture that could not be.

    `scale` is that of `fine_to_coarse`; `then` restores what the restorer has restored; `choose`
    gives each picture a restorer of its own, of the kind and on the device of `restorer`.

    `progress(n, expected)` is called as tiles and small pictures are ready: `n` pixels more, of
    `expected` in all jobs; `notify` gets a line for the first picture whose size chose a scale, and
    what a restorer says of a picture. `layer` names the one that goes where a job says; None: what
    was taken.
    """
    check_tile(tile, restorer.stride)
    sizes = {job: images.pixel_count(job.source) for job in jobs}
    expected = sum(sizes.values())

    def read(job: Job) -> Picture:
        return images.read(job.source, max_pixels=max_pixels)

    said: list[str] = []

    def say_scale(job: Job, size: tuple[int, int]) -> None:
        found = scale_of(restorer, size, scale)
        if scale is None and found > 2 and not said:
            said.append(
                f"{job.source}: {size[1]}x{size[0]}, restored down to 1/{found} of its size, for "
                "wide streaks; `scale=1` leaves that out"
            )
            notify(said[0])

    def restored(job: Job, picture: Picture, ready: Callable[[int], None]) -> Picture:
        say_scale(job, (picture.pixels.shape[0], picture.pixels.shape[1]))
        try:
            own, judge = (restorer, None) if choose is None else choose(str(job.source), picture)
            pixels = restore_pixels(
                own, picture.pixels, scale=scale, tile=tile, precision=precision,
                progress=ready, notify=lambda line: notify(f"{job.source}: {line}"),
            )  # fmt: skip
            if then is not None:
                pixels = restore(then, pixels, tile=tile, precision=precision)
            if judge is not None:
                judge(pixels)
        except UserError as error:
            raise UserError(f"{job.source}: {error}") from error
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            raise UserError(f"{job.source}: out of memory; try a smaller `tile`") from error
        return picture.restored(pixels)

    asked = layer is not None and any(job.layer is not None for job in jobs)
    layered = Layer(restorer, layer) if layer is not None and asked else None

    def layer_of(before: Picture, after: Picture) -> Picture:
        if layered is None:
            return taken(before, after)
        return Picture(restore(layered, before.pixels, tile=tile, precision=precision))

    def save(job: Job, before: Picture, after: Picture) -> None:
        write(job.target, after)
        if job.layer is not None:
            write(job.layer, layer_of(before, after))

    def whole(job: Job) -> None:
        picture = read(job)
        save(job, picture, restored(job, picture, lambda n: None))

    on_cpu = next(restorer.parameters()).device.type == "cpu"
    small: list[Job] = []
    large: list[Job] = []
    for job in jobs:
        alone = len(jobs) == 1 or not on_cpu or sizes[job] > SMALL_PIXELS
        (large if alone else small).append(job)
    skipped = _side_by_side(small, whole, lambda job: progress(sizes[job], expected))
    shown = partial(restored, ready=lambda n: progress(n, expected))
    return skipped + _in_turn(large, read, shown, save)


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
    jobs: Sequence[Job],
    read: Callable[[Job], Picture],
    restored: Callable[[Job, Picture], Picture],
    save: Callable[[Job, Picture, Picture], None],
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
                before = reading.result()
                after = restored(job, before)
            except UserError as error:
                skipped.append(str(error))
                continue
            written()
            writing = writer.submit(save, job, before, after)
        written()
    return skipped
