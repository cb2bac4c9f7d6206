"""Train a restorer that ships with the package: a recipe's pairs made by many processes, on a GPU.

    python benchmarks/free_photos.py ./free_photos
    python benchmarks/builtin.py derain_physics ./free_photos -o runs/builtin --minutes 8

What `ssl-restore fit --recipe derain_physics --from-scratch` does, for a machine whose GPU learns
faster than one process can render: every process draws photographs and degrades them, and a step is
replayed as one CUDA graph. The recipe must learn from clean photographs alone.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ssl_restore import discover, rng
from ssl_restore.device import choose
from ssl_restore.io import images
from ssl_restore.objectives.rendered_rain import veil_loss
from ssl_restore.objectives.synthetic_rain import SyntheticRain
from ssl_restore.training import checkpoint, data
from ssl_restore.training.fit import LARGEST_GRADIENT, freeze_batchnorm, schedule
from ssl_restore.training.session import start_from
from ssl_restore.types import Player, Recipe

LOG_EVERY = 500  # steps; the weights are saved as often
POOL = 64  # batches among which those to repeat are drawn


class Pairs(IterableDataset[tuple[Tensor, ...]]):
    """What a recipe's objective pairs: pictures (B, 3, P, P), half precision, without end."""

    def __init__(self, recipe: Recipe, pictures: data.Pictures, seed: int) -> None:
        self.objective: Any = recipe.players[0].objective
        self.batch, self.patch = recipe.batch, recipe.patch
        self.pictures, self.seed = pictures, seed

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        torch.set_num_threads(1)
        info = get_worker_info()
        number, step = (info.id, info.num_workers) if info else (0, 1)
        while True:
            draws = rng.derive(self.seed, "clean", number)
            photographs = data.patches(self.pictures, self.batch, self.patch, draws, upright=False)
            draws = rng.derive(self.seed, "objective 0", number)
            yield tuple(picture.half() for picture in self.objective.pair(photographs, draws))
            number += step


def repeated(
    batches: Iterator[Sequence[Tensor]], times: int, generator: torch.Generator
) -> Iterator[Sequence[Tensor]]:
    """Every batch about so many times, each time turned and mirrored anew, far from one another."""
    held: list[Sequence[Tensor]] = []
    for batch in batches:
        held.append(batch)
        for _ in range(times if len(held) == POOL else 0):
            which, turn, mirror = (
                int(torch.randint(count, (), generator=generator)) for count in (POOL, 4, 2)
            )
            turned = [torch.rot90(picture, turn, (2, 3)) for picture in held[which]]
            yield [picture.flip(3) if mirror else picture for picture in turned]
        if len(held) == POOL:
            held.pop(int(torch.randint(POOL, (), generator=generator)))


class TrueLayers(nn.Module):
    """The term `veil`, where the veil is told from the true layers, and pairs as of `rain`."""

    def __init__(self, restorer: nn.Module, rain: SyntheticRain) -> None:
        super().__init__()
        self.veil: Any = restorer.veil
        self.pair = rain.pair

    def compare(self, rainy: Tensor, veiled: Tensor, t: Tensor, light: Tensor) -> dict[str, Tensor]:
        rain = (rainy - veiled).mean(dim=1, keepdim=True)
        depth, airlight = self.veil(torch.cat([veiled, rain], dim=1))
        return {"veil": veil_loss(depth, airlight, t, light)}


def veil_alone(recipe: Recipe, untrained: nn.Module) -> Recipe:
    """The recipe, for the veil of its restorer alone, which begins anew; the rest stays."""
    for net in (recipe.restorer, recipe.ema):
        net.requires_grad_(False).eval()
        net.get_submodule("veil").load_state_dict(untrained.get_submodule("veil").state_dict())
    recipe.restorer.get_submodule("veil").requires_grad_(True).train()
    player = recipe.players[0]
    rain = player.objective
    assert isinstance(rain, SyntheticRain)
    objective = TrueLayers(recipe.restorer, rain)
    return replace(recipe, players=(Player(objective, {"veil": 1.0}, player.optimizer),))


class Step:
    """One step of training: loss, gradient, AdamW, average."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        player = recipe.players[0]
        for module in (recipe.restorer, recipe.ema, player.objective):
            module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if recipe.frozen_batchnorm:
            freeze_batchnorm(recipe.restorer)
        group = player.optimizer.param_groups[0]
        self.base_lr = float(group["lr"])
        self.lr = torch.zeros((), device=device)
        self.keep = torch.ones((), device=device)  # weight of a step in the average
        self.parameters = [p for p in recipe.restorer.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=self.lr, betas=group["betas"], weight_decay=group["weight_decay"],
            fused=True, capturable=device.type == "cuda",
        )  # fmt: skip
        self.objective: Any = player.objective
        self.weights = player.weights
        self.pairs = [
            (mean, value)
            for mean, value in zip(
                recipe.ema.state_dict().values(), recipe.restorer.state_dict().values(),
                strict=True,
            )
            if mean.is_floating_point()
        ]  # fmt: skip
        self.device = device

    def __call__(self, *pictures: Tensor) -> Tensor:
        with torch.autocast(
            self.device.type,
            torch.bfloat16,
            enabled=self.device.type == "cuda",
            cache_enabled=False,
        ):
            terms = self.objective.compare(*pictures)
        loss = torch.stack([w * terms[name].float() for name, w in self.weights.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, LARGEST_GRADIENT)
        self.optimizer.step()
        with torch.no_grad():
            for mean, value in self.pairs:
                mean.lerp_(value, self.keep)
        return loss.detach()

    def captured(self, like: Sequence[Tensor]) -> Callable[..., Tensor]:
        """The step as a graph that is replayed on batches of this shape; on the CPU, as it is."""
        if self.device.type != "cuda":
            return self
        fixed = [torch.zeros_like(t) for t in like]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # lr is 0: nothing is learned from these
            for _ in range(3):
                self(*fixed)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self(*fixed)

        def replay(*pictures: Tensor) -> Tensor:
            for place, picture in zip(fixed, pictures, strict=True):
                place.copy_(picture)
            graph.replay()
            return loss

        return replay


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("photographs", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--start", type=Path, help="Go on from these weights.")
    parser.add_argument(
        "--fixed-norms", action="store_true",
        help="Of --start; the last part of a training: a batch's own statistics are a disturbance.",
    )  # fmt: skip
    parser.add_argument("--veil", action="store_true", help="Learn its veil alone, anew.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument(
        "--repeat", type=int, default=1,
        help="Learn so many times from each batch, turned anew; not for rain, which falls down.",
    )  # fmt: skip
    parser.add_argument("--set", dest="pairs", action="append", default=[], metavar="K=V")
    return parser.parse_args()


def main() -> None:
    asked = parsed()
    torch.manual_seed(asked.seed)
    build = discover.builder("recipes", asked.recipe)
    settings = {**discover.settings(build), **discover.parse_settings(build, asked.pairs)}
    recipe: Recipe = build(**settings)
    untrained = copy.deepcopy(recipe.restorer)
    if asked.start is not None:
        rested = start_from(recipe, asked.start)
        recipe = rested if asked.frozen_batchnorm else recipe
    if asked.veil:
        recipe = veil_alone(recipe, untrained)
    pictures = data.load(images.find(asked.photographs), patch=recipe.patch, seed=asked.seed)
    print(f"{len(pictures.pixels)} photographs, {len(pictures.skipped)} skipped", flush=True)
    loader = iter(
        DataLoader(
            Pairs(recipe, pictures, asked.seed), batch_size=None, num_workers=asked.workers,
            prefetch_factor=4 if asked.workers else None, pin_memory=torch.cuda.is_available(),
        )
    )  # fmt: skip
    device = choose("auto")
    first = next(loader)  # the processes are started before the objective moves to the GPU
    step = Step(recipe, device)

    def moved(pictures: Sequence[Tensor]) -> list[Tensor]:
        there = [half.to(device, non_blocking=True).float() for half in pictures]
        return [picture.contiguous(memory_format=torch.channels_last) for picture in there]

    run = step.captured(moved(first))
    batches: Iterator[Sequence[Tensor]] = map(moved, loader)
    if asked.repeat > 1:
        batches = repeated(batches, asked.repeat, rng.derive(asked.seed, "repeat", 0))
    asked.output.mkdir(parents=True, exist_ok=True)

    def keep() -> None:
        header = checkpoint.Header(
            task=recipe.task, network=recipe.network, keywords=recipe.keywords, recipe=asked.recipe,
            settings=settings, step=done, seed=asked.seed, data={"clean": pictures.fingerprint},
        )  # fmt: skip
        checkpoint.save(asked.output / "restorer.safetensors", recipe.ema, header)

    begun, done, total = time.monotonic(), 0, torch.zeros((), device=device)
    while (progress := (time.monotonic() - begun) / (60 * asked.minutes)) < 1:
        step.lr.fill_(step.base_lr * schedule(done // 10, progress, recipe.lr_floor))
        step.keep.fill_(1 - min(recipe.decay, done / (done + 10)))
        total += run(*next(batches))
        done += 1
        if done % LOG_EVERY == 0:
            mean = total.item() / LOG_EVERY
            seconds = time.monotonic() - begun
            print(f"{done} steps, {seconds:.0f} s, loss {mean:.4f}", flush=True)
            if not math.isfinite(mean):
                raise SystemExit("the loss is not finite; the file is from before")
            total.zero_()
            keep()
    keep()
    print(asked.output / "restorer.safetensors")


if __name__ == "__main__":
    main()
