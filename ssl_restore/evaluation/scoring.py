"""Restorers measured on pairs of pictures, beside the untouched input and a classical filter.

Scores are those of `metrics`, on 8-bit values of whole pictures, uncropped: PSNR over the three
channels together, SSIM as the mean of the three channels, and both on the BT.601 luma (16 to 235,
not rounded, peak 255).  A table gives the mean over pictures of each picture's score.  16-bit
pictures are rounded to 8 bits, grey ones repeated, alpha left out.  Times are of the computation
alone, without reading and scoring.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ssl_restore.errors import UserError
from ssl_restore.evaluation import metrics
from ssl_restore.inference.tiles import restore
from ssl_restore.io import MAX_PIXELS, images
from ssl_restore.io.files import replacing
from ssl_restore.io.picture import Pixels, to_eight_bits
from ssl_restore.restorer import Restorer
from ssl_restore.types import Task

SCORES = ("psnr_rgb", "ssim_rgb", "psnr_y", "ssim_y")
Method = Callable[[Pixels], Pixels]  # (H, W, 3) uint8 -> the same


@dataclass(frozen=True)
class Pair:
    """A degraded picture, its clean partner and, where it was restored before, the result."""

    name: str
    degraded: Path
    clean: Path
    restored: Path | None = None


@dataclass(frozen=True)
class Score:
    """The scores of one method on one picture."""

    name: str
    method: str
    scores: Mapping[str, float]
    seconds: float | None  # None: restored before
    pixels: int


def methods(
    task: Task,
    restorer: Restorer | None = None,
    tile: int | None = None,
    precision: str = "auto",
) -> dict[str, Method]:
    """By name: the untouched input, the classical filter of the task and, if given, a restorer."""
    name, baseline = task.baseline
    methods_by_name: dict[str, Method] = {"input": lambda pixels: pixels, name: baseline}
    if restorer is not None:
        methods_by_name["restorer"] = partial(restore, restorer, tile=tile, precision=precision)
    return methods_by_name


def pairs(
    degraded: Path, clean: Path, restored: Path | None = None, *, limit: int | None = None
) -> tuple[list[Pair], list[str]]:
    """Pairs by file name without suffix, and a line for each picture without a partner."""
    inputs, cleans = _by_stem(degraded), _by_stem(clean)
    results = _by_stem(restored) if restored is not None else {}
    matched, skipped = [], []
    for stem, path in list(inputs.items())[:limit]:
        if stem not in cleans:
            skipped.append(f"{path}: no picture of that name in {clean}")
        elif restored is not None and stem not in results:
            skipped.append(f"{path}: no picture of that name in {restored}")
        else:
            matched.append(Pair(stem, path, cleans[stem], results.get(stem)))
    if not matched:
        raise UserError(f"{degraded}: none of its pictures has a partner of the same name: "
                        f"{skipped[0]}")  # fmt: skip
    return matched, skipped


def _by_stem(folder: Path) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for path in images.find(folder):
        if path.stem in paths:
            raise UserError(
                f"{folder}: {paths[path.stem].name} and {path.name} have one name; move one away"
            )
        paths[path.stem] = path
    return paths


def measure(
    pair: Pair, methods: Mapping[str, Method], *, max_pixels: int = MAX_PIXELS
) -> Iterator[Score]:
    """A row for each method, the last for the picture restored before, where the pair has one.

    UserError that names the picture when it cannot be read or its partner has another size.
    """
    degraded = _read(pair.degraded, max_pixels)
    clean = _read(pair.clean, max_pixels)
    restored = _read(pair.restored, max_pixels) if pair.restored is not None else None
    for path, pixels in ((pair.degraded, degraded), (pair.restored, restored)):
        if pixels is not None and pixels.shape != clean.shape:
            raise UserError(
                f"{path}: {pixels.shape[1]} x {pixels.shape[0]}, but {pair.clean} is "
                f"{clean.shape[1]} x {clean.shape[0]}"
            )
    area = clean.shape[0] * clean.shape[1]
    for name, method in methods.items():
        start = time.perf_counter()
        try:
            result = method(degraded)
            seconds = time.perf_counter() - start
            scores = metrics.scores(result, clean)
        except UserError as error:
            raise UserError(f"{pair.degraded}: {error}") from error
        yield Score(pair.name, name, scores, seconds, area)
    if restored is not None:
        yield Score(pair.name, "restored", metrics.scores(restored, clean), None, area)


def _read(path: Path, max_pixels: int) -> Pixels:
    pixels = to_eight_bits(images.read(path, max_pixels=max_pixels).pixels)
    return np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def table(rows: Sequence[Score]) -> list[str]:
    """A heading, and a line for each method with its means over the pictures."""
    lines = [f"{'':14}{'PSNR RGB':>10}{'SSIM RGB':>10}{'PSNR Y':>10}{'SSIM Y':>10}"
             f"{'seconds':>10}{'Mpixel/s':>10}"]  # fmt: skip
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        means = [sum(row.scores[key] for row in own) / len(own) for key in SCORES]
        line = f"{method:14}{means[0]:10.2f}{means[1]:10.4f}{means[2]:10.2f}{means[3]:10.4f}"
        timed = [row.seconds for row in own if row.seconds is not None]
        if method == "input" or not timed:
            lines.append(f"{line}{'-':>10}{'-':>10}")
            continue
        rate = sum(row.pixels for row in own) / 1e6 / max(sum(timed), 1e-9)
        lines.append(f"{line}{sum(timed):10.2f}{rate:10.2f}")
    return lines


def write_csv(path: Path, rows: Sequence[Score]) -> None:
    """One row a picture and method."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "method", *SCORES, "seconds", "pixels"])
        for row in rows:
            seconds = "" if row.seconds is None else f"{row.seconds:.4f}"
            scores = [f"{row.scores[key]:.4f}" for key in SCORES]
            writer.writerow([row.name, row.method, *scores, seconds, row.pixels])
