"""Makes the gate of the built-in derainers, on rain of which it is known that it is there.

    python benchmarks/gate.py ./photos/ --pictures 6000 -o gate.safetensors
    python benchmarks/gate.py ./photos/ --measure gate.safetensors --folders ./rainy/ ./dry/

Renders pictures as each of the two derainers has learned from (`THIN`, `CAMERA`), a third of them
without rain, and learns to tell from the features of the built-in derainer (or `--weights`) which
it was and whether there is rain. Photographs of which every seventh is kept aside; the area under
the curve on those is printed. `--folders` prints what is told of the pictures in others: quantiles
of the log odds.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_restore import rng, weights
from ssl_restore.calibration.rain_file import rain_prior
from ssl_restore.device import autocast
from ssl_restore.inference.mixture import Mixture
from ssl_restore.io import images
from ssl_restore.networks import gate, unet
from ssl_restore.objectives.synthetic_rain import EXPOSURE, Shares, SyntheticRain
from ssl_restore.restorer import Restorer
from ssl_restore.training import checkpoint, data

SIDE_PX, DRAWN, BATCH, RATE = 256, 4, 128, 2e-3
LEAST_SPREAD = 1e-4
RAIN_FREE = 0.35
LEAST, VISIBLE = 0.02 / 255, 0.25 / 255  # mean light below which it counts as none, or as rain
THIN = Shares(  # what the derainer for thin rain has learned from
    patterns=0.15, foliage=0.1, veil=0.15, noise=0.15, jpeg=0.3, defocus=0.15, mist=0.1,
    blocky=0.05, resampled=0.15,
)  # fmt: skip
CAMERA = Shares(
    patterns=0.06, foliage=0.15, veil=0.15, noise=0.25, jpeg=0.75, defocus=0.6, mist=0.15,
    blocky=0.2, resampled=0.4,
)  # fmt: skip
KINDS = (0.1, 0.8)  # share of rain as cameras see it, of both
NEAR = 0.2  # twice as much as they have learned from


def renderers() -> tuple[SyntheticRain, SyntheticRain]:
    unused = unet.build(width=1)
    thin, camera = (
        rain_prior("", rain_free=RAIN_FREE, varied=0.0, layers="", near=NEAR, kinds=kinds)
        for kinds in KINDS
    )
    return (
        SyntheticRain(unused, thin, EXPOSURE, THIN),
        SyntheticRain(unused, camera, EXPOSURE, CAMERA),
    )


@torch.no_grad()
def drawn(
    photographs: data.Pictures,
    renderer: SyntheticRain,
    which: int,
    eye: Restorer,
    stream: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """What is seen in DRAWN pictures, (DRAWN, F), and what is to be told of them, NaN where that is
    unknown."""
    clean = data.patches(photographs, DRAWN, SIDE_PX, stream, upright=False)
    rendered = renderer.render(clean, stream)
    light = (rendered.rainy - rendered.veiled).abs().mean(dim=(1, 2, 3))
    unknown = torch.full_like(light, torch.nan)
    rain = torch.where(light > VISIBLE, 1.0, torch.where(light < LEAST, 0.0, unknown))
    camera = torch.where(rain == 1, float(which), unknown)
    told: Any = eye  # a network that tells its features
    with autocast(clean.device):
        maps = told.features(rendered.rainy)
    seen = [gate.statistics([one[number, None] for one in maps]) for number in range(DRAWN)]
    return torch.stack(seen), torch.stack([rain, camera], dim=1)


def rendered(
    paths: list[Path], eye: Path, count: int, seed: int, part: int = 0
) -> tuple[Tensor, Tensor]:
    """`count` pictures of these photographs, half as either derainer knows them."""
    photographs, restorer = data.load(paths, patch=SIDE_PX), checkpoint.load(eye)[0].folded()
    stream, both = rng.derive(seed, "render", part), renderers()
    pairs = []
    for number in range(count // DRAWN):
        pairs.append(drawn(photographs, both[number % 2], number % 2, restorer, stream))
        if number % 250 == 249:
            print(f"{DRAWN * (number + 1)} pictures", flush=True)
    seen, truth = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return seen, truth


def rendered_in_parts(
    paths: list[Path], eye: Path, count: int, seed: int, processes: int
) -> tuple[Tensor, Tensor]:
    """As `rendered`, by so many processes at once; other pictures for another number of them."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        parts = list(
            pool.map(partial(rendered, paths, eye, count // processes, seed), range(processes))
        )
    seen, truth = (torch.cat(both) for both in zip(*parts, strict=True))
    return seen, truth


def loss_of(told: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy of what is known, mean over both."""
    known = truth.isfinite()
    each = F.binary_cross_entropy_with_logits(
        told, truth.nan_to_num(), reduction="none", weight=known.float()
    )
    return (each.sum(0) / known.sum(0).clamp_min(1)).sum()


def area(told: Tensor, truth: Tensor) -> float:
    """Under the curve: how often one that is has more than one that is not."""
    known = truth.isfinite()
    yes, no = told[known & (truth == 1)], told[known & (truth == 0)]
    return float((yes[:, None] > no[None]).float().mean())


def learn(seen: Tensor, truth: Tensor, epochs: int, seed: int) -> gate.Gate:
    choice = rng.derive(seed, "choice", 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = gate.Gate(seen.shape[1] // gate.STATISTICS)
        net.mean, net.spread = seen.mean(dim=0), seen.std(dim=0) + LEAST_SPREAD
        optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1.0)
        for epoch in range(epochs):
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 - epoch / epochs)
            for chosen in torch.randperm(len(seen), generator=choice).split(BATCH):
                loss = loss_of(net.told(seen[chosen]), truth[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return net.eval()


def measure(net: gate.Gate, seen: Tensor, truth: Tensor) -> None:
    with torch.no_grad():
        told = net.told(seen)
    for number, name in enumerate(gate.NAMES):
        print(f"{name}: area under the curve {area(told[:, number], truth[:, number]):.4f}")


def told_of(net: gate.Gate, eye: Restorer, folder: Path) -> Tensor:
    """(N, 2) of the pictures in a folder."""
    mixture = Mixture(eye, eye, net, eye)
    pictures = (images.read(path).pixels for path in images.find(folder))
    return torch.tensor([mixture.look(gate.looked_at(p, mixture.looks_at)) for p in pictures])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photographs", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--measure", type=Path)
    parser.add_argument("--weights", type=Path, default=weights.built_in("derain"))
    parser.add_argument("--pictures", type=int, default=6000)
    parser.add_argument("--processes", type=int, default=1, help="That render at once.")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folders", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    paths = images.find(options.photographs)
    if options.measure is None:
        own = [path for number, path in enumerate(paths) if number % 7]
        seen, truth = rendered_in_parts(
            own, options.weights, options.pictures, options.seed, options.processes
        )
        net = learn(seen, truth, options.epochs, options.seed)
        net.save(options.output)
    else:
        net = gate.load(options.measure)
    measure(net, *rendered(paths[::7], options.weights, 400, seed=1))
    eye = checkpoint.load(options.weights)[0].folded()
    for folder in options.folders:
        told = told_of(net, eye, folder)
        points = torch.tensor([0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98])
        for number, name in enumerate(gate.NAMES):
            shown = " ".join(f"{value:5.1f}" for value in told[:, number].quantile(points).tolist())
            print(f"{folder} {name}: {shown}")


if __name__ == "__main__":
    main()
