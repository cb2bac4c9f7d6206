"""Clips of growing length restored by the command line: memory, time, and whether all is there.

    python benchmarks/long_clip.py --frames 250 3600 18000 90000

Clips of 64x48 with sound, 25 frames a second: 90,000 frames are an hour.  Seconds and peak memory
are of the whole process.  The packets of the sound are compared bit for bit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import small_clips
from restore import measured


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[250, 3600])
    parser.add_argument("--task", default="derain")
    parser.add_argument("--weights", type=Path, help="Checkpoint.  [default: built-in]")
    given = parser.parse_args(arguments)
    own = [] if given.weights is None else ["--weights", str(given.weights)]
    print(f"{'frames':>7} {'restored':>9} {'seconds':>8} {'GB':>6}  sound", flush=True)
    for count in given.frames:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "in.mp4", Path(folder) / "out.mp4"
            small_clips.make(source, count, kind="walk.mp4")
            call = [sys.executable, "-m", "ssl_restore", given.task, str(source), str(target), *own]
            seconds, memory = measured(call)
            sound = zip_longest(small_clips.packets(source), small_clips.packets(target))
            same = "the same bits" if all(one == other for one, other in sound) else "differs"
            restored = small_clips.frame_count(target)
            print(f"{count:7} {restored:9} {seconds:8.1f} {memory:6.2f}  {same}", flush=True)


if __name__ == "__main__":
    main()
