"""A restorer or a solver on the frames of clips, one frame after the other.

Sound, time, place and samples are kept as `io.clips.writer` keeps them, a clip is whole or not
there, and the memory that is needed does not grow with its length.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ssl_restore.device import thread_pool
from ssl_restore.io import MAX_PIXELS, images, shots
from ssl_restore.io.clips import writer
from ssl_restore.io.clips.pictures import PictureFrames
from ssl_restore.io.clips.reader import Clip, ClipFrame
from ssl_restore.io.clips.segments import TimedPlanes
from ssl_restore.io.clips.suffixes import is_clip
from ssl_restore.io.jobs import AsClip, Job, make_folder
from ssl_restore.io.picture import Picture, Pixels

RestorePixels = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Amount:
    """How much work the frames of a job are."""

    frames: int
    pixels: int  # of a frame


@contextmanager
def opened(job: Job, max_pixels: int = MAX_PIXELS) -> Iterator[writer.Source]:
    """What the frames of a job come from; UserError where that cannot be read."""
    if is_clip(job.source):
        with Clip(job.source, max_pixels) as clip:
            yield clip
    else:
        yield PictureFrames(job.source, images.find(job.source), max_pixels=max_pixels)


def amount(job: Job, max_pixels: int = MAX_PIXELS) -> Amount:
    """UserError where the source of a job cannot be read."""
    with opened(job, max_pixels) as source:
        samples = source.first.samples
        return Amount(source.timing().count, samples.width * samples.height)


def once(notify: Callable[[str], None]) -> Callable[[str], None]:
    """`notify` for the frames of a clip: a line that differs in numbers only is said once."""
    said: set[str] = set()

    def said_once(line: str) -> None:
        kind = re.sub(r"\d+(\.\d+)?", "#", line)
        if kind not in said:
            said.add(kind)
            notify(line)

    return said_once


def write_restored(
    job: Job,
    source: writer.Source,
    restore: RestorePixels,
    *,
    scale: int = 1,
    side_by_side: bool = False,
    progress: Callable[[int], None] = lambda frames: None,
    skipped: Callable[[int], None] = lambda frames: None,
    notify: Callable[[str], None] = lambda line: None,
) -> None:
    """Restore every frame and write the clip of a job.

    Args:
        job: Its source and target.
        source: The frames, as `opened` gives them.
        restore: Pixels of a frame -> restored ones.
        scale: How many times as long their sides are.
        side_by_side: Restore as many frames at once as torch has threads.
        progress: Called after every frame that was restored.
        skipped: Called with a number of frames that an earlier run has restored.
        notify: Called with what is not kept.

    Raises:
        UserError: As `writer.write`.
    """

    def restored(frame: ClipFrame) -> TimedPlanes:
        before = frame.pixels()
        before.setflags(write=False)  # it is needed again
        return frame.pts, frame.restored(before, restore(before))

    def counted(frames: Iterable[TimedPlanes]) -> Iterator[TimedPlanes]:
        for frame in frames:
            yield frame
            progress(1)

    as_clip = job.as_clip or AsClip()
    make_folder(job.target)
    workers = torch.get_num_threads() if side_by_side else 1

    def all_of(frames: Iterator[ClipFrame]) -> Iterator[TimedPlanes]:
        return counted(_in_order(pool, restored, frames, workers))

    with thread_pool(workers) as pool:
        writer.write(
            source, job.target, all_of,
            encoding=as_clip.encoding, scale=scale, resume=as_clip.resume, skipped=skipped,
            before=job.before, notify=notify,
        )  # fmt: skip


def _in_order(
    pool: ThreadPoolExecutor,
    restored: Callable[[ClipFrame], TimedPlanes],
    frames: Iterator[ClipFrame],
    ahead: int,
) -> Iterator[TimedPlanes]:
    """Results in the order of the frames, so many of which are in work while one is waited for."""
    waiting: deque[Future[TimedPlanes]] = deque()
    for frame in frames:
        waiting.append(pool.submit(restored, frame))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def frames_of(jobs: Sequence[Job], max_pixels: int) -> Iterator[tuple[Job, Callable[[], Picture]]]:
    """Jobs that are frames of clips, in their order, each with what reads it."""
    wanted = [
        shots.Frame(job.source, job.source.name, job.source.stem, 0, job.number) for job in jobs
    ]
    stream = shots.pictures(wanted, max_pixels)
    for job, (_, read) in zip(jobs, stream, strict=True):
        yield job, read
