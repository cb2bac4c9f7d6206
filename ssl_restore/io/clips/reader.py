"""A clip that is read: frames in their order, with their time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type

from ssl_restore.errors import UserError
from ssl_restore.io import MAX_PIXELS
from ssl_restore.io.clips import colour
from ssl_restore.io.clips.lengths import is_cut_off
from ssl_restore.io.clips.samples import UNSPECIFIED, Planes, Samples, planes_of, samples_of
from ssl_restore.io.clips.suffixes import CLIPS
from ssl_restore.io.clips.upright import Upright, by_matrix
from ssl_restore.io.manifest import Identity, identity
from ssl_restore.io.picture import Pixels

_TAGS = {"matrix": "colorspace", "primaries": "color_primaries", "transfer": "color_trc"}
FRAMES_PER_S = 25.0  # of what does not say
_CONTAINERS = "mov,mp4,avi,matroska,webm,mpeg,mpegts,mpegvideo,asf"  # no playlists


@dataclass(frozen=True)
class ClipFrame:
    """A frame of a clip, as stored."""

    pts: int  # in units of the clip's time base
    planes: Planes
    samples: Samples
    upright: Upright

    def pixels(self) -> Pixels:
        """(H, W, 1 or 3) upright: uint8, or uint16 of more than 8 bits."""
        return self.upright.applied(colour.to_rgb(self.planes, self.samples))

    def restored(self, before: Pixels, after: Pixels) -> Planes:
        """The planes as they show `after` in place of `before`, which `pixels` gave; where the size
        is another, those of `after` alone."""
        stored = self.upright.undone(after)
        if before.shape[:2] != after.shape[:2]:
            return colour.from_rgb(stored, self.samples.sized(stored.shape[:2]))
        return colour.changed(self.planes, self.samples, self.upright.undone(before), stored)


@dataclass(frozen=True)
class Timing:
    """When the frames of a clip are shown, in units of its time base, as its packets say."""

    count: int
    end: int  # of the last frame
    constant: bool  # whether all frames are shown for as long, to a unit
    cut_off: bool  # whether the file ends before what its container says


class Clip:
    """A clip, open; UserError where it is none that is read."""

    def __init__(self, path: Path, max_pixels: int = MAX_PIXELS) -> None:
        if not path.is_file():
            raise UserError(f"{path}: no such file; check the spelling")
        self.path, self._max_pixels = path, max_pixels
        self.container = _opened(path)
        videos = [s for s in self.container.streams.video if not _is_cover(s)]
        stream = videos[0] if videos else None
        if stream is None or stream.codec_context is None or not stream.width * stream.height:
            self.container.close()
            raise UserError(f"{path}: no picture in it that is read; convert it to .mp4")
        self.stream = stream
        self._check_size(stream.width, stream.height)
        stream.thread_type = "AUTO"
        self.time_base = Fraction(stream.time_base or Fraction(1, 1000))
        aspect = stream.sample_aspect_ratio
        self.aspect = aspect if aspect and aspect != 1 else None

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, *error: object) -> None:
        self.container.close()

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            raise UserError(
                f"{self.path}: {width} x {height} is over the limit; if there is memory for it, "
                f"`max_pixels={width * height}`"
            )

    @property
    def rate(self) -> Fraction:
        """Frames a second, on average."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return Fraction(rate) if rate and rate > 0 else Fraction(FRAMES_PER_S)

    @cached_property
    def first(self) -> ClipFrame:
        """The first frame; UserError where there is none."""
        frame = next(self.frames(), None)
        if frame is None:
            raise UserError(f"{self.path}: holds no frame that can be read; fetch the clip again")
        return frame

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) upright."""
        samples = self.first.samples
        return self.first.upright.size((samples.height, samples.width))

    def frames(self) -> Iterator[ClipFrame]:
        """All frames, each with a later time than the one before; every call reads them anew."""
        with Clip(self.path, self._max_pixels) as again:
            yield from again._frames()

    def _frames(self) -> Iterator[ClipFrame]:
        samples: Samples | None = None
        upright: Upright | None = None
        pts: int | None = None
        for frame in self._decoded():
            if samples is None or upright is None:
                samples, upright = self._said(samples_of(frame, self.aspect)), _upright(frame)
                self._check_read(samples)
            elif (frame.width, frame.height) != (samples.width, samples.height):
                raise UserError(
                    f"{self.path}: a frame of {frame.width} x {frame.height} pixels after one of "
                    f"{samples.width} x {samples.height}; frames of one clip have one size"
                )
            pts = self._time(frame, pts)
            try:
                yield ClipFrame(pts, planes_of(frame, samples), samples, upright)
            except UserError as error:
                raise UserError(f"{self.path}: {error}") from error

    def _said(self, samples: Samples) -> Samples:
        """With what the container says where the frame does not."""
        context, said = self.stream.codec_context, {}
        for name, attribute in _TAGS.items():
            if getattr(samples, name) in (UNSPECIFIED, 0) and getattr(context, attribute):
                said[name] = getattr(context, attribute)
        return replace(samples, **said) if samples.model != "rgb" else samples

    def _check_read(self, samples: Samples) -> None:
        self._check_size(samples.width, samples.height)
        try:
            colour.check_matrix(samples)
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from error

    def _time(self, frame: av.VideoFrame, before: int | None) -> int:
        least = 0 if before is None else before + 1
        guess = 0 if before is None else before + self._step
        pts = guess if frame.pts is None else frame.pts
        return pts if before is None else max(pts, least)

    @property
    def _step(self) -> int:
        """From one frame to the next, as they usually follow."""
        return max(1, round(1 / (self.rate * self.time_base)))

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """Frames of FFmpeg; UserError where one cannot be decoded."""
        number = 0
        try:
            for packet in self.container.demux(self.stream):
                for frame in packet.decode():
                    number += 1
                    yield frame
        except av.FFmpegError as error:
            raise UserError(
                f"{self.path}: what follows frame {number} cannot be read ({error.strerror}); "
                "fetch the clip again"
            ) from error

    def at(self, share: float) -> ClipFrame:
        """The frame shown after a share, below 1, of the time; the first where the clip cannot be
        sought in."""
        length = self.stream.duration
        if length is None:  # as in Matroska, which tells that of the whole file
            length = round((self.container.duration or 0) / av.time_base / self.time_base)
        wanted, found = (self.stream.start_time or 0) + int(length * share), self.first
        with Clip(self.path, self._max_pixels) as again:
            try:
                again.container.seek(wanted, stream=again.stream)
                for frame in again._frames():  # from a key frame on
                    if frame.pts > wanted:
                        break
                    found = frame
            except (av.FFmpegError, UserError):
                return self.first
        return found

    def timing(self) -> Timing:
        """Of all frames; reads a file that does not change only once, and decodes nothing."""
        state = identity(self.path) if self.path.is_file() else (0, 0)
        return _timing(self.path, self._max_pixels, state)

    def _read_timing(self) -> Timing:
        times, end = [], 0
        try:
            for packet in self.container.demux(self.stream):
                if packet.pts is not None and packet.size and not packet.is_discard:
                    times.append(packet.pts)
                    end = max(end, packet.pts + (packet.duration or 0))
        except av.FFmpegError as error:
            raise UserError(
                f"{self.path}: cannot be read to its end ({error.strerror}); fetch the clip again"
            ) from error
        steps = np.diff(np.sort(times))
        said = self._said_end()
        if times and said is not None and 0 < said - max(times) <= max([*steps, end - max(times)]):
            end = said
        if times and end == max(times):  # what the last packet does not say
            end += round(float(np.median(steps))) if steps.size else self._step
        constant = not steps.size or int(steps.max() - steps.min()) <= 1
        return Timing(len(times), end, constant, is_cut_off(self.path))

    def _said_end(self) -> int | None:
        """Where the container says that the frames end, in units of the time base; None: nowhere.

        Packets do not tell: one of an .mp4 lasts until the next one that is decoded, which need not
        be the next one that is shown, and those of an .mkv have no length.
        """
        if self.container.format.name.startswith("mov"):
            length = self.stream.duration
            return None if length is None else (self.stream.start_time or 0) + length
        said = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", self.stream.metadata.get("DURATION", ""))
        if said is None:
            return None
        seconds = 3600 * int(said[1]) + 60 * int(said[2]) + Fraction(said[3])
        return round(seconds / self.time_base)


@lru_cache(maxsize=4096)
def _timing(path: Path, max_pixels: int, state: Identity) -> Timing:
    """That of a clip; `state` tells the file from others that were or will be in its place."""
    with Clip(path, max_pixels) as clip:
        return clip._read_timing()


def _opened(path: Path) -> av.container.InputContainer:
    try:
        return av.open(
            str(path.absolute()), "r", metadata_errors="replace",
            options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"},
        )  # fmt: skip
    except (av.FFmpegError, ValueError) as error:
        raise UserError(
            f"{path}: not a clip that is read ({', '.join(CLIPS)}); fetch it again, or convert it "
            "to .mp4"
        ) from error


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _upright(frame: av.VideoFrame) -> Upright:
    try:
        side_data: Any = frame.side_data
        matrix = np.frombuffer(side_data[Type.DISPLAYMATRIX], np.int32)
    except KeyError:
        return Upright()
    return by_matrix([int(value) for value in matrix])
