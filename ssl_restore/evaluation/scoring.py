"""Restorers measured beside the untouched input and a classical filter, with a truth or without.

Scores against a truth are those of `metrics`, on 8-bit values of whole pictures, uncropped: PSNR
over the three channels together, SSIM as the mean of the three channels, and both on the BT.601
luma (16 to 235, not rounded, peak 255).  A table gives the mean over pictures of each picture's
score.  16-bit pictures are rounded to 8 bits, of the range that the degraded one uses, grey ones
repeated, alpha left out.  Times are of the
computation alone, without reading and scoring.  Without a truth they are those of `no_reference`.
"""

from __future__ import annotations

import csv
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np

from ssl_restore.errors import UserError
from ssl_restore.evaluation import metrics, no_reference
from ssl_restore.evaluation.pairing import Pair, pairs
from ssl_restore.inference.condition import for_pixels
from ssl_restore.inference.fine_to_coarse import restore_pixels
from ssl_restore.io import MAX_PIXELS, images
from ssl_restore.io.files import replacing
from ssl_restore.io.picture import Picture, Pixels, eight_bit_rgb, peak, to_eight_bits
from ssl_restore.io.used_range import used_share
from ssl_restore.restorer import Restorer
from ssl_restore.types import Task

__all__ = [
    "HEADINGS", "SCORES", "Method", "OpenPair", "Pair", "Score", "enlarged", "in_8_bits", "means",
    "measure", "measured", "methods", "open_pair", "pairs", "restoring", "table", "write_csv",
    "written",
]  # fmt: skip
SCORES = ("psnr_rgb", "ssim_rgb", "psnr_y", "ssim_y")  # against a truth
HEADINGS = {
    "psnr_rgb": "PSNR RGB", "ssim_rgb": "SSIM RGB", "psnr_y": "PSNR Y", "ssim_y": "SSIM Y",
    "rain_left": "rain left", "noise_left": "noise left", "texture_left": "texture",
}  # fmt: skip
DECIMALS = {"psnr_rgb": 2, "psnr_y": 2, "change": 2, "niqe": 2}  # else four
Method = Callable[[Pixels], Pixels]  # (H, W, 3) uint8 -> the same


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
    *,
    wrap: Callable[[Restorer], Restorer] = lambda restorer: restorer,
) -> dict[str, Method]:
    """By name: the untouched input, the classical filter of the task and, if given, a restorer, in
    `wrap`; broken pixels are mended before a denoiser."""
    name, baseline = task.baseline
    methods_by_name: dict[str, Method] = {"input": lambda pixels: pixels, name: baseline}
    if restorer is not None:
        methods_by_name["restorer"] = restoring(restorer, tile, precision, wrap=wrap)
    return methods_by_name


def restoring(
    restorer: Restorer,
    tile: int | None = None,
    precision: str = "auto",
    *,
    wrap: Callable[[Restorer], Restorer] = lambda restorer: restorer,
) -> Method:
    """A restorer, in `wrap`, as a method; broken pixels are mended before a denoiser."""
    own = for_pixels(restorer, wrap)
    return lambda pixels: restore_pixels(
        own(pixels), pixels, scale=None, tile=tile, precision=precision
    )


@dataclass(frozen=True)
class OpenPair:
    """A pair whose pictures are read: 8 bits, white where the range of the degraded one ends."""

    pair: Pair
    degraded: Picture
    clean: Picture | None
    restored: Picture | None
    used: float  # share of its type's range that the degraded one uses


def open_pair(pair: Pair, *, max_pixels: int = MAX_PIXELS) -> OpenPair:
    """UserError that names a picture which cannot be read."""
    degraded = images.read(pair.degraded, max_pixels=max_pixels)
    used = used_share(degraded.pixels)

    def beside(path: Path | None) -> Picture | None:
        if path is None:
            return None
        picture = images.read(path, max_pixels=max_pixels)
        alike = picture.pixels.dtype == degraded.pixels.dtype
        return in_8_bits(picture, used if alike else used_share(picture.pixels))

    clean, restored = beside(pair.clean), beside(pair.restored)
    return OpenPair(pair, in_8_bits(degraded, used), clean, restored, used)


def measure(
    pair: Pair,
    methods: Mapping[str, Method],
    without_truth: no_reference.Measure = lambda degraded, restored: {},
    *,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Score]:
    """`measured` of a pair, which is read first."""
    return measured(open_pair(pair, max_pixels=max_pixels), methods, without_truth)


def measured(
    opened: OpenPair,
    methods: Mapping[str, Method],
    without_truth: no_reference.Measure = lambda degraded, restored: {},
) -> Iterator[Score]:
    """A row for each method, the last for the picture restored before, where the pair has one.

    `without_truth` is that of the task, for a picture without a clean partner. Where the truth is
    so many times as large as the degraded picture, the input is repeated, and what a filter gives
    enlarged by cubic interpolation. UserError that names the picture when its partner has another
    size.
    """
    pair, degraded = opened.pair, eight_bit_rgb(opened.degraded.pixels)
    clean, restored = (
        None if picture is None else eight_bit_rgb(picture.pixels)
        for picture in (opened.clean, opened.restored)
    )
    other = pair.clean or pair.degraded
    truth = degraded if clean is None else clean
    scale = _times(degraded, truth)

    def refuse_size(path: Path, pixels: Pixels) -> NoReturn:
        raise UserError(
            f"{path}: {pixels.shape[1]} x {pixels.shape[0]}, but {other} is "
            f"{truth.shape[1]} x {truth.shape[0]}"
        )

    if scale is None:
        refuse_size(pair.degraded, degraded)
    if pair.restored is not None and restored is not None:
        fits = _times(degraded, restored) if clean is None else restored.shape == truth.shape
        if not fits:
            refuse_size(pair.restored, restored)

    def scores(result: Pixels) -> dict[str, float]:
        if clean is None:
            given = degraded if result.shape == degraded.shape else enlarged(degraded, result)
            return no_reference.scores(given, result, without_truth)
        if result.shape != clean.shape:
            height, width = result.shape[:2]
            raise UserError(
                f"restored, it is {width} x {height}, but {pair.clean} is {clean.shape[1]} x "
                f"{clean.shape[0]}; these weights are for another size"
            )
        return metrics.scores(result, clean)

    area = truth.shape[0] * truth.shape[1]
    for name, method in methods.items():
        start = time.perf_counter()
        try:
            result = method(degraded)
            if name == "input":
                result = result.repeat(scale, axis=0).repeat(scale, axis=1)
            elif result.shape == degraded.shape and scale > 1:
                result = enlarged(result, truth)
            seconds = time.perf_counter() - start
            found = scores(result)
        except UserError as error:
            raise UserError(f"{pair.degraded}: {error}") from error
        yield Score(pair.name, name, found, seconds, area)
    if restored is not None:
        yield Score(pair.name, "restored", scores(restored), None, area)


def _times(small: Pixels, large: Pixels) -> int | None:
    """How many times as long the sides of the large one are; None: no whole number."""
    scale = large.shape[0] // small.shape[0]
    same = (scale * small.shape[0], scale * small.shape[1]) == large.shape[:2]
    return scale if same and scale else None


def enlarged(pixels: Pixels, like: Pixels) -> Pixels:
    """As large as another picture, by cubic interpolation."""
    size = like.shape[1], like.shape[0]
    large: Pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)
    return large.reshape(*like.shape[:2], pixels.shape[2])


def in_8_bits(picture: Picture, used: float) -> Picture:
    """uint8, white where a share `used` of the range ends, with the profile alone."""
    pixels = picture.pixels
    if used < 1:
        pixels = pixels.astype(np.float32) / np.float32(used * peak(pixels.dtype))
    return Picture(to_eight_bits(pixels), icc=picture.icc)


def means(rows: Sequence[Score]) -> dict[str, dict[str, float]]:
    """Of each method its mean scores, over the pictures that have the score; NaN where none has.

    The PSNR of a picture that is its truth is infinite, and no part of a mean with others.
    """
    found: dict[str, dict[str, float]] = {}
    for method in dict.fromkeys(row.method for row in rows):
        own = [row.scores for row in rows if row.method == method]
        found[method] = {}
        for key in rows[0].scores:
            values = [scores[key] for scores in own if math.isfinite(scores[key])]
            rest = math.inf if any(scores[key] == math.inf for scores in own) else math.nan
            found[method][key] = sum(values) / len(values) if values else rest
    return found


def written(key: str, value: float) -> str:
    """A score with the decimals that it deserves."""
    return "same" if value == math.inf else f"{value:.{DECIMALS.get(key, 4)}f}"


def table(rows: Sequence[Score]) -> list[str]:
    """A heading, a line for each method with its `means`, and lines that count what is in none."""
    keys = list(rows[0].scores)
    headings = [*(HEADINGS.get(key, key) for key in keys), "seconds", "Mpixel/s"]
    lines = [f"{'':14}" + "".join(f"{heading:>12}" for heading in headings)]
    for method, scores in means(rows).items():
        line = f"{method:14}" + "".join(f"{written(key, scores[key]):>12}" for key in keys)
        own = [row for row in rows if row.method == method]
        timed = [row.seconds for row in own if row.seconds is not None]
        if method == "input" or not timed:
            lines.append(f"{line}{'-':>12}{'-':>12}")
            continue
        rate = sum(row.pixels for row in own) / 1e6 / max(sum(timed), 1e-9)
        lines.append(f"{line}{sum(timed):12.2f}{rate:12.2f}")
    return [*lines, *_identical(rows)]


def _identical(rows: Sequence[Score]) -> list[str]:
    """A line for each method by which pictures are the same as their truths."""
    count = Counter(row.method for row in rows if math.inf in row.scores.values())
    return [
        f"{method}: {number} of the pictures the same as the truth; their PSNR is in no mean"
        for method, number in count.items()
    ]


def write_csv(path: Path, rows: Sequence[Score]) -> None:
    """One row a picture and method."""
    keys = list(rows[0].scores)
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["name", "method", *keys, "seconds", "pixels"])
        for row in rows:
            seconds = "" if row.seconds is None else f"{row.seconds:.4f}"
            scores = [f"{row.scores[key]:.4f}" for key in keys]
            writer.writerow([row.name, row.method, *scores, seconds, row.pixels])
