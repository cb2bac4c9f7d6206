"""Recipes that learn from clean photographs compared: equal time, or equal steps, from scratch.

    python benchmarks/recipes.py dedrop ./photos/ ./held/ rendered memorynet --minutes 4
    python benchmarks/recipes.py dehaze ./photos/ ./held/ aecr "aecr alpha=0" --steps 150 --seeds 3

A recipe may be followed by settings.  Scored are what the task's degradation makes of the middle of
the photographs in ./held/, drawn from a fixed seed, and with --pairs the folders DEGRADED and CLEAN
of real pairs as well.  PSNR / SSIM over RGB: mean over the pictures, then mean and standard
deviation over the seeds; the input first.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import ssl_restore
from degradations.sampling import degrade
from ssl_restore import discover, rng
from ssl_restore.evaluation import metrics
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels, eight_bit_rgb
from ssl_restore.restorer import Restorer

Pair = tuple[Pixels, Pixels]  # degraded, clean
Score = tuple[float, float]


def rendered(task: str, folder: Path, count: int, side: int) -> list[Pair]:
    prior, draws = discover.task(task).prior(), rng.derive(0, "benchmark")
    found = []
    for path in images.find(folder)[:count]:
        whole = eight_bit_rgb(images.read(path).pixels)
        top, left = ((length - min(length, side)) // 2 for length in whole.shape[:2])
        clean = whole[top : top + side, left : left + side]
        degraded = degrade(images.to_tensor(clean), prior, draws).clamp(0, 1)
        found.append((images.to_pixels(degraded, clean), clean))
    return found


def read_pairs(folders: Sequence[Path]) -> list[Pair]:
    names = [images.find(folder) for folder in folders]
    return [
        (eight_bit_rgb(images.read(one).pixels), eight_bit_rgb(images.read(other).pixels))
        for one, other in zip(*names, strict=True)
    ]


def scored(pairs: list[Pair], restorer: Restorer | None) -> Score:
    rows = []
    for degraded, clean in pairs:
        result = degraded if restorer is None else restore(restorer, degraded)
        rows.append((metrics.psnr(result, clean), metrics.ssim(result, clean)))
    psnr, ssim = np.mean(rows, axis=0)
    return float(psnr), float(ssim)


def shown(rows: list[Score]) -> str:
    (psnr, ssim), (spread, _) = np.mean(rows, axis=0), np.std(rows, axis=0)
    return f"{psnr:6.2f} +- {spread:.2f} / {ssim:.4f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task")
    parser.add_argument("photos", type=Path, help="To learn from.")
    parser.add_argument("held", type=Path, help="To render pairs of.")
    parser.add_argument("recipes", nargs="+", help='As "aecr alpha=0".')
    parser.add_argument("--pairs", type=Path, nargs=2, metavar=("DEGRADED", "CLEAN"))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--count", type=int, default=12, help="Pictures of ./held/.")
    parser.add_argument("--side", type=int, default=256, help="Of what is rendered, in pixels.")
    given = parser.parse_args(arguments)
    sets = [rendered(given.task, given.held, given.count, given.side)]
    sets += [read_pairs(given.pairs)] if given.pairs else []
    print(f"{'input':28}", *[shown([scored(of, None)]) for of in sets], sep="  ", flush=True)
    for words in given.recipes:
        name, *pairs = words.split()
        settings = discover.parse_settings(discover.builder("recipes", name), pairs)
        rows, start = [], time.perf_counter()
        for seed in range(given.seeds):
            with tempfile.TemporaryDirectory() as folder:
                restorer = ssl_restore.fit(
                    clean=given.photos, output=Path(folder) / "run", task=given.task, recipe=name,
                    minutes=given.minutes, steps=given.steps, from_scratch=True, seed=seed,
                    settings=settings,
                )  # fmt: skip
            rows.append([scored(of, restorer) for of in sets])
        seconds = (time.perf_counter() - start) / given.seeds
        columns = [shown(list(column)) for column in zip(*rows, strict=True)]
        print(f"{words:28}", *columns, f"({seconds:.0f} s a seed)", sep="  ", flush=True)


if __name__ == "__main__":
    main()
