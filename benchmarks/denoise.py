"""The table of denoising: filters, BM3D, the built-in denoiser, every solver, fitted ones.

    python benchmarks/denoise.py --pictures ./clean/ --sigma 25 --crop 256
    python benchmarks/denoise.py --pairs ./real/ --weights runs/mine/restorer.safetensors

--pictures DIR holds clean photographs.  White Gaussian noise of --sigma of 255 is drawn for each
from --seed and fed to the methods as it is, not cut off at black and white; OpenCV's filter, which
takes 8 bits only, gets it rounded and cut off.  Filters and BM3D are told sigma; the settings of
the filters are the best of several on three crops with noise of 25.

--pairs DIR holds DIR/noisy and DIR/clean, paired by name: real noise, for which they are told the
deviation that the finest diagonal wavelet coefficients show (Donoho and Johnstone).

Scores are means over the pictures of those of `evaluate`, of results in 8 bits; the row `as fed` is
the unrounded input.  Seconds are of one picture, in the median.  scikit-image, PyWavelets, bm3d and
deepinv are optional.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ssl_restore import device, discover, rng, weights
from ssl_restore.errors import UnknownName, UserError
from ssl_restore.evaluation import metrics, scoring
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.tiles import restore_tensor
from ssl_restore.inference.wrappers import with_quality
from ssl_restore.io import images
from ssl_restore.io.picture import Picture, Pixels, eight_bit_rgb
from ssl_restore.objectives.recorrupted import diagonal_sigma

SIDE_PX = 256  # of a picture on the sheet
SHOWN = ("8 bits", "BM3D", "built-in")  # and every solver, and those of --weights

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """A picture (H, W, 3): clean, and with noise as values of 0 to 1, which may go beyond."""

    name: str
    clean: Pixels
    noisy: Values
    sigma: float  # told to the methods that ask for it, units of the image range
    number: int = 0

    @property
    def in_8_bits(self) -> Pixels:
        return in_8_bits(self.noisy)

    def tensor(self) -> torch.Tensor:
        return torch.from_numpy(self.noisy).permute(2, 0, 1)[None].contiguous()


Method = Callable[[Case], Values]


@dataclass(frozen=True)
class Row:
    """One method on one picture; no scores: it is not installed."""

    method: str
    picture: str
    scores: dict[str, float] | None
    seconds: float = 0.0


def in_8_bits(values: Values) -> Pixels:
    return (255 * values).round().clip(0, 255).astype(np.uint8)


def middle(pixels: Pixels, side: int | None) -> Pixels:
    """The square of that side in the middle; all of a shorter side."""
    if side is None:
        return pixels
    top, left = (max(0, length - side) // 2 for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def with_noise(pixels: Pixels, sigma: float, seed: int, number: int) -> Values:
    """J + sigma eps, not cut off; the draw depends on the seed and the picture's number alone."""
    clean = images.to_tensor(pixels)
    eps = torch.randn(clean.shape, generator=rng.derive(seed, "noise", number))
    noisy: Values = (clean + sigma * eps)[0].permute(1, 2, 0).contiguous().numpy()
    return noisy


def synthetic(
    folder: Path, sigma: float, seed: int, side: int | None, limit: int | None
) -> list[Case]:
    """Photographs with drawn noise; sigma in units of the image range."""
    found = []
    for number, path in enumerate(images.find(folder)[:limit]):
        clean = middle(eight_bit_rgb(images.read(path).pixels), side)
        noisy = with_noise(clean, sigma, seed, number)
        found.append(Case(path.stem, clean, noisy, sigma, number))
    return found


def real(folder: Path, side: int | None, limit: int | None) -> list[Case]:
    """Pairs of DIR/noisy and DIR/clean."""
    found, skipped = scoring.pairs(folder / "noisy", folder / "clean", limit=limit)
    for line in skipped:
        say(line)
    made = []
    for number, pair in enumerate(found):
        assert pair.clean is not None
        noisy, clean = (
            middle(eight_bit_rgb(images.read(path).pixels), side)
            for path in (pair.degraded, pair.clean)
        )
        if noisy.shape != clean.shape:
            raise UserError(f"{pair.name}: the sizes are {noisy.shape[:2]} and {clean.shape[:2]}")
        even = images.to_tensor(noisy[: len(noisy) // 2 * 2, : noisy.shape[1] // 2 * 2])
        values = noisy.astype(np.float32) / np.float32(255)
        made.append(Case(pair.name, clean, values, float(diagonal_sigma(even)), number))
    return made


def non_local_means(case: Case) -> Values:
    strength = 0.8 * 255 * case.sigma
    filtered = cv2.fastNlMeansDenoisingColored(
        cv2.cvtColor(case.in_8_bits, cv2.COLOR_RGB2BGR), None, strength, strength, 5, 21
    )
    values: Values = cv2.cvtColor(filtered, cv2.COLOR_BGR2RGB).astype(np.float32) / np.float32(255)
    return values


def wavelet(case: Case) -> Values:
    from skimage.restoration import denoise_wavelet  # noqa: PLC0415

    return np.float32(
        denoise_wavelet(
            case.noisy, sigma=case.sigma, wavelet="db2", convert2ycbcr=True, channel_axis=-1
        )
    )  # fmt: skip


def total_variation(case: Case) -> Values:
    from skimage.restoration import denoise_tv_chambolle  # noqa: PLC0415

    return np.float32(denoise_tv_chambolle(case.noisy, weight=0.8 * case.sigma, channel_axis=-1))


def bm3d(case: Case) -> Values:
    package = importlib.import_module("bm3d")
    return np.float32(package.bm3d_rgb(case.noisy.astype(np.float64), case.sigma))


def deepinv_prior(case: Case, seed: int, iterations: int = 400) -> Values:
    deepinv = importlib.import_module("deepinv")
    torch.manual_seed(seed)
    height, width = case.noisy.shape[:2]
    decoder = deepinv.models.ConvDecoder(img_size=(3, height, width), in_size=(4, 4), channels=64)
    prior = deepinv.models.DeepImagePrior(decoder, img_size=(64, 4, 4), iterations=iterations)
    physics = deepinv.physics.Denoising(deepinv.physics.GaussianNoise(case.sigma))
    return np.float32(prior(case.tensor(), physics)[0].detach().permute(1, 2, 0).numpy())


OPTIONAL: dict[str, tuple[tuple[str, ...], Method]] = {
    "OpenCV non-local means": ((), non_local_means),
    "scikit-image wavelet": (("skimage", "pywt"), wavelet),
    "scikit-image TV": (("skimage",), total_variation),
    "BM3D": (("bm3d",), bm3d),
    "deepinv DIP": (("deepinv", "torchvision"), partial(deepinv_prior, seed=0)),
}


def by_restorer(path: Path | None, on: torch.device, quality: str = "good") -> Method:
    """The denoiser of a checkpoint, or the built-in one, on the values as they are."""
    restorer = with_quality(load_restorer(path, on, task="denoise", quality=quality), quality)

    def run(case: Case) -> Values:
        return values_of(restore_tensor(restorer, case.tensor().to(on)))

    return run


def by_solver(name: str, on: torch.device, seed: int, settings: dict[str, Any]) -> Method:
    """A solver, from a stream of its own for each picture."""
    solve = discover.solver(name)

    def run(case: Case) -> Values:
        found = solve(
            case.tensor().to(on),
            generator=rng.derive(seed, "solve", case.number),
            notify=lambda line: say(f"{case.name}: {name}: {line}"),
            **settings,
        )
        return values_of(found["clean"])

    return run


def values_of(image: torch.Tensor) -> Values:
    values: Values = image[0].float().cpu().permute(1, 2, 0).numpy()
    return values


def chosen(options: argparse.Namespace) -> dict[str, Method | None]:
    """Name of a row -> its method, or None where a package is missing."""
    on = options.device
    found: dict[str, Method | None] = {
        name: run if all(importlib.util.find_spec(need) for need in needs) else None
        for name, (needs, run) in OPTIONAL.items()
    }
    restorers = {"built-in": None} | {f"{p.absolute().parent.name}/{p.stem}": p
                                      for p in options.weights}  # fmt: skip
    if weights.built_in("denoise").is_file() or options.weights:
        found |= {name: by_restorer(path, on) for name, path in restorers.items()}
        found |= {f"built-in, {name}": by_restorer(None, on, name) for name in ("fast", "best")}
    for name in discover.names("solvers", "solve"):
        changes = {"seconds": options.seconds} if options.seconds else {}
        found[name] = by_solver(name, on, options.seed, changes)
    for name in [*options.only, *options.leave_out]:
        if name not in found:
            raise UnknownName("method", name, found)
    kept = options.only or [name for name in found if name not in options.leave_out]
    return {name: found[name] for name in kept}


def measure(case: Case, method: str, run: Method | None) -> tuple[Row, Pixels | None]:
    """The scores of a method on a picture, and its result in 8 bits."""
    if run is None:
        return Row(method, case.name, None), None
    start = time.perf_counter()
    values = run(case)
    seconds = time.perf_counter() - start
    result = in_8_bits(values)
    return Row(method, case.name, metrics.scores(result, case.clean), seconds), result


def untouched(case: Case) -> list[Row]:
    """The input as fed and as a file holds it."""
    plain = metrics.scores(255 * case.noisy.astype(np.float64), case.clean)
    stored = metrics.scores(case.in_8_bits, case.clean)
    return [Row("input, as fed", case.name, plain), Row("input, 8 bits", case.name, stored)]


def table(rows: Sequence[Row]) -> list[str]:
    """A heading, and a line for each method with its means over the pictures."""
    heads = ("PSNR RGB", "SSIM RGB", "PSNR Y", "SSIM Y")
    lines = [f"{'':26}" + "".join(f"{head:>10}" for head in heads) + f"{'seconds':>10}"]
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        scored = [row.scores for row in own if row.scores is not None]
        if not scored:
            lines.append(f"{method:26}{'not installed':>20}")
            continue
        means = [statistics.fmean(scores[key] for scores in scored) for key in scoring.SCORES]
        seconds = statistics.median(row.seconds for row in own)
        told = f"{seconds:10.2f}" if seconds else f"{'-':>10}"
        numbers = "".join(
            f"{mean:10.{2 if key.startswith('psnr') else 4}f}"
            for key, mean in zip(scoring.SCORES, means, strict=True)
        )
        lines.append(f"{method:26}{numbers}{told}")
    return lines


def sheet(rows: Sequence[Sequence[tuple[str, Pixels]]]) -> Pixels:
    """A row a picture, the middle of each of its results under their names."""
    heads = [_captioned(name) for name, _ in rows[0]]
    return np.vstack([np.hstack(heads), *(np.hstack([_square(p) for _, p in r]) for r in rows)])


def _captioned(text: str) -> Pixels:
    bar = np.full((24, SIDE_PX, 3), 255, np.uint8)
    return cv2.putText(bar, text, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1)


def _square(pixels: Pixels) -> Pixels:
    crop = middle(pixels, SIDE_PX - 4)
    white = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    white[: crop.shape[0], : crop.shape[1]] = crop
    return white


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--pictures", type=Path, help="Folder of clean photographs.")
    source.add_argument("--pairs", type=Path, help="Folder with noisy/ and clean/.")
    add("--sigma", type=float, default=25.0, help="Of the noise drawn on --pictures, of 255.")
    add("--seed", type=int, default=0)
    add("--crop", type=int, help="Side of the square in the middle that is taken.")
    add("--limit", type=int, help="Only the first so many pictures.")
    add("--weights", type=Path, action="append", default=[], help="Checkpoint; may be repeated.")
    add("--seconds", type=float, help="Most time for a solver to learn from a picture.")
    add("--only", nargs="+", default=[], help="Names of rows.")
    add("--leave-out", nargs="+", default=[], help="Names of rows.")
    add("--csv", type=Path, help="Write a row a picture and method.")
    add("--sheet", type=Path, help="Write a sheet of pictures.")
    add("--shown", type=int, default=4, help="Pictures on the sheet, from the first on.")
    add("--device", default="auto")
    options = parser.parse_args(arguments)
    if not options.sigma > 0:
        parser.error("--sigma must be above 0")
    for name in ("crop", "limit"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    options.device = device.choose(options.device)
    return options


def run(options: argparse.Namespace) -> list[str]:
    """The lines of the table; writes --csv and --sheet."""
    methods = chosen(options)
    if options.pairs is None:
        cases = synthetic(
            options.pictures, options.sigma / 255, options.seed, options.crop, options.limit
        )
    else:
        cases = real(options.pairs, options.crop, options.limit)
    rows: list[Row] = []
    shown: list[list[tuple[str, Pixels]]] = []
    for case in cases:
        rows += untouched(case)
        results = [("8 bits", case.in_8_bits)]
        for name, method in methods.items():
            row, result = measure(case, name, method)
            rows.append(row)
            if result is not None and (name in SHOWN or name not in OPTIONAL):
                results.append((name, result))
            if row.scores is not None:
                say(f"{case.name}  {name}  {row.scores['psnr_rgb']:.2f} dB  {row.seconds:.1f} s")
        if len(shown) < options.shown:
            shown.append([*results, ("clean", case.clean)])
    if options.csv is not None:
        area = {case.name: case.clean.shape[0] * case.clean.shape[1] for case in cases}
        written = [
            scoring.Score(row.picture, row.method, row.scores, row.seconds, area[row.picture])
            for row in rows
            if row.scores is not None
        ]
        scoring.write_csv(options.csv, written)
    if options.sheet is not None:
        images.write(options.sheet, Picture(sheet(shown)))
    return [f"{len(cases)} pictures", *table(rows)]


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        print("\n".join(run(parsed(arguments))))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
