"""Frames that were restored as a clip: samples, time, sound and descriptions of their source."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

from ssl_restore.errors import UserError
from ssl_restore.io.clips import joining, segments
from ssl_restore.io.clips.colour import is_usual
from ssl_restore.io.clips.encoders import USUAL, Codec, Encoding, stored_as
from ssl_restore.io.clips.reader import Clip, ClipFrame, Timing
from ssl_restore.io.clips.samples import Samples, as_rgb
from ssl_restore.io.manifest import Identity, identity


class Source(Protocol):
    """What frames come from: a clip, or pictures."""

    path: Path
    time_base: Fraction

    @property
    def rate(self) -> Fraction: ...
    @property
    def first(self) -> ClipFrame: ...
    def frames(self) -> Iterator[ClipFrame]: ...
    def timing(self) -> Timing: ...
    def at(self, share: float) -> ClipFrame: ...


# Frames of a source -> (time, planes) of each, in their order.
Restore = Callable[[Iterator[ClipFrame]], Iterable[segments.TimedPlanes]]


def write(
    source: Source,
    target: Path,
    restore: Restore,
    *,
    encoding: Encoding = USUAL,
    scale: int = 1,
    resume: segments.ResumeClip = segments.ANEW,
    skipped: Callable[[int], object] = lambda frames: None,
    before: Callable[[Path], object] = lambda temporary: None,
    notify: Callable[[str], None] = lambda line: None,
) -> None:
    """Write a clip whole or not at all.

    Args:
        source: Frames; of a clip also sound, subtitles, descriptions, time and place.
        target: Suffix of `CONTAINERS`.
        restore: Called for the frames of each piece.
        encoding: Codec and rate factor.
        scale: How many times as long the sides are as those of the source.
        resume: What is done with pieces of an earlier run.
        skipped: Called with the number of frames that such pieces hold.
        before: Called with the temporary file when it is whole.
        notify: Called with a line for what the container or the codec does not keep.

    Raises:
        UserError: Before any frame is restored where codec, container and source do not go
            together; where the source cannot be read, or the result not be written.
    """
    first, timing = source.first, source.timing()
    size = scale * first.samples.height, scale * first.samples.width
    encoder = _encoder(source, target, first.samples.sized(size), encoding, notify)
    joining.check_container(target, first.upright, constant=timing.constant)
    clip = source if isinstance(source, Clip) else None
    if clip is not None:
        _, left_out = joining.carried(clip, target)
        if left_out:
            notify(f"{target}: {target.suffix} does not hold {', '.join(left_out)}: left out")
        joining.check_copied(clip, target)
    if timing.cut_off:
        notify(f"{source.path}: is cut off; what is there is restored")
    each = segments.frames_each(encoder.samples)
    with segments.pieces(target, _identity(source), resume, notify) as pieces:
        paths = []
        for number, batch in enumerate(_batches(source.frames(), each)):
            paths.append(pieces.path(number))
            if pieces.is_done(number):
                skipped(_skip_frames(batch))
            else:
                _write_piece(pieces, number, encoder, restore(batch), target)
        last = max(timing.end, 0) * source.time_base
        rate = encoder.rate if timing.constant else None
        shown = joining.Shown(encoder.stored, first.upright, last, rate)
        joining.join(paths, target, clip, shown, before)


def _encoder(
    source: Source, target: Path, samples: Samples, encoding: Encoding,
    notify: Callable[[str], None],
) -> segments.Encoder:  # fmt: skip
    codec, crf = encoding.chosen(target, samples)
    tagged = target.suffix.lower() != ".avi"  # which does not say which matrix its colours have
    stored = stored_as(samples if tagged or is_usual(samples) else as_rgb(samples), codec)
    if lost := _lost(samples, stored, codec):
        notify(f"{target}: {', and '.join(lost)}; `codec=ffv1` in an .mkv keeps them")
    if samples.aspect is not None and not codec.aspect:
        notify(
            f"{target}: {codec.encoder} does not hold the aspect of pixels, "
            f"{samples.aspect.numerator}:{samples.aspect.denominator}; `codec=h264` in an .mkv does"
        )
    rate = source.rate.limit_denominator(100_000)
    return segments.Encoder(samples, stored, codec, crf, source.time_base, rate)


def _lost(samples: Samples, stored: Samples, codec: Codec) -> list[str]:
    """What the samples of a result hold less of than those of the frames."""
    lost = []
    if stored.bits < samples.bits:
        lost.append(
            f"{samples.bits} bits are rounded to {stored.bits}, which is what {codec.encoder} holds"
        )
    if samples.model != "grey" and stored.across > samples.across:
        lost.append(f"chroma is stored at half the size ({stored.format}), as most players need")
    return lost


def _identity(source: Source) -> Identity:
    return identity(source.path) if source.path.exists() else (0, 0)


def _batches(frames: Iterator[ClipFrame], each: int) -> Iterator[Iterator[ClipFrame]]:
    """The frames by pieces; every batch is read to its end before the next."""
    for head in frames:
        yield chain([head], islice(frames, each - 1))


def _skip_frames(batch: Iterator[ClipFrame]) -> int:
    """Read frames that need no work; returns how many there were."""
    counted = deque(enumerate(batch, start=1), maxlen=1)
    return counted[0][0]


def _write_piece(
    pieces: segments.Pieces,
    number: int,
    encoder: segments.Encoder,
    frames: Iterable[segments.TimedPlanes],
    target: Path,
) -> None:
    try:
        pieces.write(number, encoder, frames)
    except UserError as error:  # about the clip, not about a piece of it
        named = error.message.replace(str(pieces.path(number)), str(target))
        raise error.saying(named) from error
