"""A stream of frames, from a clip or a folder of frames, and where its results go.

A clip goes to a clip or to a folder of PNGs, a folder to a folder under the same names, or to a
clip. In a folder size, bit depth, alpha, profile and EXIF are kept. A clip is whole or not there.
Sound is not carried over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ssl_restore.errors import UserError
from ssl_restore.io import MAX_PIXELS, folders, images, shots
from ssl_restore.io.files import replacing
from ssl_restore.io.picture import Picture, Pixels

CODES = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".avi": "FFV1", ".mkv": "FFV1"}


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
    if source.is_file() and not shots.is_clip(source):
        raise UserError(
            f"{source}: is no clip ({', '.join(shots.CLIPS)}); give a clip or a folder of frames"
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
    clip = output.suffix.lower() in CODES and not output.is_dir()
    if not clip and video.source.is_dir():
        jobs = folders.plan(video.source, output, overwrite=overwrite)
        return [job.target for job in jobs]
    if not clip and output.suffix and not output.is_dir():
        raise UserError(
            f"{output}: unknown suffix {output.suffix!r}; use one of {', '.join(CODES)}, or name a "
            "folder"
        )
    if not output.absolute().parent.is_dir():
        raise UserError(f"{output}: the folder {output.parent} does not exist; create it first")
    if output.is_file() and not clip:
        raise UserError(f"{output}: is a file; give a clip or a folder")
    if clip and output.exists() and output.samefile(video.source):
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
    progress: Callable[[], object] = lambda: None,
) -> None:
    """The restored frames of a video to what `targets` named; `progress()` is called after each."""
    if len(files) == 1 and files[0].suffix.lower() in CODES:
        _write_clip(restored, files[0], video.rate, progress)
        return
    for frame, pixels, target in zip(video.frames, restored, files, strict=True):
        given = Picture(pixels)
        if not shots.is_clip(frame.source):  # what its file said besides, which a clip does not
            whole = images.read(frame.source, max_pixels=video.max_pixels)
            given = whole.restored(pixels)
        folders.write(target, given)
        progress()


def _write_clip(
    restored: Iterable[Pixels], target: Path, rate: float, progress: Callable[[], object]
) -> None:
    """MPEG-4 part 2, or FFV1, which loses nothing; of even sides: a last row or column that is one
    too many is left out."""
    with replacing(target) as temporary:
        writer: cv2.VideoWriter | None = None
        for pixels in restored:
            if pixels.dtype != np.uint8:
                raise UserError(f"{target}: a clip has 8 bits, the frames 16; name a folder")
            height, width = (side // 2 * 2 for side in pixels.shape[:2])
            if writer is None:
                code = cv2.VideoWriter.fourcc(*CODES[target.suffix.lower()])
                writer = cv2.VideoWriter(str(temporary), code, rate, (width, height))
                if not writer.isOpened():
                    raise UserError(f"{target}: OpenCV cannot write it here; name a folder")
            conversion = cv2.COLOR_GRAY2BGR if pixels.shape[2] == 1 else cv2.COLOR_RGB2BGR
            writer.write(cv2.cvtColor(np.ascontiguousarray(pixels[:height, :width]), conversion))
            progress()
        if writer is not None:
            writer.release()
