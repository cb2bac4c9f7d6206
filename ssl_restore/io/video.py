"""A stream of frames, from a clip or a folder of frames, and where its results go.

A clip goes to a clip or to a folder of PNGs, a folder to a folder under the same names, or to a
clip. In a folder size, bit depth, alpha, profile and EXIF are kept, in a clip what
`io.clips.writer` keeps. A clip is whole or not there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_restore.errors import UserError, WrongCall
from ssl_restore.io import MAX_PIXELS, folders, images, jobs, shots
from ssl_restore.io.clips import writer
from ssl_restore.io.clips.encoders import USUAL, Encoding
from ssl_restore.io.clips.pictures import PictureFrames
from ssl_restore.io.clips.reader import Clip, ClipFrame
from ssl_restore.io.clips.segments import TimedPlanes
from ssl_restore.io.clips.suffixes import CLIPS, CONTAINERS, is_clip, is_written
from ssl_restore.io.files import same_file
from ssl_restore.io.picture import Picture, Pixels


@dataclass(frozen=True)
class Video:
    """Frames in their order; each pass over it reads them anew, one at a time."""

    source: Path
    frames: tuple[shots.Frame, ...]
    rate: float  # frames a second
    max_pixels: int = MAX_PIXELS

    def __iter__(self) -> Iterator[Pixels]:
        for _, read in shots.pictures(self.frames, self.max_pixels):
            yield read().pixels

    def __len__(self) -> int:
        return len(self.frames)


def find(source: Path, *, max_pixels: int = MAX_PIXELS) -> Video:
    """The clip or the folder of frames (in natural order); UserError when it is neither."""
    if source.is_file() and not is_clip(source):
        raise UserError(
            f"{source}: is no clip ({', '.join(CLIPS)}); give a clip or a folder of frames"
        )
    if not source.exists():
        raise UserError(f"{source}: no such clip or folder; check the spelling")
    frames = shots.frames(source, sequence=source.is_dir())
    return Video(source, tuple(frames), shots.rate_of(source), max_pixels)


def targets(video: Video, output: Path, *, overwrite: bool = False) -> list[Path]:
    """The file of each frame; of a clip that file alone.  Nothing is written yet.

    UserError when a result would replace an input, when it exists (unless `overwrite`), and when
    the parent folder of the output does not exist.
    """
    clip = is_written(output)
    if not clip and video.source.is_dir():
        planned = folders.plan(video.source, output, overwrite=overwrite)
        return [job.target for job in planned]
    if not clip and output.suffix and not output.is_dir():
        raise WrongCall(
            f"{output}: unknown suffix {output.suffix!r}; use one of {', '.join(CONTAINERS)}, or "
            "name a folder"
        )
    if not output.absolute().parent.is_dir():
        raise UserError(f"{output}: the folder {output.parent} does not exist; create it first")
    if output.is_file() and not clip:
        raise UserError(f"{output}: is a file; give a clip or a folder")
    if clip and same_file(output, video.source):
        raise UserError(f"{output}: is the input itself; inputs are kept, give another output")
    files = [output] if clip else [output / f"{frame.name}.png" for frame in video.frames]
    existing = [path for path in files if os.path.lexists(path)]
    if existing and not overwrite:
        raise UserError(f"{existing[0]}: exists; `overwrite` replaces it, or give another name")
    return files


def write(
    video: Video,
    restored: Iterable[Pixels],
    files: Sequence[Path],
    *,
    encoding: Encoding = USUAL,
    progress: Callable[[], object] = lambda: None,
    notify: Callable[[str], None] = lambda line: None,
) -> None:
    """The restored frames of a video to what `targets` named; `progress()` is called after each.

    `encoding` and `notify` are those of `writer.write`.
    """
    if len(files) == 1 and is_written(files[0]):
        pixels = iter(restored)

        def paired(frames: Iterator[ClipFrame]) -> Iterator[TimedPlanes]:
            for frame in frames:
                yield frame.pts, frame.restored(frame.pixels(), next(pixels))
                progress()

        writer.write(source_of(video), files[0], paired, encoding=encoding, notify=notify)
        return
    for frame, pixels_of_one, target in zip(video.frames, restored, files, strict=True):
        given = Picture(pixels_of_one)
        if not is_clip(frame.source):  # what its file said besides, which a clip does not
            whole = images.read(frame.source, max_pixels=video.max_pixels)
            given = whole.restored(pixels_of_one)
        jobs.write(target, given)
        progress()


def source_of(video: Video) -> writer.Source:
    """What `writer.write` takes the frames of a video from."""
    if is_clip(video.source):
        return Clip(video.source, video.max_pixels)
    paths = [frame.source for frame in video.frames]
    return PictureFrames(video.source, paths, video.rate, video.max_pixels)
