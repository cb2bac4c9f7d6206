"""A clip and what became of it, frame by frame: times, duration, sound, samples and colours.

    python benchmarks/video.py before.mp4 after.mp4

Prints JSON. `apart` are differences of RGB, of 255, in all frames; of a clip that was restored with
--strength 0 they are what encoding costs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from ssl_restore.io.clips.reader import Clip
from ssl_restore.io.picture import peak


def compared(before: Path, after: Path) -> dict[str, Any]:
    """The figures of two clips; frames are taken in pairs, in their order."""
    one, other = Clip(before), Clip(after)
    late, apart = [], []
    for was, now in zip(one.frames(), other.frames(), strict=True):
        late.append(abs(float(was.pts * one.time_base - now.pts * other.time_base)))
        pixels = [frame.pixels() / (peak(frame.pixels().dtype) / 255) for frame in (was, now)]
        apart.append(np.abs(pixels[0] - pixels[1]))
    ends = [float(clip.timing().end * clip.time_base) for clip in (one, other)]
    steps = np.diff([frame.pts for frame in one.frames()])
    return {
        "frames": len(late),
        "variable_rate": bool(steps.size and steps.max() > steps.min() + 1),
        "most_late_s": max(late),
        "seconds": ends,
        "sound_is_the_same": sound(before) == sound(after),
        "samples_are_the_same": one.first.samples == other.first.samples,
        "apart": {
            "mean": float(np.mean([one.mean() for one in apart])),
            "most": float(max(one.max() for one in apart)),
            "share_within_1": float(np.mean([(one <= 1).mean() for one in apart])),
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
    print(json.dumps(compared(given.before, given.after), indent=1))


if __name__ == "__main__":
    main()
