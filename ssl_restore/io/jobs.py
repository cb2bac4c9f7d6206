"""A picture to restore and where its result goes, and that result written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ssl_restore.errors import UserError
from ssl_restore.io import formats, images
from ssl_restore.io.clips import segments
from ssl_restore.io.clips.encoders import USUAL, Encoding
from ssl_restore.io.disk import write_error
from ssl_restore.io.manifest import Whole
from ssl_restore.io.picture import Picture, to_whole_numbers


@dataclass(frozen=True)
class AsClip:
    """Of a result that is a clip: how it is written, and how work on it goes on."""

    encoding: Encoding = USUAL
    resume: segments.ResumeClip = segments.ANEW


@dataclass(frozen=True)
class Job:
    """A picture to restore and where the result goes; also a clip, or a folder as a clip."""

    source: Path
    target: Path
    layer: Path | None = None  # where what was taken goes
    quality: int | None = None  # of a JPEG or AVIF
    record: Record | None = None  # what is done when a file is whole
    number: int | None = None  # of the frame, from 1, where the source is a clip and the result not
    as_clip: AsClip | None = field(default=None, compare=False)

    @property
    def before(self) -> Callable[[Path], object]:
        """What is done with the temporary file of the target when it is whole."""
        record, target = self.record, self.target
        return lambda temporary: None if record is None else record(target, temporary)


# (file, temporary file; or, where that is on another machine, what is known of it)
Record = Callable[[Path, "Path | Whole"], object]


def taken(before: Picture, after: Picture) -> Picture:
    """What was taken from a picture: what is darker now."""
    less = np.where(before.pixels > after.pixels, before.pixels - after.pixels, 0)
    return Picture(to_whole_numbers(less.astype(before.pixels.dtype)))


def save(job: Job, picture: Picture) -> None:
    """Write the result of a job: in the format of its suffix, unless the source has that, too, but
    is a picture of another format (a PNG named .jpg) that holds what this one cannot."""
    kept = job.source.suffix.lower() == job.target.suffix.lower()
    form = images.form_of(picture, job.target) if kept else None
    _write(job.target, picture, job, form=form)


def save_pages(job: Job, pages: Iterable[Picture], count: int) -> None:
    """Write the result of a job that is a stack of so many pages, one in memory at a time."""
    if job.layer is not None:
        raise UserError(f"{job.source}: layers of a stack of pages are not written; leave them out")
    make_folder(job.target)
    images.write_pages(job.target, pages, count, before=job.before)


def save_layer(job: Job, picture: Picture) -> None:
    """Write what was taken; before the result, so that this is there only with it."""
    if job.layer is not None:
        _write(job.layer, picture, job)


def _write(target: Path, picture: Picture, job: Job, form: formats.Format | None = None) -> None:
    record = job.record
    before = (lambda temporary: record(target, temporary)) if record else (lambda temporary: None)
    write(target, picture, quality=job.quality, form=form, before=before)


def write(target: Path, picture: Picture, **options: Any) -> None:
    """Write a picture, by the options of `images.write`, and make the folder that it goes to."""
    make_folder(target)
    images.write(target, picture, **options)


def make_folder(target: Path) -> None:
    """The folder that a file goes to, where it is not there yet."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(target, "its folder cannot be made", error) from error
