"""Small clips of every container with sound, and what the command line makes of them.

`faults.py` damages them, and kills runs on them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TextIO

import av
import numpy as np

from ssl_restore.errors import UserError
from ssl_restore.io.clips.reader import Clip
from ssl_restore.io.clips.suffixes import is_written

RATE, HERTZ = 25, 48000
KINDS = {  # file -> video codec, format of its frames, codec of the sound
    "walk.mp4": ("libx264", "yuv420p", "aac"),
    "deep.mp4": ("libx265", "yuv420p10le", "aac"),
    "walk.mov": ("mjpeg", "yuvj422p", "pcm_s16le"),
    "walk.mkv": ("ffv1", "bgr0", "flac"),
    "av1.mkv": ("libsvtav1", "yuv420p", "libopus"),
    "walk.webm": ("libvpx-vp9", "yuv444p", "libopus"),
    "walk.avi": ("mpeg4", "yuv420p", "libmp3lame"),
    "walk.ts": ("libx264", "yuv420p", "mp2"),
    "walk.mpg": ("mpeg2video", "yuv420p", "mp2"),
    "walk.wmv": ("wmv2", "yuv420p", "libmp3lame"),
}
_QUIET = {"libx265": {"x265-params": "log-level=none"}}


def make(path: Path, frames: int = 6, size: tuple[int, int] = (64, 48), kind: str = "") -> Path:
    """A clip of waves that move, with as many seconds of a tone."""
    video, form, sound = KINDS[kind or path.name]
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream(video, RATE, options=_QUIET.get(video))
        heard = clip.add_stream(sound, HERTZ)
        assert isinstance(stream, av.VideoStream)
        assert isinstance(heard, av.AudioStream)
        (stream.width, stream.height), stream.pix_fmt = size, form
        heard.layout, heard.bit_rate = "mono", 64_000
        each = HERTZ // RATE
        for number in range(frames):
            clip.mux(stream.encode(_waves(size, number).reformat(format=form)))
            clip.mux(heard.encode(_tone(number * each, each)))
        clip.mux(stream.encode(None))
        clip.mux(heard.encode(None))
    return path


def make_all(folder: Path) -> None:
    """One of each kind."""
    os.environ["SVT_LOG"] = "0"  # of errors only
    folder.mkdir()
    for name in KINDS:
        make(folder / name)


def _waves(size: tuple[int, int], number: int) -> av.VideoFrame:
    rows, columns = np.mgrid[: size[1], : size[0]]
    phases = np.arange(3) + 0.2 * number
    waves = np.sin(rows[..., None] / 7 + phases) * np.cos(columns[..., None] / 9 - phases)
    frame = av.VideoFrame.from_ndarray((120 + 70 * waves).astype(np.uint8), "rgb24")
    frame.pts, frame.time_base = number, Fraction(1, RATE)
    return frame


def _tone(start: int, count: int) -> av.AudioFrame:
    tone = 8000 * np.sin((start + np.arange(count)) * 0.06)
    frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], "s16", "mono")
    frame.sample_rate, frame.pts = HERTZ, start
    return frame


def check_whole(path: Path) -> None:
    """An error where not every frame of a file can be decoded."""
    with av.open(str(path)) as clip:
        for _ in clip.decode(video=0):
            pass


def frame_count(path: Path) -> int:
    """Of the frames that can be read; UserError where one cannot."""
    with Clip(path) as clip:
        return sum(1 for _ in clip.frames())


def packets(path: Path, kind: str = "audio") -> Iterator[bytes]:
    """The packets of all streams of a kind."""
    with av.open(str(path)) as clip:
        streams = [stream for stream in clip.streams if stream.type == kind]
        yield from (bytes(packet) for packet in clip.demux(streams) if packet.size)


def restore(
    path: Path, out: Path, weights: Path, command: Callable[[list[str], TextIO], int]
) -> None:
    """Restore a clip into an empty folder as a user does, and check what is there then.

    UserError where it was refused in lines that each name a file; RuntimeError where these do not,
    where something is left behind, and where the result cannot be read.
    """
    target = out / (path.name if is_written(path) else f"{path.name}.mkv")
    with _standard_error() as written:
        code = command(["derain", str(path), str(target), "--weights", str(weights)], written)
        written.seek(0)
        said = written.read().splitlines()
    left = sorted(one.name for one in out.rglob("*"))
    for line in said:
        if str(path) not in line and str(target) not in line and " restored, " not in line:
            raise RuntimeError(f"said {line!r}")
    if code == 0:
        if left != [target.name] or not frame_count(target):
            raise RuntimeError(f"restored, and {left} are there")
        target.unlink()
    elif code != 1 or left or not said or not said[-1].startswith("Error: "):
        raise RuntimeError(f"exit code {code}, {left} left, said {said}")
    else:
        raise UserError(said[-1])


@contextmanager
def _standard_error() -> Iterator[TextIO]:
    """A file that takes what the process writes to its standard error, libraries of C included."""
    with tempfile.TemporaryFile("w+", errors="replace") as written:
        before = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            yield written
        finally:
            os.dup2(before, 2)
            os.close(before)
