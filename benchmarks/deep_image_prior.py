"""Deep image prior measured: noise, lost pixels and small pictures, over the steps of a run.

    python benchmarks/deep_image_prior.py noise PICTURE... --side 128 --curve noise.csv
    python benchmarks/deep_image_prior.py lost PICTURE... --side 256 --sheet lost.png
    python benchmarks/deep_image_prior.py small PICTURE... --side 256 --sheet small.png

Of each clean picture the square of `--side` in the middle is degraded: noise of `--sigma` of 255
(grey for grey pictures), `--share` of the pixels lost, or half the size. Every run makes all of its
`--steps`, so that the table has the result where the rule stops it, the best average of any step,
and the last one. The truth is for scoring alone. PSNR in dB over all pixels of the picture in 8
bits; of the curve, of values that are not rounded.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from torch import Tensor

from degradations.resample import ResampleParams, resample
from ssl_restore import rng
from ssl_restore.evaluation import metrics
from ssl_restore.io import images
from ssl_restore.io.picture import Picture, Pixels, eight_bit_rgb
from ssl_restore.solvers import deep_image_prior
from ssl_restore.solvers.early_stopping import LeastError

SCALE = 2


@dataclass(frozen=True)
class Case:
    """A problem with its solution, and what classical methods make of it."""

    name: str
    clean: Tensor  # (1, 3, H, W)
    degraded: Tensor
    settings: dict[str, Any]  # of the solver
    peers: dict[str, Pixels]  # the input, as it is shown, first


@dataclass(frozen=True)
class Step:
    """PSNR of the output and of the average, and the error that the rule looks at."""

    output: float
    average: float
    held_out: float


@dataclass(frozen=True)
class Run:
    case: Case
    curve: list[Step]
    chosen: int  # step whose average was kept
    restored: Pixels
    seconds: float


def in_8_bits(image: Tensor) -> Pixels:
    return images.to_pixels(image, np.empty((1, 1, 3), np.uint8))


def psnr(image: Tensor, clean: Tensor) -> float:
    return -10 * math.log10(float((image.clamp(0, 1) - clean).square().mean()))


def middle(path: Path, side: int) -> tuple[Tensor, int]:
    """The square in the middle as (1, 3, side, side), and its channels."""
    pixels = images.read(path).pixels
    top, left = (max(0, length - side) // 2 for length in pixels.shape[:2])
    square = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    return images.to_tensor(eight_bit_rgb(square)), pixels.shape[2]


def with_noise(path: Path, number: int, options: argparse.Namespace) -> Case:
    clean, channels = middle(path, options.side)
    size = (1, channels, *clean.shape[2:])
    noise = torch.randn(size, generator=rng.derive(options.seed, "noise", number))
    noisy = clean + options.sigma / 255 * noise
    stored = in_8_bits(noisy)
    peers = {"input": stored, "non-local means": non_local_means(stored, channels, options.sigma)}
    return Case(f"{number + 1}:{path.stem}", clean, noisy, {}, peers)


def non_local_means(pixels: Pixels, channels: int, sigma: float) -> Pixels:
    """OpenCV's, with the strengths that were best of several for noise of 25."""
    if channels == 1:
        grey = cv2.fastNlMeansDenoising(pixels[:, :, 0].copy(), None, sigma, 5, 21)
        return np.repeat(grey[:, :, None], 3, axis=2)
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    strength = 0.8 * sigma
    filtered = cv2.fastNlMeansDenoisingColored(bgr, None, strength, strength, 5, 21)
    return np.ascontiguousarray(filtered[:, :, ::-1])


def with_lost_pixels(path: Path, number: int, options: argparse.Namespace) -> Case:
    clean, _ = middle(path, options.side)
    draws = torch.rand((1, 1, *clean.shape[2:]), generator=rng.derive(options.seed, "mask", number))
    known = draws >= options.share
    degraded = clean * known
    stored, lost = in_8_bits(degraded), 255 * (~known)[0, 0].numpy().astype(np.uint8)
    peers = {
        "input": stored,
        "Telea": cv2.inpaint(stored, lost, 3, cv2.INPAINT_TELEA),
        "Navier-Stokes": cv2.inpaint(stored, lost, 3, cv2.INPAINT_NS),
    }
    return Case(f"{number + 1}:{path.stem}", clean, degraded, {"mask": known}, peers)


def made_small(path: Path, number: int, options: argparse.Namespace) -> Case:
    clean, _ = middle(path, options.side // SCALE * SCALE)
    small = resample(clean, ResampleParams(torch.ones(1), SCALE))
    size = clean.shape[3], clean.shape[2]
    values = small[0].permute(1, 2, 0).numpy()
    enlarged = {
        name: in_8_bits(
            torch.from_numpy(cv2.resize(values, size, interpolation=kind)).permute(2, 0, 1)[None]
        )
        for name, kind in (("input", cv2.INTER_NEAREST), ("bicubic", cv2.INTER_CUBIC),
                           ("Lanczos", cv2.INTER_LANCZOS4))
    }  # fmt: skip
    return Case(f"{number + 1}:{path.stem}", clean, small, {"scale": SCALE}, enlarged)


PROBLEMS: dict[str, Callable[[Path, int, argparse.Namespace], Case]] = {
    "noise": with_noise,
    "lost": with_lost_pixels,
    "small": made_small,
}


def measure(case: Case, number: int, options: argparse.Namespace) -> Run:
    """A whole run, which notes what the rule keeps and goes on."""
    curve: list[Step] = []
    known = case.settings.get("mask")
    chosen = 0

    def kept(image: Tensor) -> Tensor:
        return image if known is None else torch.where(known, case.clean, image)

    class Watched(LeastError):
        stopped = False

        def over(self, output: Tensor) -> bool:
            nonlocal chosen
            if not self.stopped:
                self.stopped = super().over(output)
                chosen = len(curve) + 1 - self.since
            elif self.mean is not None:
                self.mean.lerp_(output, self.rate)
            assert self.mean is not None
            scores = [psnr(kept(image), case.clean) for image in (output, self.mean)]
            curve.append(Step(scores[0], scores[1], self.error(self.mean)))
            return False

    begun = time.perf_counter()
    given = {"width": options.width, "steps": options.steps, **case.settings}
    with mock.patch.object(deep_image_prior, "LeastError", Watched):
        found = deep_image_prior.solve(
            case.degraded, generator=rng.derive(options.seed, "solve", number), **given
        )["clean"]
    return Run(case, curve, chosen, in_8_bits(found), time.perf_counter() - begun)


def table(runs: Sequence[Run]) -> list[str]:
    """A line a picture, and the means."""
    peers = list(runs[0].case.peers)
    heads = [*peers, "kept", "at step", "best", "at step", "below it", "last", "seconds"]
    rows = []
    for run in runs:
        clean = in_8_bits(run.case.clean)
        averages = [step.average for step in run.curve]
        best = int(np.argmax(averages))
        score = metrics.psnr(run.restored, clean)
        rows.append([
            *(metrics.psnr(pixels, clean) for pixels in run.case.peers.values()), score,
            run.chosen, averages[best], best + 1, averages[best] - averages[run.chosen - 1],
            averages[-1], run.seconds,
        ])  # fmt: skip
    names = [run.case.name for run in runs]
    if len(rows) > 1:
        rows.append(list(np.mean(rows, axis=0)))
        names.append("mean")
    lines = ["  ".join([f"{'':8}", *(f"{head:>8}" for head in heads)])]
    for name, row in zip(names, rows, strict=True):
        cells = [
            f"{value:{max(8, len(head))}.{0 if head in ('at step', 'seconds') else 2}f}"
            for head, value in zip(heads, row, strict=True)
        ]
        lines.append("  ".join([f"{name:8}", *cells]))
    return lines


def sheet(runs: Sequence[Run]) -> Pixels:
    """A row a picture: what classical methods make of it, the result, the truth."""
    rows = [
        np.hstack([*run.case.peers.values(), run.restored, in_8_bits(run.case.clean)])
        for run in runs
    ]
    return np.vstack(rows)


def write_curves(path: Path, runs: Sequence[Run]) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["picture", "step", "psnr_output", "psnr_average", "held_out", "kept"])
        for run in runs:
            for number, step in enumerate(run.curve, start=1):
                values = (f"{v:.6g}" for v in (step.output, step.average, step.held_out))
                rows.writerow([run.case.name, number, *values, int(number == run.chosen)])


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("problem", choices=PROBLEMS)
    add("pictures", type=Path, nargs="+", help="Clean ones.")
    add("--side", type=int, default=256, help="Of the square in the middle that is taken.")
    add("--steps", type=int, default=1500)
    add("--width", type=int, default=64, help="Of the network.")
    add("--sigma", type=float, default=25.0, help="Of the noise, of 255.")
    add("--share", type=float, default=0.5, help="Of the pixels, that is lost.")
    add("--seed", type=int, default=0)
    add("--curve", type=Path, help="Write the scores of all steps.")
    add("--sheet", type=Path, help="Write the pictures side by side.")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    runs: list[Run] = []
    for number, path in enumerate(options.pictures):
        case = PROBLEMS[options.problem](path, number, options)
        runs.append(measure(case, number, options))
        print("\n".join(table(runs[-1:])), flush=True)
        if options.curve is not None:
            write_curves(options.curve, runs)
        if options.sheet is not None:
            images.write(options.sheet, Picture(sheet(runs)))
    print("\n".join(table(runs)))


if __name__ == "__main__":
    main()
