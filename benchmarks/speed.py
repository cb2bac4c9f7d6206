"""Speed of the built-in restorer beside a public peer, in one run, on this machine.

    python benchmarks/speed.py

Prints Mpixel/s for 480x320 pictures in memory, and the ratio to OpenCV's non-local means (the
usual filter of a photographer without a network) and to its morphological opening. Each figure is
the median of several rounds in which the three take turns.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

from ssl_restore import device
from ssl_restore.evaluation.baselines import opening_1x5
from ssl_restore.inference.fine_to_coarse import restore_pixels
from ssl_restore.inference.load import load_restorer

ROUNDS = 7


def main() -> None:
    restorer = load_restorer(None, torch.device("cpu"), task="derain")
    pixels = np.random.default_rng(0).integers(0, 256, (320, 480, 3), np.uint8)
    methods: dict[str, Callable[[], object]] = {
        "derain (built-in restorer)": lambda: restore_pixels(restorer, pixels, scale=None),
        "cv2.fastNlMeansDenoisingColored": lambda: cv2.fastNlMeansDenoisingColored(pixels),
        "opening 1x5 (cv2)": lambda: opening_1x5(pixels),
    }
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(ROUNDS):
        for name, method in methods.items():
            begun = time.perf_counter()
            method()
            seconds[name].append(time.perf_counter() - begun)
    fast = device.has_fast_bfloat16(torch.device("cpu"))
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, OpenCV {cv2.__version__}, "
          f"{'bfloat16' if fast else 'float32'} convolutions")  # fmt: skip
    own = statistics.median(next(iter(seconds.values())))
    for name, taken in seconds.items():
        median = statistics.median(taken)
        print(f"{name:34} {pixels.size / 3e6 / median:8.2f} Mpixel/s   {median / own:8.3f} x")


if __name__ == "__main__":
    main()
