"""Small clips made by FFmpeg's encoders, with sound, for the tests of clips."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from ssl_restore.io.clips import writer
from ssl_restore.io.clips.encoders import USUAL
from ssl_restore.io.clips.reader import Clip

VARIABLE = (0, 40, 80, 200, 210, 300)  # ms


def film(
    path, *, codec="libx264", form="yuv420p", size=(64, 48), times=VARIABLE, matrix=1, full=False,
    aspect=None, degrees=0, sound="aac", base=Fraction(1, 1000), noise=0,
):  # fmt: skip
    """Frames at `times` ms of moving waves; matrix, primaries and transfer are all `matrix`.  With
    `noise`, which is of so many levels, files are large."""
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream(codec, 25)
        (stream.width, stream.height), stream.pix_fmt = size, form
        context = stream.codec_context
        context.time_base = base
        context.colorspace = context.color_primaries = context.color_trc = matrix
        context.color_range = 2 if full else 1
        if codec == "libx265":
            context.options = {"x265-params": "log-level=none"}
        if aspect:
            context.sample_aspect_ratio = aspect
        if degrees:
            stream.set_display_rotation(degrees)
        heard = clip.add_stream(sound, 8000) if sound else None
        clip.metadata["title"] = "A walk"
        for number, time in enumerate(times):
            frame = waves(size, form, number, noise)
            frame.pts, frame.time_base = int(time / 1000 / base), base
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode(None))
        if heard:
            tone = (8000 * np.sin(np.arange(4000) * 0.3)).astype(np.int16)[None]
            played = av.AudioFrame.from_ndarray(tone, "s16", "mono")
            played.sample_rate, played.pts = 8000, 0
            clip.mux(heard.encode(played))
            clip.mux(heard.encode(None))
    return path


def waves(size, form, number, noise=0):
    draws = np.random.default_rng(number)
    frame = av.VideoFrame(*size, form)
    deep = "10" in form
    for order, plane in enumerate(frame.planes):
        rows = np.frombuffer(plane, np.uint16 if deep else np.uint8)
        rows = rows.reshape(-1, plane.line_size // rows.itemsize)
        wave = 90 + 20 * order + 50 * np.sin(0.1 * np.arange(rows.shape[1]) + number)
        wave = wave + draws.integers(0, noise + 1, rows.shape)
        rows[:] = wave * (4 if deep else 1)
    return frame


def packets(path, kind="audio"):
    """The packets of all streams of a kind."""
    with av.open(str(path)) as clip:
        return [
            bytes(packet)
            for stream in clip.streams
            if stream.type == kind
            for packet in clip.demux(stream)
            if packet.size
        ]


def untouched(frames):
    for frame in frames:
        pixels = frame.pixels()
        yield frame.pts, frame.restored(pixels, pixels)


def passed(source, target, encoding=USUAL, **options):
    """A clip through reader and writer."""
    writer.write(Clip(source), target, untouched, encoding=encoding, **options)
    return Clip(target)


def times(clip):
    return [float(1000 * frame.pts * clip.time_base) for frame in clip.frames()]
