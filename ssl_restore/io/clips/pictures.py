"""A folder of pictures in the place of a clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from ssl_restore.errors import UserError
from ssl_restore.io import MAX_PIXELS, images
from ssl_restore.io.clips.reader import FRAMES_PER_S, ClipFrame, Timing
from ssl_restore.io.clips.samples import FULL, RGB, Samples
from ssl_restore.io.clips.upright import Upright
from ssl_restore.io.picture import Pixels, to_whole_numbers

_BT709, _SRGB = 1, 13  # primaries, transfer


class PictureFrames:
    """Pictures of one size and depth as the frames of a clip of constant rate."""

    def __init__(
        self, path: Path, paths: Sequence[Path], rate: float = FRAMES_PER_S,
        max_pixels: int = MAX_PIXELS,
    ) -> None:  # fmt: skip
        self.path, self._paths, self._max_pixels = path, paths, max_pixels
        self.rate = Fraction(rate).limit_denominator(100_000)
        self.time_base = 1 / self.rate

    @cached_property
    def first(self) -> ClipFrame:
        return self._frame(0)

    def at(self, share: float) -> ClipFrame:
        return self._frame(int(len(self._paths) * share))

    def timing(self) -> Timing:
        return Timing(len(self._paths), len(self._paths), constant=True, cut_off=False)

    def frames(self) -> Iterator[ClipFrame]:
        for number, path in enumerate(self._paths):
            frame = self._frame(number)
            if frame.samples != self.first.samples:
                raise UserError(
                    f"{path}: a frame of another size or depth than {self._paths[0].name}; frames "
                    "of one clip have one size"
                )
            yield frame

    def _frame(self, number: int) -> ClipFrame:
        pixels = images.read(self._paths[number], max_pixels=self._max_pixels).pixels
        return frame_of(to_whole_numbers(pixels), number)


def frame_of(pixels: Pixels, number: int) -> ClipFrame:
    """A picture, (H, W, 1 or 3) uint8 or uint16, as frame `number` of a clip."""
    samples = samples_of(pixels)
    planes = tuple(pixels[:, :, channel] for channel in range(pixels.shape[2]))
    return ClipFrame(number, planes, samples, Upright())


def samples_of(pixels: Pixels) -> Samples:
    height, width, channels = pixels.shape
    bits = 8 * pixels.dtype.itemsize
    if channels == 1:
        return Samples(width, height, "grey", bits, range=FULL)
    return Samples(width, height, "rgb", bits, 1, 1, RGB, FULL, _BT709, _SRGB)
