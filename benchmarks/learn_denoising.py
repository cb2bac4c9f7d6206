"""Learning to denoise a folder with and without clean targets: the same network, start and time.

    python benchmarks/learn_denoising.py ./clean/ --sigma 25 --seconds 240
    python benchmarks/learn_denoising.py ./clean/ --from-scratch --recipes noise2noise

CLEAN holds photographs. White Gaussian noise of --sigma of 255, drawn for each from --seed, is fed
as it is, not cut off at black and white, and a second draw where a recipe wants two observations.
Each restorer restores the pictures that it learned from: their first observations, whole. The row
`clean targets` learns from (first observation, clean): no folder of a user's has that, it is the
bound. Scores are means over the pictures of those of `evaluate`, of results in 8 bits.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import denoise
import numpy as np
import torch
from torch import Tensor, nn

from ssl_restore import discover, rng
from ssl_restore.evaluation import metrics
from ssl_restore.inference.tiles import restore_tensor
from ssl_restore.restorer import Restorer
from ssl_restore.training import data, warm_start
from ssl_restore.training.fit import fit
from ssl_restore.types import Batch, Player, Recipe

RECIPES = ("noise2noise", "neighbor2neighbor", "recorrupted", "sure", "noise2void")
BOUND = "clean targets"


class Supervised(nn.Module):
    """|f(first observation) - second|^2, the second being the clean picture."""

    def __init__(self, restorer: nn.Module) -> None:
        super().__init__()
        self.restorer = restorer

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.observations is not None
        noisy, clean = batch.observations.unbind(1)
        return {"observed": (self.restorer(noisy) - clean).square().mean()}


def built(name: str, options: argparse.Namespace) -> Recipe:
    """The recipe of a row, from the built-in denoiser unless from scratch."""
    settings = {"lr": options.lr, "batch": options.batch, "patch": options.patch}
    torch.manual_seed(options.seed)
    source = "noise2noise" if name == BOUND else name
    recipe: Recipe = discover.builder("recipes", source)(**settings)
    if name == BOUND:
        weights, optimizer = recipe.players[0].weights, recipe.players[0].optimizer
        learner = Player(Supervised(recipe.restorer), weights, optimizer)
        recipe = replace(recipe, players=(learner,))
    start = None if options.from_scratch else warm_start.default_start(recipe)
    return recipe if start is None else warm_start.start_from(recipe, Path(start))


def drawer(
    name: str, recipe: Recipe, cases: Sequence[denoise.Case], seed: int, *, warm: bool
) -> Callable[[int, float], Batch]:
    """What a step of the row sees."""
    again = [denoise.with_noise(case.clean, case.sigma, seed + 1, case.number) for case in cases]

    def draw(step: int, progress: float) -> Batch:
        def taken(pictures: Sequence[np.ndarray]) -> Tensor:
            generator = rng.derive(seed, "learn", step)  # the same places of all of them
            several = data.Pictures(tuple(pictures), (), "")
            return data.patches(
                several, recipe.batch, recipe.patch, generator, upright=False, shrink=1
            )

        seen = taken([case.noisy for case in cases])
        if name == BOUND:
            target = taken([case.clean for case in cases])
        elif "observations" in recipe.needs:
            target = taken(again)
        else:
            return Batch(None, seen, progress, warm)
        pairs = torch.stack([seen, target], dim=1)
        return Batch(None, None, progress, warm, observations=pairs)

    return draw


def scores(net: Restorer, cases: Sequence[denoise.Case]) -> dict[str, float]:
    """Means over the pictures."""
    net.eval()
    found = []
    for case in cases:
        values = denoise.values_of(restore_tensor(net, case.tensor()))
        found.append(metrics.scores(denoise.in_8_bits(values), case.clean))
    return {key: float(np.mean([row[key] for row in found])) for key in found[0]}


def line(name: str, values: dict[str, float], steps: str) -> str:
    return f"{name:20}{values['psnr_rgb']:8.2f}{values['ssim_rgb']:8.4f}  {steps}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("clean", type=Path)
    add("--sigma", type=float, default=25.0)
    add("--seconds", type=float, default=240.0)
    add("--seed", type=int, default=0)
    add("--lr", type=float, default=1e-3)
    add("--batch", type=int, default=8)
    add("--patch", type=int, default=64)
    add("--limit", type=int)
    add("--from-scratch", action="store_true")
    add("--recipes", nargs="+", default=[BOUND, *RECIPES])
    options = parser.parse_args()
    cases = denoise.synthetic(options.clean, options.sigma / 255, options.seed, None, options.limit)
    noisy = [metrics.scores(case.in_8_bits, case.clean) for case in cases]
    means = {key: float(np.mean([row[key] for row in noisy])) for key in noisy[0]}
    print(line("input, 8 bits", means, ""), flush=True)
    if not options.from_scratch:
        print(line("start", scores(built(BOUND, options).ema, cases), ""), flush=True)
    for name in options.recipes:
        recipe = built(name, options)
        draw = drawer(name, recipe, cases, options.seed, warm=not options.from_scratch)
        rows = fit(recipe, draw, seed=options.seed, seconds=options.seconds)
        steps = 0
        for row in rows:
            steps = row.step
        told = scores(recipe.ema, cases)
        print(line(name, told, f"{steps} steps, {options.seconds:g} s"), flush=True)


if __name__ == "__main__":
    main()
