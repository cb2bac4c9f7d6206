"""Dehazing beside public peers: hazy pictures with their truths, in one run, on this machine.

    pip install adrishyam image-dehazer   # peers; without them their rows are left out
    python benchmarks/dehaze.py ./hazy/ ./clean/ --sheet dehaze.png
    python benchmarks/dehaze.py ./photos/ --haze-free
    python benchmarks/dehaze.py --large 12

PSNR and SSIM of 8-bit values, of RGB and of luma, uncropped, means over the pictures, and the
Mpixel/s of each method. With `--haze-free` the pictures have no haze and are their own truth: what
is changed in them is damage. `--large` takes one picture of so many Mpixel, in seconds and the
largest memory of the process, each method in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from ssl_restore.evaluation import baselines, scoring
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.picture import Picture, Pixels, eight_bit_rgb

SHOWN_PX = 320
Method = Callable[[Pixels], Pixels]


def clahe(pixels: Pixels) -> Pixels:
    """Contrast-limited adaptive histogram equalisation of the lightness."""
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(2.0, (8, 8)).apply(lab[..., 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def adrishyam() -> Method:
    """Its steps in memory: what it offers reads and writes files."""
    peer = importlib.import_module("adrishyam.dehaze")

    def method(pixels: Pixels) -> Pixels:
        values = pixels.astype(np.float32) / 255
        dark = peer.get_dark_channel(values)
        airlight = peer.estimate_atmospheric_light(values, dark)
        rough = peer.estimate_transmission(values, airlight, dark)
        t = peer.guided_filter_simple(values[:, :, 0], rough, 60, 0.01)
        return np.rint(255 * peer.dehaze(values, t, airlight)).astype(np.uint8)

    return method


def image_dehazer() -> Method:
    peer = importlib.import_module("image_dehazer")

    np.alltrue = np.all  # type: ignore[attr-defined]  # version 0.0.9 asks for it, NumPy 2 lacks it

    def method(pixels: Pixels) -> Pixels:
        restored, _ = peer.remove_haze(pixels[..., ::-1].copy(), showHazeTransmissionMap=False)
        return np.asarray(restored)[..., ::-1]

    return method


def methods(weights: Sequence[Path]) -> dict[str, Method]:
    """All by name: peers, the dark channel, the built-in restorer and others."""
    found: dict[str, Method] = {"input": lambda pixels: pixels, "CLAHE (cv2)": clahe}
    for name, peer in (("adrishyam", adrishyam), ("image-dehazer", image_dehazer)):
        try:
            found[name] = peer()
        except ImportError:
            print(f"{name} is not installed; its row is left out")
    found["dark_channel"] = baselines.dark_channel
    for path in (None, *weights):
        name = "built-in" if path is None else path.parent.name
        restorer = load_restorer(path, torch.device("cpu"), task="dehaze")
        found[name] = partial(restore, restorer)
    return found


def large(mega: float, weights: Sequence[Path]) -> None:
    """Seconds and memory of every method on one picture."""
    side = round((mega * 1e6 / 12) ** 0.5)
    for name in methods(weights):
        pool = multiprocessing.get_context("spawn").Pool(1)
        with pool:
            seconds, before, most = pool.apply(_alone, (name, side, weights))
        print(f"{name:16} {seconds:8.2f} s   {before:6.0f} MB before, {most:6.0f} MB at most")


def _alone(name: str, side: int, weights: Sequence[Path]) -> tuple[float, float, float]:
    method = methods(weights)[name]
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (3 * side // 8, 4 * side // 8, 3), np.uint8)
    pixels = cv2.resize(small, (4 * side, 3 * side), interpolation=cv2.INTER_CUBIC)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    method(pixels)
    seconds = time.perf_counter() - start
    return seconds, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sheet(path: Path, pairs: list[scoring.Pair], found: dict[str, Method]) -> None:
    """A row for each picture: what every method makes of it, and the truth."""
    rows = []
    for pair in pairs:
        pixels = eight_bit_rgb(images.read(pair.degraded).pixels)
        shown = [method(pixels) for method in found.values()]
        shown += [eight_bit_rgb(images.read(pair.clean).pixels)] if pair.clean is not None else []
        scale = SHOWN_PX / max(pixels.shape[:2])
        size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
        small = [cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in shown]
        row = np.concatenate(small, axis=1)
        rows.append(np.pad(row, ((0, SHOWN_PX - row.shape[0]), (0, 0), (0, 0))))
    width = max(row.shape[1] for row in rows)
    whole = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    images.write(path, Picture(np.concatenate(whole)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n", 1)[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("hazy", type=Path, nargs="?")
    parser.add_argument("clean", type=Path, nargs="?", help="Truths under the same names.")
    parser.add_argument("--haze-free", action="store_true", help="The pictures are clear.")
    parser.add_argument("--large", type=float, help="Mpixel of one picture, for time and memory.")
    parser.add_argument("--weights", type=Path, action="append", default=[], help="Of a `fit`.")
    parser.add_argument("--limit", type=int, help="Only the first so many pictures.")
    parser.add_argument("--sheet", type=Path, help="Picture to look at, .png.")
    given = parser.parse_args()
    if given.large is not None:
        large(given.large, given.weights)
        return
    if given.hazy is None:
        parser.error("give a folder of hazy pictures, or --large")
    truths = given.hazy if given.haze_free else given.clean
    pairs, skipped = scoring.pairs(given.hazy, truths, limit=given.limit)
    for line in skipped:
        print(line)
    found = methods(given.weights)
    if truths is not None:
        rows = [score for pair in pairs for score in scoring.measure(pair, found)]
        print("\n".join(scoring.table(rows)))
    if given.sheet is not None:
        sheet(given.sheet, pairs, found)


if __name__ == "__main__":
    main()
