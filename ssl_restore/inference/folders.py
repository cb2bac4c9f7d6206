"""A restorer on files and folders: what `derain` and `denoise` do.

Names, formats, bit depth, alpha, profile and EXIF are kept.  On a CPU small pictures are restored
side by side, one a core; of the large ones the next is read and the last is written while one is
computed, so that never more than three are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from ssl_restore.device import out_of_memory, thread_pool
from ssl_restore.errors import UserError
from ssl_restore.inference import clips
from ssl_restore.inference.condition import WHOLE, told_range
from ssl_restore.inference.fine_to_coarse import restore_pixels, scale_of
from ssl_restore.inference.mixture import suited
from ssl_restore.inference.ranged import Ranged
from ssl_restore.inference.tiles import check_tile, restore
from ssl_restore.inference.wrappers import Layer
from ssl_restore.io import MAX_PIXELS, images
from ssl_restore.io.clips.writer import Source
from ssl_restore.io.disk import DiskFull
from ssl_restore.io.jobs import Job, save, save_layer, save_pages, taken
from ssl_restore.io.picture import Picture, Pixels, to_whole_numbers
from ssl_restore.restorer import Restorer

End = Callable[[Job, "str | None"], None]
# (name of a picture, picture) -> what restores it, and what is called with its result
Choose = Callable[[str, Picture], tuple[Restorer, Callable[[Pixels], None]]]
LOOKED_AT = (1 / 6, 1 / 2, 5 / 6)  # shares of the time of a clip, at which it is looked at
USUAL_SCALE = 4  # of `fine_to_coarse`, up to which nothing is said
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
    frame_done: Callable[[], None] = lambda: None,
    finished: Callable[[Job, str | None], None] = lambda job, failure: None,
    notify: Callable[[str], None] = lambda line: None,
    said: set[str] | None = None,
) -> list[str]:
    """Restore every job; returns one line for each picture or clip that could not be. A full disk
    ends it.

    `scale` is that of `fine_to_coarse`; `then` restores what the restorer has restored; `choose`
    gives each picture a restorer of its own, of the kind and on the device of `restorer`; without
    it each picture is restored in the range that it uses (`condition.range_of`), which is said.

    `finished(job, None)` is called when a job's files are there, or with the line of its failure.
    `progress(n, expected)` is called as tiles and small pictures are ready: `n` pixels more, of
    `expected` in all jobs; `notify` gets a line for the first picture whose size chose a scale, and
    what a restorer says of a picture. `said`, where several calls share it, keeps what was said in
    one from being said in the next. `layer` names the one that goes where a job says; None: what
    was taken.
    """
    check_tile(tile, restorer.stride)
    skipped: list[str] = []

    def end(job: Job, failure: str | None) -> None:
        if failure is not None:
            skipped.append(failure)
        finished(job, failure)

    pictures = [job for job in jobs if job.as_clip is None and job.number is None]
    frames = [job for job in jobs if job.number is not None]
    amounts: dict[Job, clips.Amount] = {}
    for job in [*(job for job in jobs if job.as_clip is not None), *frames[:1]]:
        try:
            amounts[job] = clips.amount(job, max_pixels)
        except UserError as error:
            for failed in frames if job.as_clip is None else [job]:
                end(failed, str(error))
    counts = {job: images.page_count(job.source) for job in pictures}
    sizes = {job: counts[job] * images.pixel_count(job.source) for job in pictures}
    expected = sum(sizes.values()) + sum(
        one.pixels * (len(frames) if job.as_clip is None else one.frames)
        for job, one in amounts.items()
    )
    asked = layer is not None and any(job.layer is not None for job in jobs)
    work = _Work(
        restorer, scale=scale, tile=tile, precision=precision, max_pixels=max_pixels, then=then,
        layered=Layer(restorer, layer) if layer is not None and asked else None,
        choose=choose, notify=notify, said=set() if said is None else said,
    )  # fmt: skip
    on_cpu = next(restorer.parameters()).device.type == "cpu"
    small: list[Job] = []
    large: list[Job] = []
    for job in pictures:
        alone = len(pictures) == 1 or not on_cpu or sizes[job] > SMALL_PIXELS
        if counts[job] == 1:
            (large if alone else small).append(job)
    _side_by_side(small, work.whole, lambda job: progress(sizes[job], expected), end)
    shown = partial(work.restored, ready=lambda n: progress(n, expected))
    _in_turn(large, work.read, shown, work.put, end)
    for job in pictures:
        if counts[job] > 1:
            _stack(job, counts[job], shown, max_pixels, end)
    for job, one in amounts.items():
        ready = _Frames(one.pixels, expected, progress, frame_done)
        if job.as_clip is None:
            _pictures_of_clip(frames, work, ready, end)
        else:
            small_ones = on_cpu and one.pixels <= SMALL_PIXELS
            _clip(job, work, ready, end, side_by_side=small_ones)
    return skipped


@dataclass(frozen=True)
class _Frames:
    """What is called as frames of a clip are ready."""

    pixels: int
    expected: int
    progress: Callable[[int, int], None]
    frame_done: Callable[[], None]

    def __call__(self, frames: int) -> None:
        self.skipped(frames)
        self.frame_done()

    def skipped(self, frames: int) -> None:
        self.progress(frames * self.pixels, self.expected)


@dataclass
class _Work:
    """What is done to each picture."""

    restorer: Restorer
    scale: int | None
    tile: int | None
    precision: str
    max_pixels: int
    then: Restorer | None
    layered: Restorer | None
    choose: Choose | None
    notify: Callable[[str], None]
    said: set[str] = field(default_factory=set)

    def read(self, job: Job) -> Picture:
        return images.read(job.source, max_pixels=self.max_pixels)

    def restored(self, job: Job, picture: Picture, ready: Callable[[int], None]) -> Picture:
        self._say_levels(job, picture)
        used = WHOLE
        if self.choose is None:
            used = told_range(job, picture.pixels, self.notify, self.said)
        unused = job.layer is None and picture.levels is None  # the picture as it was
        in_place = unused and picture.pixels.flags.writeable
        name, judge = str(job.source), None
        try:
            own = used.around(self.restorer)
            if self.choose is not None:
                own, judge = self.choose(name, picture)
            own = suited(own, picture.pixels)
            self._say_scale(job, own, picture)
            if own.note is not None:
                self._say("note", f"{job.source}: {own.note}")
            pixels = restore_pixels(
                own, picture.pixels, scale=self.scale, tile=self.tile,
                precision=self.precision, in_place=in_place, progress=ready,
                notify=lambda line: self.notify(f"{job.source}: {line}"),
            )  # fmt: skip
            if self.then is not None:
                then = used.around(self.then)
                pixels = restore(then, pixels, tile=self.tile, precision=self.precision)
            if judge is not None:
                judge(pixels)
        except UserError as error:
            raise UserError(f"{job.source}: {error}") from error
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            raise UserError(f"{job.source}: out of memory; try a smaller `tile`") from error
        return picture.restored(pixels)

    def for_clip(self, job: Job, source: Source) -> _Work:
        """The same for all frames of a clip: what is chosen is chosen by a few of them."""
        notify = clips.once(self.notify)
        if self.choose is not None:
            own, _ = self.choose(str(job.source), Picture(source.at(0.5).pixels()))
            return replace(self, restorer=own, choose=None, notify=notify)
        if not self.restorer.chooses:
            return replace(self, notify=notify)
        few = [source.at(share).pixels() for share in LOOKED_AT]
        layered = None if self.layered is None else suited(self.layered, *few)
        return replace(self, restorer=suited(self.restorer, *few), layered=layered, notify=notify)

    def put(self, job: Job, before: Picture, after: Picture) -> None:
        if job.layer is not None:
            save_layer(job, self._layer_of(job, before, after))
        save(job, after)

    def whole(self, job: Job) -> None:
        picture = self.read(job)
        self.put(job, picture, self.restored(job, picture, lambda n: None))

    def _layer_of(self, job: Job, before: Picture, after: Picture) -> Picture:
        if self.layered is None:
            return taken(before, after)
        layered = suited(self.layered, before.pixels)
        used = told_range(job, before.pixels, self.notify, self.said)
        if used.white != used.most:
            layered = Ranged(layered, used.white / used.most, beyond=False)
        pixels = restore(layered, before.pixels, tile=self.tile, precision=self.precision)
        return Picture(to_whole_numbers(pixels))

    def _say_scale(self, job: Job, restorer: Restorer, picture: Picture) -> None:
        height, width = picture.pixels.shape[:2]
        found = scale_of(restorer, (height, width), self.scale)
        if self.scale is None and found > USUAL_SCALE:
            self._say(
                "scale",
                f"{job.source}: {width}x{height}, restored down to 1/{found} of its size, for wide "
                "streaks; `scale=1` leaves that out",
            )

    def _say_levels(self, job: Job, picture: Picture) -> None:
        levels = picture.levels
        if levels is not None and (levels.black, levels.white) != (0, 1):
            self._say(
                "levels",
                f"{job.source}: {levels.kind} samples; {levels.black:g} is taken for black and "
                f"{levels.white:g} for white",
            )

    def _say(self, subject: str, line: str) -> None:
        """Of the first picture that it is true of."""
        if subject not in self.said:
            self.said.add(subject)
            self.notify(line)


@contextmanager
def _ending(job: Job, end: End) -> Iterator[None]:
    """Tell how the block's work on a job ended; a full disk ends that on all of them."""
    try:
        yield
    except DiskFull:
        raise
    except UserError as error:
        end(job, str(error))
    else:
        end(job, None)


def _stack(
    job: Job,
    count: int,
    restored: Callable[[Job, Picture], Picture],
    max_pixels: int,
    end: End,
) -> None:
    """A stack of pages, one page in memory at a time."""
    pages = images.pages(job.source, max_pixels=max_pixels)
    with _ending(job, end):
        save_pages(job, (restored(job, page) for page in pages), count)


def _clip(job: Job, work: _Work, ready: _Frames, end: End, *, side_by_side: bool) -> None:
    """A clip, one piece of it after the other."""
    with _ending(job, end), clips.opened(job, work.max_pixels) as source:
        same = work.for_clip(job, source)
        clips.write_restored(
            job, source,
            lambda pixels: same.restored(job, Picture(pixels), lambda n: None).pixels,
            scale=same.restorer.scale, side_by_side=side_by_side, progress=ready,
            skipped=ready.skipped, notify=work.notify,
        )  # fmt: skip


def _pictures_of_clip(jobs: Sequence[Job], work: _Work, ready: _Frames, end: End) -> None:
    """Frames of one clip as pictures, in their order."""
    with clips.opened(jobs[0], work.max_pixels) as source:
        same = work.for_clip(jobs[0], source)
    for job, read in clips.frames_of(jobs, work.max_pixels):
        with _ending(job, end):
            before = read()
            before.pixels.setflags(write=False)
            same.put(job, before, same.restored(job, before, lambda n: None))
            ready(1)


def _side_by_side(
    jobs: Sequence[Job], whole: Callable[[Job], None], done: Callable[[Job], None], end: End
) -> None:
    """As many jobs at once as torch has threads, one thread each."""
    with thread_pool(len(jobs)) as pool:
        futures = [pool.submit(whole, job) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            with _ending(job, end):
                future.result()
                done(job)


def _in_turn(
    jobs: Sequence[Job],
    read: Callable[[Job], Picture],
    restored: Callable[[Job, Picture], Picture],
    put: Callable[[Job, Picture, Picture], None],
    end: End,
) -> None:
    """One job after the other, all threads on each."""
    if not jobs:
        return
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        upcoming = reader.submit(read, jobs[0])
        writing: tuple[Job, Future[None]] | None = None

        def written() -> None:
            if writing is None:
                return
            job, future = writing
            with _ending(job, end):
                future.result()

        for job, following in zip(jobs, [*jobs[1:], None], strict=True):
            reading = upcoming
            if following is not None:
                upcoming = reader.submit(read, following)
            try:
                before = reading.result()
                after = restored(job, before)
            except UserError as error:
                end(job, str(error))
                continue
            written()
            writing = job, writer.submit(put, job, before, after)
        written()
