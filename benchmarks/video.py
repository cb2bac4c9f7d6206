"""A clip and what became of it, frame by frame: times, duration, sound, samples and colours.

    python benchmarks/video.py before.mp4 after.mp4

Prints JSON. `apart` are differences of RGB, of 255, in all frames; of a clip that was restored with
--strength 0 they are what encoding costs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np

from ssl_restore.errors import UserError
from ssl_restore.io.clips.reader import Clip
from ssl_restore.io.picture import peak


def compared(before: Path, after: Path) -> dict[str, Any]:
    """The figures of two clips; frames are taken in pairs, in their order.

    UserError for clips of another number of frames, or of frames of another size.
    """
    one, other = Clip(before), Clip(after)
    late: list[float] = []
    shown: list[int] = []
    apart: list[tuple[float, float, float]] = []
    for was, now in zip_longest(one.frames(), other.frames()):
        if was is None or now is None:
            ended, goes_on = (before, after) if was is None else (after, before)
            raise UserError(f"{ended}: ends after {len(late)} frames, but {goes_on} goes on")
        shown.append(was.pts)
        late.append(abs(float(was.pts * one.time_base - now.pts * other.time_base)))
        pixels = [frame.pixels() / (peak(frame.pixels().dtype) / 255) for frame in (was, now)]
        if pixels[0].shape != pixels[1].shape:
            sizes = " and ".join(f"{one.shape[1]} x {one.shape[0]}" for one in pixels)
            raise UserError(f"{after}: frames of {sizes}; compare clips of one size")
        differences = np.abs(pixels[0] - pixels[1])
        apart.append((differences.mean(), float(differences.max()), (differences <= 1).mean()))
    ends = [float(clip.timing().end * clip.time_base) for clip in (one, other)]
    steps = np.diff(shown)
    mean, most, share = zip(*apart, strict=True)
    return {
        "frames": len(late),
        "variable_rate": bool(steps.size and steps.max() > steps.min() + 1),
        "most_late_s": max(late),
        "seconds": ends,
        "sound_is_the_same": sound(before) == sound(after),
        "samples_are_the_same": one.first.samples == other.first.samples,
        "apart": {
            "mean": float(np.mean(mean)),
            "most": max(most),
            "share_within_1": float(np.mean(share)),
        },
    }


def sound(path: Path) -> list[bytes]:
    """The packets of every stream of sound, joined."""
    with av.open(str(path)) as clip:
        numbers = [stream.index for stream in clip.streams.audio]
    found = []
    for number in numbers:
        with av.open(str(path)) as clip:
            packets = clip.demux(clip.streams[number])
            found.append(b"".join(bytes(packet) for packet in packets if packet.size))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Compare two clips, frame by frame.")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    given = parser.parse_args(arguments)
    try:
        print(json.dumps(compared(given.before, given.after), indent=1))
    except UserError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
