"""What a data set is made of: photographs, frames of a shot, and clips; and clips of the result.

A shot is one camera's frames in their order, so that rain can fall from each to the next: a clip, a
folder of frames, or one photograph many times (a camera that stands still).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ssl_restore.errors import UserError
from ssl_restore.io import formats, images
from ssl_restore.io.clips import writer
from ssl_restore.io.clips.pictures import PictureFrames
from ssl_restore.io.clips.reader import FRAMES_PER_S, Clip, ClipFrame
from ssl_restore.io.clips.suffixes import is_clip
from ssl_restore.io.picture import Picture
from ssl_restore.io.search import no_results


@dataclass(frozen=True)
class Frame:
    """A picture of the data set that is to be made."""

    source: Path  # the photograph, or the clip
    shot: str  # what names its random streams
    take: str  # the shot's name, with the number of the variant after the first
    variant: int
    number: int | None = None  # within the shot, from 1; None: a picture of its own
    size: tuple[int, int] | None = None  # (height, width) of the shot

    @property
    def name(self) -> str:
        """Of the files, without suffix: `lane`, `lane-2`, `lane-0001`, `lane-2-0001`."""
        return self.take if self.number is None else f"{self.take}-{self.number:04}"


def frames(
    photos: Path,
    *,
    variants: int = 1,
    count: int | None = None,
    sequence: bool = False,
    recursive: bool = False,
    output: Path | None = None,
    notify: Callable[[str], None] = lambda line: None,
) -> list[Frame]:
    """Every picture to be made from a folder, a picture or a clip; all variants.

    `count` is the number of frames that each photograph becomes; of a clip, and of a folder that
    is a `sequence`, so many of the first are taken.  With `recursive`, what comes from sub-folders
    goes to sub-folders, and what is in the `output` is left out.  `notify` gets a line for what
    the folder holds besides.
    """
    if count is not None and count < 1:
        raise UserError(f"at least 1 is expected, got {count}", parameter="frames")
    if is_clip(photos):
        with Clip(photos) as clip:
            numbers, size = range(1, _length(clip) + 1)[:count], clip.size
        listed = [
            Frame(photos, photos.name, take, variant, number, size)
            for variant, take in _takes(photos.stem, variants)
            for number in numbers
        ]
    elif sequence:
        if not photos.is_dir():
            raise UserError(f"{photos} is no folder; name a folder of frames", parameter="sequence")
        paths = images.find(photos)[:count]
        height, width = images.read(paths[0]).pixels.shape[:2]
        shot = photos.resolve().name
        listed = [
            Frame(path, shot, take, variant, number, (height, width))
            for variant, take in _takes(shot, variants)
            for number, path in enumerate(paths, start=1)
        ]
    else:
        single = photos.is_file() and photos.suffix.lower() in formats.READ
        paths, top = [photos], photos.parent
        if not single:
            paths, top = images.find(photos, recursive=recursive, notify=notify), photos
            paths = paths if output is None else no_results(paths, photos, output)
        listed = [
            Frame(path, path.relative_to(top).as_posix(), take, variant, number)
            for path in paths
            for variant, take in _takes(path.relative_to(top).with_suffix("").as_posix(), variants)
            for number in ([None] if count is None else range(1, count + 1))
        ]
    _check_names(listed)
    return listed


def _takes(stem: str, variants: int) -> list[tuple[int, str]]:
    """Variant 0 has the shot's name, further ones NAME-2, NAME-3 ..."""
    return [(v, f"{stem}-{v + 1}" if v else stem) for v in range(variants)]


def _check_names(listed: Sequence[Frame]) -> None:
    owners: dict[str, Frame] = {}
    for frame in listed:
        other = owners.setdefault(frame.name, frame)
        if other is not frame:
            raise UserError(
                f"{frame.source.parent}: {other.source.name} and {frame.source.name} would both "
                f"become {frame.name}.png; rename one"
            )


def pictures(
    wanted: Iterable[Frame], max_pixels: int
) -> Iterator[tuple[Frame, Callable[[], Picture]]]:
    """Every frame with what reads it: photographs when it is called, clips in their order now.

    What reads it raises UserError when the picture, or its clip, cannot be read, or has not the
    size of the shot.
    """
    clip: _Reading | None = None
    for frame in wanted:
        if not is_clip(frame.source):
            yield frame, partial(_read, frame, max_pixels)
            continue
        assert frame.number is not None
        if clip is None or clip.path != frame.source or clip.position >= frame.number:
            clip = _Reading(frame.source, max_pixels)
        yield frame, partial(_given, clip.picture(frame.number))


def _read(frame: Frame, max_pixels: int) -> Picture:
    picture = images.read(frame.source, max_pixels=max_pixels)
    height, width = picture.pixels.shape[:2]
    if frame.size is not None and frame.size != (height, width):
        raise UserError(
            f"{frame.source}: {width} x {height} pixels, but the shot's first frame has "
            f"{frame.size[1]} x {frame.size[0]}; frames of one shot have one size"
        )
    return picture


def _given(picture: Picture | UserError) -> Picture:
    if isinstance(picture, UserError):
        raise picture
    return picture


class _Reading:
    """A clip that is being read, from its first frame on."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        self.path, self.position = path, 0
        self._frames = _frames_of(path, max_pixels)
        self._failure: UserError | None = None

    def picture(self, number: int) -> Picture | UserError:
        """Frame `number`, counted from 1 and not yet passed, or why it cannot be read: that the
        clip has ended before, or what it, and all frames after it, failed of."""
        frame = None
        try:
            while self._failure is None and self.position < number:
                frame = next(self._frames, None)
                if frame is None:
                    break
                self.position += 1
        except UserError as error:
            self._failure = error
        if frame is not None and self.position == number:
            return Picture(frame.pixels())
        ended = f"{self.path}: frame {number} cannot be read; fetch the clip again"
        return self._failure or UserError(ended)


def _frames_of(path: Path, max_pixels: int) -> Iterator[ClipFrame]:
    with Clip(path, max_pixels) as clip:
        yield from clip.frames()


def _length(clip: Clip) -> int:
    """Frames that can be decoded: what the head of a clip says is often another number."""
    return sum(1 for _ in clip.frames())


def rate_of(photos: Path) -> float:
    """Frames a second: the clip's own, else 25."""
    if not is_clip(photos):
        return FRAMES_PER_S
    with Clip(photos) as clip:
        return float(clip.rate)


def write_clip(paths: Sequence[Path], target: Path, fps: float) -> None:
    """Pictures of one size as a clip, whole or not at all."""
    source = PictureFrames(paths[0].parent, paths, fps)
    writer.write(source, target, lambda frames: ((frame.pts, frame.planes) for frame in frames))
