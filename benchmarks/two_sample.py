"""Can a classifier tell rendered rain layers from given ones?  50 % is chance.

    python benchmarks/two_sample.py ./rainy/ ./clean/ rain.json

RAINY and CLEAN are pairs by name: their differences are the given layers, half of the pictures to
learn from and half to be told apart. The rendered ones, drawn anew for each seed (one draw differs
from another by 4 % or so), are put on CLEAN pictures and taken as differences likewise, so that
clipping and rounding are the same. Rain of all kinds and rain like that of the calibration are each
set against the given layers; with --layers DIR, pictures of other rain layers are, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from degradations.rain import Rain
from degradations.rain_like import RainLike
from degradations.sensor import quantise
from degradations.streaks import streak_layer
from ssl_restore import rng
from ssl_restore.calibration import rain_file
from ssl_restore.io import images

SIDE_PX, BATCH = 64, 32


def tensors(folder: Path) -> list[Tensor]:
    return [images.to_tensor(images.read(path).pixels) for path in images.find(folder)]


def difference(rainy: Tensor, clean: Tensor) -> Tensor:
    return (rainy - clean).mean(dim=1, keepdim=True).clamp_min(0)


def rendered(
    clean: list[Tensor], prior: Rain | RainLike, generator: torch.Generator
) -> list[Tensor]:
    found = []
    for picture in clean:
        shape = (1, 3, *picture.shape[2:])
        layer = streak_layer(prior.sample(shape, generator), *picture.shape[2:])
        found.append(difference(quantise(picture + layer), picture))
    return found


def patches(layers: list[Tensor], count: int, generator: torch.Generator) -> Tensor:
    """(count, 1, S, S), mirrored at random; without rain in them nothing could be told."""
    found: list[Tensor] = []
    while len(found) < count:
        layer = layers[int(torch.randint(len(layers), (), generator=generator))]
        top, left = (
            int(torch.randint(side - SIDE_PX + 1, (), generator=generator))
            for side in layer.shape[2:]
        )
        patch = layer[:, :, top : top + SIDE_PX, left : left + SIDE_PX]
        if patch.mean() > 1e-3:
            found.append(patch.flip(3) if torch.rand((), generator=generator) < 0.5 else patch)
    return torch.cat(found)


def classifier() -> nn.Module:
    layers: list[nn.Module] = []
    for inner, outer in ((1, 16), (16, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(inner, outer, 3, 2, 1), nn.BatchNorm2d(outer), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1))


def accuracy(
    learned: tuple[list[Tensor], list[Tensor]],
    tested: tuple[list[Tensor], list[Tensor]],
    steps: int,
    seed: int,
) -> float:
    """Share of 2,000 patches of `tested` (given, rendered) that are told right."""
    torch.manual_seed(seed)
    generator = rng.derive(seed, "two-sample", 0)
    network = classifier()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    label = torch.arange(2).repeat_interleave(BATCH)[:, None].float()
    for _ in range(steps):
        batch = torch.cat([patches(layers, BATCH, generator) for layers in learned])
        loss = nn.functional.binary_cross_entropy_with_logits(network(10 * batch), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    network.eval()
    with torch.inference_mode():
        given, other = (network(10 * patches(layers, 1000, generator)) for layers in tested)
    return float(((given < 0).float().mean() + (other > 0).float().mean()) / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("rainy", type=Path)
    parser.add_argument("clean", type=Path)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("--layers", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--floor", type=float, default=0.0)
    options = parser.parse_args()
    clean = tensors(options.clean)
    given = [difference(r, c) for r, c in zip(tensors(options.rainy), clean, strict=True)]
    calibrated = rain_file.read(options.calibration).prior()
    sources: dict[str, Callable[[torch.Generator], list[Tensor]]] = {
        "rain of all kinds": lambda generator: rendered(clean, Rain(rain_free=0), generator),
        "calibrated": lambda generator: rendered(clean, calibrated, generator),
    }
    if options.layers is not None:
        layers = [t.mean(dim=1, keepdim=True) for t in tensors(options.layers)]
        sources["--layers"] = lambda _: layers

    def seen(layers: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Those to learn from and those to be told apart."""
        rest = [(layer - options.floor / 255).clamp_min(0) for layer in layers]
        return rest[: len(rest) // 2], rest[len(rest) // 2 :]

    for name, source in sources.items():
        shares = []
        for seed in range(options.seeds):
            other = seen(source(rng.derive(seed, "two-sample rain", 0)))
            learned, tested = zip(seen(given), other, strict=True)
            shares.append(accuracy(learned, tested, options.steps, seed))
        told = ", ".join(f"{share:.1%}" for share in shares)
        print(f"{name}: {told} right; mean {sum(shares) / len(shares):.1%}", flush=True)


if __name__ == "__main__":
    main()
