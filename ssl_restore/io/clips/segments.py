"""Pieces of a clip that is being made: each is whole or not there, so that work can go on.

A piece is a NUT file of some frames, which begins with a key frame and can be decoded by itself.
Pieces lie in a hidden folder beside the clip, with a manifest that says of which source and
settings they are, until the clip is whole. Frames are encoded in the order in which they are shown
(no B-frames), so that pieces can be put behind one another.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ssl_restore.errors import UserError
from ssl_restore.io import locks
from ssl_restore.io.clips import faults
from ssl_restore.io.clips.colour import converted
from ssl_restore.io.clips.encoders import Codec, packing
from ssl_restore.io.clips.samples import Planes, Samples, frame_of
from ssl_restore.io.disk import write_error
from ssl_restore.io.files import replacing
from ssl_restore.io.locks import only_run
from ssl_restore.io.manifest import Identity, Manifest, State

PIXELS = 100_000_000  # of a piece: minutes of work on a processor
LEAST, MOST = 12, 250  # frames of one
TimedPlanes = tuple[int, Planes]  # time in units of the time base, planes


def frames_each(samples: Samples) -> int:
    """How many frames a piece has."""
    return min(max(PIXELS // (samples.width * samples.height), LEAST), MOST)


@dataclass(frozen=True)
class Encoder:
    """How frames of given samples become packets."""

    samples: Samples  # of the frames
    stored: Samples  # of the result
    codec: Codec
    crf: int | None
    time_base: Fraction
    rate: Fraction

    def write(
        self, path: Path, frames: Iterable[TimedPlanes], before: Callable[[Path], object]
    ) -> None:
        """One piece; `before` is called with the temporary file when it is whole."""
        remedy = "`codec=ffv1` in an .mkv takes most"
        with (
            replacing(path, before) as temporary,
            faults.named(f"{path}: {self.codec.encoder} does not take its frames", remedy),
            av.open(str(temporary), "w", format="nut") as container,
        ):
            stream = self._stream(container)
            for pts, planes in frames:
                container.mux(stream.encode(self._frame(pts, planes)))
            container.mux(stream.encode(None))

    def _stream(self, container: av.container.OutputContainer) -> av.VideoStream:
        options = self.codec.options_for(self.crf)
        stream = container.add_stream(self.codec.encoder, self.rate, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = self.stored.width, self.stored.height
        stream.pix_fmt = packing(self.stored, self.codec)
        context = stream.codec_context
        context.time_base = self.time_base
        context.thread_count = self.codec.threads
        context.max_b_frames = 0
        tag(context, self.stored)
        return stream

    def _frame(self, pts: int, planes: Planes) -> av.VideoFrame:
        name = packing(self.stored, self.codec)
        assert name is not None
        frame = frame_of(converted(planes, self.samples, self.stored), self.stored, name)
        frame.pts, frame.time_base = pts, self.time_base
        return frame


def tag(context: av.VideoCodecContext, samples: Samples) -> None:
    """Say what the samples mean, in the context of an encoder or of a stream."""
    context.colorspace, context.color_range = samples.matrix, samples.range
    context.color_primaries, context.color_trc = samples.primaries, samples.transfer
    if samples.aspect is not None:
        context.sample_aspect_ratio = samples.aspect


@dataclass(frozen=True)
class ResumeClip:
    """How the pieces that an earlier run left are told, and what is done with them."""

    settings: Mapping[str, Any] | None = None  # all that the result depends on; None: not told
    skip: bool = False  # use them
    overwrite: bool = False  # remove them


ANEW = ResumeClip()  # removes what is there, and leaves no pieces


class Pieces:
    """The pieces of one clip that are there."""

    def __init__(self, folder: Path, source: Identity, settings: Mapping[str, Any]) -> None:
        self.folder, self._source = folder, source
        self._manifest = Manifest(folder, settings)

    def path(self, number: int) -> Path:
        return self.folder / f"{number:06}.nut"

    def is_done(self, number: int) -> bool:
        """Whether a piece of this source and these settings is there."""
        return self._manifest.state(self.path(number), self._source) is State.DONE

    def write(self, number: int, encoder: Encoder, frames: Iterable[TimedPlanes]) -> None:
        path = self.path(number)
        encoder.write(
            path, frames, lambda temporary: self._manifest.record(path, self._source, temporary)
        )


def folder_of(target: Path) -> Path:
    """Where the pieces of a clip lie."""
    name = hashlib.blake2b(target.name.encode("utf-8", "surrogateescape"), digest_size=6)
    return target.absolute().parent / f".{name.hexdigest()}.ssl-restore-pieces"


def remove(target: Path) -> None:
    """Pieces of a clip that is whole, which a kill has left."""
    shutil.rmtree(folder_of(target), ignore_errors=True)


@contextmanager
def pieces(
    target: Path,
    source: Identity,
    resume: ResumeClip,
    notify: Callable[[str], None] = lambda line: None,
) -> Iterator[Pieces]:
    """Pieces of a clip, of which no other run makes any while the block lasts.

    They are removed when the block ends well; when it fails they are kept for another run, unless
    none is whole, or there are no settings by which they could be told; those that such a run has
    left are removed, and `notify` gets a line. UserError where another run is making the clip, and
    where an earlier one left pieces of which nothing is said.
    """
    folder = folder_of(target)
    with only_run(folder, result=target):
        _clear(target, folder, resume, notify)
        done = False
        try:
            yield Pieces(folder, source, resume.settings or {})
            done = True
        finally:
            if done or resume.settings is None or not any(folder.glob("*.nut")):
                shutil.rmtree(folder, ignore_errors=True)


def _clear(target: Path, folder: Path, resume: ResumeClip, notify: Callable[[str], None]) -> None:
    """Remove what an earlier run left, unless it is to be used."""
    told = resume.settings is not None
    try:
        left = [path for path in folder.iterdir() if path.name != locks.NAME]
        if left and told and not (resume.skip or resume.overwrite):
            raise UserError(
                f"{target}: a run that was not finished left pieces of it; `skip_existing` goes on "
                "with them, `overwrite` begins anew"
            )
        if left and not told:
            notify(f"{target}: an earlier run was not finished; begins anew")
        for path in () if resume.skip and told else left:
            path.unlink()
    except OSError as error:
        raise write_error(target, "its folder cannot be written", error) from error
