"""The loss table of Noise2Noise: four kinds of noise, each learned with three losses.

    python benchmarks/noise2noise.py --sheet sheet.png

A small network learns from pairs of noisy patches of one scene, never from a clean one; every cell
starts from the same weights and sees the same patches and draws for as many steps.  Of the
pictures, the last --aside are kept for the score.  The table has the PSNR of each cell, and the
mean error in the darkest and in the brightest third of the pixels, where a wrong loss shows.

    gaussian   sigma 50 of 255          every loss finds the same, L2 with the least scatter
    poisson    10 photons at white      skewed: only the mean (L2) is the clean value
    bernoulli  40 % of the pixels black only the median (L1) is; the mean is 60 % of it
    impulse    70 % of the pixels any   only the mode (annealed L0) is; the mean tends to grey

Before it, what each loss leads to in the limit of infinitely many observations of one grey value:
`limit` finds it from the distribution itself.  Reference: Lehtinen et al., "Noise2Noise", ICML
2018.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degradations.noise import BernoulliNoise, ImpulseNoise, Noise, PoissonNoise
from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.evaluation import metrics
from ssl_restore.inference.tiles import restore_tensor
from ssl_restore.io import images
from ssl_restore.io.picture import Picture, Pixels, eight_bit_rgb
from ssl_restore.networks import denoiser
from ssl_restore.objectives.noise2noise import LOSS_FOR, Noise2Noise, exponent, power
from ssl_restore.restorer import Restorer
from ssl_restore.training import data, material
from ssl_restore.training.fit import fit
from ssl_restore.types import Average, Batch, Player, Recipe

SIGMA, GAIN, LOST, BROKEN = 50 / 255, 0.1, 0.4, 0.7
LOSSES = ("l2", "l1", "l0")
LATE = 0.999  # of an annealed loss: its exponent is 0.002
SIDE_PX = 160  # of a picture on the sheet
TEST_PX = 192  # of the squares that are scored

Numbers = NDArray[np.float64]


def observe(kind: str, clean: Tensor, generator: torch.Generator) -> Tensor:
    """One noisy observation of patches (B, 3, H, W); lost pixels are black, nothing made up for."""
    batch, channels, height, width = clean.shape
    size = batch, channels, height, width
    if kind == "gaussian":
        gaussian = Noise(gain=(0.0, 0.0), sigma=(SIGMA, SIGMA))
        return gaussian.apply(clean, gaussian.sample(size, generator))
    if kind == "poisson":
        poisson = PoissonNoise(gain=(GAIN, GAIN))
        return poisson.apply(clean, poisson.sample(size, generator))
    if kind == "bernoulli":
        bernoulli = BernoulliNoise(share=(LOST, LOST))
        return (1 - LOST) * bernoulli.apply(clean, bernoulli.sample(size, generator))
    impulse = ImpulseNoise(share=(BROKEN, BROKEN))
    return impulse.apply(clean, impulse.sample(size, generator))


def distribution(kind: str, value: float) -> tuple[Numbers, Numbers]:
    """What is observed of a grey value, with its chances; Gaussian and impulse values in steps."""
    if kind == "gaussian":
        steps = np.linspace(-5, 5, 1001)
        chance = np.exp(-(steps**2) / 2)
        return value + SIGMA * steps, chance / chance.sum()
    if kind == "poisson":
        count = np.arange(60.0)
        logs = count * np.log(value / GAIN) - np.cumsum(np.log(np.maximum(count, 1)))
        chance = np.asarray(np.exp(logs), np.float64)
        return GAIN * count, chance / chance.sum()
    if kind == "bernoulli":
        return np.array([0.0, value]), np.array([LOST, 1 - LOST])
    anything = (np.arange(1000) + 0.5) / 1000
    return np.append(anything, value), np.append(np.full(1000, BROKEN / 1000), 1 - BROKEN)


def limit(kind: str, loss: str, value: float) -> float:
    """Where sum_i chance_i |v - value_i|^gamma is least, to 0.001; gamma that of the run's end."""
    values, chances = (torch.from_numpy(array) for array in distribution(kind, value))
    tried = torch.linspace(-0.2, 1.2, 1401, dtype=torch.float64)
    error = power(tried[:, None] - values, exponent(loss, LATE))
    return float(tried[(error * chances).sum(dim=1).argmin()])


def learn(
    kind: str, loss: str, pictures: data.Pictures, steps: int, width: int, patch: int, seed: int
) -> Restorer:
    """The average of a network that learned from pairs of observations."""
    torch.manual_seed(seed)
    restorer = denoiser.build(width=width, blocks=(1, 1, 1))
    ema = copy.deepcopy(restorer)
    optimizer = torch.optim.AdamW(restorer.parameters(), lr=2e-3, betas=(0.9, 0.95), fused=True)
    recipe = Recipe(
        task="denoise",
        network="denoiser", keywords={}, restorer=restorer,
        players=(Player(Noise2Noise(restorer, loss), {"observed": 1.0}, optimizer),),
        batch=8, patch=patch, averages=(Average(ema, restorer, 0.99),),
    )  # fmt: skip

    def draw(step: int, progress: float) -> Batch:
        generator = rng.derive(seed, "patches", step)
        clean = data.patches(pictures, recipe.batch, patch, generator, upright=False)
        pair = torch.stack([observe(kind, clean, generator) for _ in range(2)], dim=1)
        return Batch(None, None, progress, observations=pair)

    for _ in fit(recipe, draw, seed=seed, steps=steps):
        pass
    return ema


def scored(network: Restorer, noisy: Tensor, clean: Tensor) -> tuple[Tensor, list[float]]:
    """The result, and [PSNR in dB, mean error in the darkest and in the brightest third of 255]."""
    result = restore_tensor(network, noisy)
    values, truth = (_in_8_bits(image) for image in (result, clean))
    dark, bright = np.quantile(truth, (1 / 3, 2 / 3))
    error = 255 * (result - clean)[0].permute(1, 2, 0).numpy()
    thirds = [float(error[truth <= dark].mean()), float(error[truth >= bright].mean())]
    return result, [metrics.psnr(values, truth), *thirds]


def _in_8_bits(image: Tensor) -> Pixels:
    return images.to_pixels(image, np.zeros((1, 1, 3), np.uint8))


def tables(cells: Mapping[tuple[str, str], Sequence[float]]) -> list[str]:
    """PSNR of each cell, a star where it is the highest of its row; then the mean errors."""
    lines = [f"{'PSNR, dB':12}" + "".join(f"{loss:>16}" for loss in LOSSES) + "   expected"]
    for kind, right in LOSS_FOR.items():
        best = max(LOSSES, key=lambda loss: cells[kind, loss][0])
        told = (f"{cells[kind, s][0]:15.2f}{'*' if s == best else ' '}" for s in LOSSES)
        lines.append(f"{kind:12}" + "".join(told) + f"   {right}")
    lines += ["", f"{'dark, bright':12}" + "".join(f"{loss:>16}" for loss in LOSSES)]
    for kind in LOSS_FOR:
        told = (f"{cells[kind, s][1]:+9.1f}{cells[kind, s][2]:+7.1f}" for s in LOSSES)
        lines.append(f"{kind:12}" + "".join(told))
    return lines


def limits(values: Sequence[float] = (0.15, 0.55, 0.95)) -> list[str]:
    """What each loss tends to for three grey values."""
    lines = [f"{'in the limit':12}" + "".join(f"{loss:>39}" for loss in LOSSES)]
    for kind in LOSS_FOR:
        told = (
            "".join(f"{value:g} > {limit(kind, loss, value):.2f}".rjust(13) for value in values)
            for loss in LOSSES
        )
        lines.append(f"{kind:12}" + "".join(told))
    return lines


def sheet(rows: Sequence[Sequence[tuple[str, Pixels]]]) -> Pixels:
    """A row a kind of noise: the middle of each picture, its name above."""
    return np.vstack([np.hstack([_named(*cell) for cell in row]) for row in rows])


def _named(text: str, pixels: Pixels) -> Pixels:
    bar = np.full((20, SIDE_PX, 3), 255, np.uint8)
    cv2.putText(bar, text, (3, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    top, left = ((length - SIDE_PX) // 2 for length in pixels.shape[:2])
    return np.vstack([bar, pixels[top : top + SIDE_PX, left : left + SIDE_PX]])


def aside_squares(folder: Path, aside: int) -> tuple[list[Path], Tensor]:
    """The pictures to learn from, and the middle squares of the last `aside`, side by side."""
    paths = images.find(folder)
    if not 0 < aside < len(paths):
        raise UserError(f"--aside {aside}: must be from 1 to {len(paths) - 1}, of the pictures")
    squares = []
    for path in paths[-aside:]:
        pixels = eight_bit_rgb(images.read(path).pixels)
        if min(pixels.shape[:2]) < TEST_PX:
            raise UserError(f"{path}: is smaller than {TEST_PX} pixels")
        top, left = ((length - TEST_PX) // 2 for length in pixels.shape[:2])
        squares.append(images.to_tensor(pixels[top : top + TEST_PX, left : left + TEST_PX]))
    return paths[:-aside], torch.cat(squares, dim=3)


def run(options: argparse.Namespace, tell: Callable[[str], None]) -> list[str]:
    """The lines of all tables; writes --sheet."""
    learned, clean = aside_squares(options.pictures, options.aside)
    pictures = data.load(learned, patch=options.patch, seed=options.seed)
    cells: dict[tuple[str, str], list[float]] = {}
    rows = []
    first = slice(0, TEST_PX)
    for kind in LOSS_FOR:
        noisy = observe(kind, clean, rng.derive(options.seed, "test"))
        row = [("clean", clean), (kind, noisy)]
        for loss in LOSSES:
            start = time.perf_counter()
            network = learn(kind, loss, pictures, options.steps, options.width, options.patch,
                            options.seed)  # fmt: skip
            result, cells[kind, loss] = scored(network, noisy, clean)
            seconds = time.perf_counter() - start
            tell(f"{kind} {loss}: {cells[kind, loss][0]:.2f} dB, {seconds:.0f} s")
            row.append((f"{loss} {cells[kind, loss][0]:.2f} dB", result))
        rows.append([(name, _in_8_bits(image[..., first])) for name, image in row])
    if options.sheet is not None:
        images.write(options.sheet, Picture(sheet(rows)))
    return [*limits(), "", *tables(cells)]


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("--pictures", type=Path, help="Folder of photographs.  [default: those installed]")
    add("--aside", type=int, default=8, help="Pictures that are scored and not learned from.")
    add("--steps", type=int, default=1500, help="Of each cell.")
    add("--width", type=int, default=16, help="Of the network.")
    add("--patch", type=int, default=64, help="Side of a patch in pixels, a multiple of 8.")
    add("--seed", type=int, default=0)
    add("--sheet", type=Path, help="Write a picture of the results.")
    options = parser.parse_args(arguments)
    if options.steps < 1 or options.patch < 8 or options.patch % 8:
        parser.error("--steps must be at least 1, --patch a multiple of 8")
    if options.pictures is None:
        options.pictures = material.bundled_photographs()
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        lines = run(parsed(arguments), lambda line: print(line, file=sys.stderr, flush=True))
    except UserError as error:
        sys.exit(str(error))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
