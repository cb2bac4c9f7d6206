"""What a data set is made of: photographs, frames of a shot, and clips; and clips of the result.

A shot is one camera's frames in their order, so that rain can fall from each to the next: a clip, a
folder of frames, or one photograph many times (a camera that stands still).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2

from ssl_restore.errors import UserError
from ssl_restore.io import MAX_PIXELS, formats, images
from ssl_restore.io.files import replacing
from ssl_restore.io.picture import Picture

CLIPS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
FRAMES_PER_S = 25.0  # of frames that do not say


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


def is_clip(path: Path) -> bool:
    return path.suffix.lower() in CLIPS and not path.is_dir()


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
        clip, numbers = _Clip(photos), range(1, _length(photos) + 1)[:count]
        listed = [
            Frame(photos, photos.name, take, variant, number, clip.size)
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
            made = output.resolve() if output is not None else None
            paths = [path for path in paths if made not in path.resolve().parents]
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

    What reads it raises UserError when the picture cannot be had or has not the size of the shot.
    """
    clip: _Clip | None = None
    for frame in wanted:
        if not is_clip(frame.source):
            yield frame, partial(_read, frame, max_pixels)
            continue
        assert frame.number is not None
        if clip is None or clip.path != frame.source or clip.position >= frame.number:
            clip = _Clip(frame.source, max_pixels)
        picture = clip.picture(frame.number)
        yield frame, partial(_given, picture, clip, frame)


def _read(frame: Frame, max_pixels: int) -> Picture:
    picture = images.read(frame.source, max_pixels=max_pixels)
    height, width = picture.pixels.shape[:2]
    if frame.size is not None and frame.size != (height, width):
        raise UserError(
            f"{frame.source}: {width} x {height} pixels, but the shot's first frame has "
            f"{frame.size[1]} x {frame.size[0]}; frames of one shot have one size"
        )
    return picture


def _given(picture: Picture | None, clip: _Clip, frame: Frame) -> Picture:
    if picture is None:
        raise UserError(f"{clip.path}: frame {frame.number} cannot be read; fetch the clip again")
    return picture


class _Clip:
    """A clip that is being read, from its first frame on."""

    def __init__(self, path: Path, max_pixels: int = MAX_PIXELS) -> None:
        if not path.is_file():
            raise UserError(f"{path}: no such file; check the spelling")
        self.path, self.position = path, 0
        self._capture = cv2.VideoCapture(str(path))
        width, height = (
            int(self._capture.get(side))
            for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if not self._capture.isOpened() or not width * height:
            raise UserError(f"{path}: not a clip that OpenCV reads; convert it to .mp4")
        if width * height > max_pixels:
            raise UserError(
                f"{path}: {width} x {height} is over the limit; if there is memory for it, "
                f"`max_pixels={width * height}`"
            )
        self.size = height, width

    def rate(self) -> float:
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        return rate if 0 < rate < math.inf else FRAMES_PER_S

    def skip(self) -> bool:
        self.position += 1
        return bool(self._capture.grab())

    def picture(self, number: int) -> Picture | None:
        """Frame `number`, counted from 1 and not yet passed; None where the clip has ended."""
        while self.position < number:
            if not self.skip():
                return None
        decoded, pixels = self._capture.retrieve()
        return Picture(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)) if decoded else None


def _length(path: Path) -> int:
    """Frames that can be decoded: what the head of a clip says is often another number."""
    clip = _Clip(path)
    while clip.skip():
        pass
    if clip.position == 1:
        raise UserError(f"{path}: holds no frame that can be read; fetch the clip again")
    return clip.position - 1


def rate_of(photos: Path) -> float:
    """Frames a second: the clip's own, else 25."""
    return _Clip(photos).rate() if is_clip(photos) else FRAMES_PER_S


def write_clip(paths: Sequence[Path], target: Path, fps: float) -> None:
    """Pictures of one size as an .mp4 (MPEG-4 part 2), whole or not at all.

    Its sides are even numbers: a last row or column that is one too many is left out.
    """
    height, width = (side // 2 * 2 for side in images.read(paths[0]).pixels.shape[:2])
    with replacing(target) as temporary:
        code = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(temporary), code, fps, (width, height))
        if not writer.isOpened():
            raise UserError(f"{target}: OpenCV cannot write .mp4 here; leave out `video`")
        for path in paths:
            pixels = images.read(path).pixels[:height, :width]
            writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        writer.release()
