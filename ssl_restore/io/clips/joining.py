"""Pieces as one clip, with the sound, subtitles and descriptions of its source.

No stream is decoded or encoded: packets are copied, those of the sound bit for bit.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.stream import Stream

from ssl_restore.errors import UserError
from ssl_restore.io.clips import faults
from ssl_restore.io.clips.encoders import holds
from ssl_restore.io.clips.reader import Clip
from ssl_restore.io.clips.samples import Samples
from ssl_restore.io.clips.segments import tag
from ssl_restore.io.clips.suffixes import CONTAINERS
from ssl_restore.io.clips.upright import Upright
from ssl_restore.io.files import replacing

_OWN = {"encoder", "major_brand", "minor_version", "compatible_brands", "duration"}
_OPTIONS = {
    "avoid_negative_ts": "disabled",  # sound that begins before the picture stays there
    "fflags": "+bitexact",  # no random numbers; muxers still take the headers off AAC of a .ts
}
_HEVC_TAG = "hvc1"  # which all players of .mp4 take


@dataclass(frozen=True)
class Shown:
    """How the frames of a clip are shown."""

    samples: Samples
    upright: Upright
    end: Fraction  # of the last frame, in seconds
    rate: Fraction | None  # frames a second; None: variable


def check_container(target: Path, upright: Upright, *, constant: bool) -> None:
    """UserError where the container of a result cannot say when and how its frames are shown."""
    if target.suffix.lower() != ".avi":
        return
    if not constant:
        raise UserError(f"{target}: .avi holds a constant rate only; name an .mkv or .mp4")
    if upright.matrix is not None:
        raise UserError(f"{target}: .avi holds no rotation; name an .mkv or .mp4")


def carried(source: Clip, target: Path) -> tuple[list[Stream], list[str]]:
    """Streams of a source that go into the result, and names of those that its container does not
    hold.  UserError for sound that it does not hold."""
    kept: list[Stream] = []
    left_out: list[str] = []
    for stream in source.container.streams:
        if stream is source.stream:
            continue
        codec = stream.codec_context.name if stream.codec_context else None
        if isinstance(stream, av.AudioStream) and codec and not stream.sample_rate:
            left_out.append(f"audio ({codec}, of which nothing can be read)")
        elif stream.type in ("audio", "subtitle") and codec and holds(target, codec):
            kept.append(stream)
        elif stream.type == "audio":
            raise UserError(
                f"{target}: {target.suffix} does not hold the sound of {source.path} "
                f"({codec or 'unknown'}); {_place_for(codec, source)}"
            )
        else:
            left_out.append(f"{stream.type} ({codec or stream.metadata.get('handler_name', '?')})")
    return kept, left_out


def check_copied(source: Clip, target: Path) -> None:
    """UserError where what is copied cannot be read, or the container of a result does not take
    it, as sound whose time goes back.  Packets are put together as by `join`, and none is kept."""
    kept, _ = carried(source, target)
    if not kept:
        return
    with (
        _refusal(source, target),
        Clip(source.path) as again,
        av.open(_Nowhere(), "w", format=_format(target), options=_OPTIONS) as result,
    ):
        packets = _others(again, target, result)
        result.start_encoding()
        for _, _, packet in packets:
            result.mux(packet)


class _Nowhere(io.RawIOBase):
    """A file of which nothing is kept."""

    def __init__(self) -> None:
        self._place = self._end = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._end)[whence]
        return self._place

    def write(self, data: Any) -> int:
        self._place += len(data)
        self._end = max(self._end, self._place)
        return len(data)


def _format(target: Path) -> str:
    return CONTAINERS[target.suffix.lower()]


def _place_for(codec: str | None, source: Clip) -> str:
    """What to do with sound that the container of a result does not hold."""
    for suffix in (".mkv", *CONTAINERS):
        if codec is not None and holds(Path(f"any{suffix}"), codec):
            return f"give a name that ends in {suffix}"
    command = f"ffmpeg -i {source.path.name} -c:v copy -c:a flac converted.mkv"
    return f"convert its sound first: {command}"


def join(
    paths: Sequence[Path],
    target: Path,
    source: Clip | None,
    shown: Shown,
    before: Callable[[Path], object] = lambda temporary: None,
) -> None:
    """Write a clip whole or not at all; `before` as of `replacing`.

    What a kill leaves lies in the folder of the pieces, which the next run clears. UserError where
    the container does not take what is copied, as sound whose time goes back.
    """
    with (
        replacing(target, before, paths[0].parent) as temporary,
        _refusal(source, target),
        ExitStack() as stack,
    ):
        if source is not None:
            source = stack.enter_context(Clip(source.path))
        result = stack.enter_context(
            av.open(str(temporary), "w", format=_format(target), options=_OPTIONS)
        )
        with _piece(paths[0]) as first:
            video = result.add_stream_from_template(first.streams.video[0])
            time_base = first.streams.video[0].time_base
        assert time_base is not None
        video.time_base = time_base
        if shown.rate is not None:
            video.codec_context.framerate = shown.rate
            if result.format.name == "avi":  # which counts frames
                video.time_base = 1 / shown.rate
        tag(video.codec_context, shown.samples)
        if video.codec_context.name == "hevc" and result.format.name in ("mp4", "mov"):
            video.codec_tag = _HEVC_TAG
        if shown.upright.matrix is not None:
            video.set_display_matrix(shown.upright.matrix)
        sound: Iterator[Timed] = iter(())
        if source is not None:
            _copy_descriptions(source, result, video)
            sound = _others(source, target, result)
        packets = _video(paths, video, int(shown.end / time_base))
        for _, _, packet in heapq.merge(packets, sound, key=lambda one: one[:2]):
            result.mux(packet)


def _refusal(source: Clip | None, target: Path) -> AbstractContextManager[None]:
    remedy = _repair(source)
    if source is not None and target.suffix.lower() == ".avi":  # no AAC as .ts has it
        remedy = f"name an .mkv, or {remedy}"
    return faults.named(f"{target}: {target.suffix} does not take what is copied", remedy)


def _repair(source: Clip | None) -> str:
    """What to do where packets cannot be copied."""
    if source is None:
        return "name an .mkv"
    return f"repair {source.path} first: ffmpeg -i {source.path.name} -c copy repaired.mkv"


def _copy_descriptions(
    source: Clip, result: av.container.OutputContainer, video: av.VideoStream
) -> None:
    """Of the whole and of its frames; and the chapters."""
    result.metadata.update(_descriptions(source.container))
    video.metadata.update(_descriptions(source.stream))
    video.disposition = source.stream.disposition
    result.set_chapters(source.container.chapters())


def _descriptions(of: Any) -> dict[str, str]:
    return {name: value for name, value in of.metadata.items() if name not in _OWN}


def _copied_streams(
    source: Clip, target: Path, result: av.container.OutputContainer
) -> list[tuple[Stream, Stream]]:
    """Pairs of a stream of the source and its copy in the result."""
    found = []
    for stream in carried(source, target)[0]:
        copy = result.add_stream_from_template(stream)
        copy.metadata.update(_descriptions(stream))
        copy.disposition = stream.disposition
        copy.time_base = stream.time_base
        found.append((stream, copy))
    return found


if TYPE_CHECKING:
    Packet = av.Packet[Any]
    Timed = tuple[float, int, Packet]


@contextmanager
def _piece(path: Path) -> Iterator[av.container.InputContainer]:
    remedy = "begin anew with `overwrite`"
    with faults.named(f"{path}: cannot be read", remedy), av.open(str(path)) as piece:
        yield piece


def _video(paths: Sequence[Path], stream: av.VideoStream, end: int) -> Iterator[Timed]:
    """The packets of the pieces, each shown until the next; their order is that of showing."""
    before: Packet | None = None
    for path in paths:
        with _piece(path) as piece:
            for packet in piece.demux(video=0):
                if packet.pts is None:  # the end
                    continue
                packet.dts = packet.pts  # NUT leaves it out where the time base is fine
                if before is not None:
                    yield _shown_until(before, packet.pts, stream)
                before = packet
    if before is None:
        raise UserError(f"{paths[0]}: holds no frame; begin anew with `overwrite`")
    yield _shown_until(before, end, stream)


def _shown_until(packet: Packet, end: int, stream: av.VideoStream) -> Timed:
    assert packet.pts is not None
    packet.duration = max(end - packet.pts, 1)
    packet.stream = stream
    return float(packet.pts * packet.time_base), 0, packet


def _others(source: Clip, target: Path, result: av.container.OutputContainer) -> Iterator[Timed]:
    """The packets of the other streams of a source, for streams that are added to a result."""
    pairs = _copied_streams(source, target, result)
    packets = _packets(source, pairs) if pairs else iter(())
    if result.format.name == "avi":  # where all begins at 0
        return (one for one in packets if one[2].pts is None or one[2].pts >= 0)
    return packets


def _packets(source: Clip, pairs: Sequence[tuple[Stream, Stream]]) -> Iterator[Timed]:
    copies = {stream.index: copy for stream, copy in pairs}
    time = 0.0
    with faults.named(f"{source.path}: its sound cannot be read to its end", _repair(source)):
        for packet in source.container.demux([stream for stream, _ in pairs]):
            if packet.dts is None or not packet.size:
                continue
            time = max(time, float(packet.dts * packet.time_base))
            packet.stream = copies[packet.stream.index]
            yield time, 1, packet
