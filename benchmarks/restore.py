"""Files of growing size restored by the command line, beside a public peer: speed and memory.

    python benchmarks/restore.py --mpixel 0.15 2 12 100 400 --task derain denoise
    python benchmarks/restore.py --mpixel 12 --task denoise --option=--quality=fast

A photograph, repeated up to the size, is written as a PNG; each command, and OpenCV's non-local
means (read, filtered and written by OpenCV), works on it in a process of its own.  Seconds, Mpixel
a second and peak memory are of the whole process, its start, reading and writing included.  The
peer is left out above --peer-up-to.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssl_restore.io import images
from ssl_restore.io.picture import Picture, eight_bit_rgb

PEER = (
    "import cv2, sys; "
    "picture = cv2.imread(sys.argv[1]); "
    "cv2.imwrite(sys.argv[2], cv2.fastNlMeansDenoisingColored(picture, None, 10, 10, 7, 21))"
)
SAMPLE = Path(__file__).parents[1] / "data_samples" / "rainy_example.png"


def enlarged(mpixel: float, photograph: Path) -> Picture:
    """The photograph, repeated and cropped to 3:2."""
    pixels = eight_bit_rgb(images.read(photograph).pixels)
    height = round(math.sqrt(mpixel * 1e6 / 1.5))
    width = round(1.5 * height)
    times = [-(-length // of) for length, of in zip((height, width), pixels.shape, strict=False)]
    return Picture(np.tile(pixels, (*times, 1))[:height, :width])


def measured(command: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak memory (GB) of a process; RuntimeError where it fails."""
    environment = {**os.environ, "OPENCV_IO_MAX_IMAGE_PIXELS": str(2**40)}
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)}: failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e9


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mpixel", type=float, nargs="+", default=[0.15, 2, 12])
    parser.add_argument("--task", nargs="+", default=["derain"])
    parser.add_argument("--photograph", type=Path, default=SAMPLE)
    parser.add_argument("--option", action="append", default=[], help="Of the command.")
    parser.add_argument("--peer-up-to", type=float, default=100, help="Mpixel.")
    given = parser.parse_args(arguments)
    tool = shutil.which("ssl-restore", path=str(Path(sys.executable).parent)) or "ssl-restore"
    print(f"{'Mpixel':>7}  {'method':24} {'seconds':>8} {'Mpixel/s':>9} {'GB':>6}", flush=True)
    for mpixel in given.mpixel:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "in.png", Path(folder) / "out.png"
            images.write(source, enlarged(mpixel, given.photograph))
            options = [*given.option, "--max-pixels", str(10**10), "--overwrite"]
            calls = {task: [tool, task, str(source), str(target), *options] for task in given.task}
            if mpixel <= given.peer_up_to:
                calls["OpenCV non-local means"] = [
                    sys.executable, "-c", PEER, str(source), str(target)
                ]  # fmt: skip
            for name, call in calls.items():
                seconds, memory = measured(call)
                row = f"{seconds:8.1f} {mpixel / seconds:9.2f} {memory:6.2f}"
                print(f"{mpixel:7g}  {name:24} {row}", flush=True)


if __name__ == "__main__":
    main()
