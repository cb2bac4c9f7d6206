"""Train a restorer that ships with the package: a recipe's pairs made by many processes, on a GPU.

    python benchmarks/free_photos.py ./free_photos
    python benchmarks/builtin.py derain_physics ./free_photos -o runs/builtin --minutes 8

What `ssl-restore fit --recipe derain_physics --from-scratch` does, for a machine whose GPU learns
faster than one process can render: every process draws photographs and prepares batches. The recipe
must learn from clean photographs alone, and its objective prepare them without a network.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ssl_restore import discover, rng
from ssl_restore.device import choose, place
from ssl_restore.io import images
from ssl_restore.objectives.rendered_rain import WithRain, veil_loss
from ssl_restore.objectives.synthetic_rain import SyntheticRain
from ssl_restore.training import checkpoint, data
from ssl_restore.training.fit import fit
from ssl_restore.training.optimizers import warm_up_cosine
from ssl_restore.training.session import start_from
from ssl_restore.types import Average, Batch, Recipe

LOG_EVERY = 500  # steps; the weights are saved as often
POOL = 64  # batches among which those to repeat are drawn


class Prepared(IterableDataset[Batch]):
    """Batches that a recipe's objective has prepared, in half precision, without end."""

    def __init__(self, recipe: Recipe, pictures: data.Pictures, seed: int) -> None:
        self.objective: Any = recipe.players[0].objective
        self.batch, self.patch = recipe.batch, recipe.patch
        self.pictures, self.seed = pictures, seed

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        info = get_worker_info()
        number, step = (info.id, info.num_workers) if info else (0, 1)
        while True:
            draws = rng.derive(self.seed, "clean", number)
            photographs = data.patches(self.pictures, self.batch, self.patch, draws, upright=False)
            draws = rng.derive(self.seed, "objective 0", number)
            with torch.no_grad():
                batch = self.objective.prepare(Batch(photographs, None), draws)
            yield mapped(replace(batch, clean=None), torch.Tensor.half)
            number += step


def mapped(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """The batch with each of its tensors changed."""
    changed: dict[str, Any] = {name: change(value) for name, value in batch.tensors().items()}
    return replace(batch, **changed)


def repeated(batches: Iterator[Batch], times: int, generator: torch.Generator) -> Iterator[Batch]:
    """Every batch about so many times, each time turned and mirrored anew, far from one another."""
    held: list[Batch] = []
    for batch in batches:
        held.append(batch)
        for _ in range(times if len(held) == POOL else 0):
            which, turn, mirror = (
                int(torch.randint(count, (), generator=generator)) for count in (POOL, 4, 2)
            )

            def turned(picture: Tensor, turn: int = turn, mirror: int = mirror) -> Tensor:
                quarter = torch.rot90(picture, turn, (2, 3))
                return quarter.flip(3) if mirror else quarter

            yield mapped(held[which], turned)
        if len(held) == POOL:
            held.pop(int(torch.randint(POOL, (), generator=generator)))


class TrueLayers(nn.Module):
    """The term `veil`, where the veil is told from the true layers, and batches as of `rain`."""

    def __init__(self, veil: nn.Module, rain: SyntheticRain) -> None:
        super().__init__()
        self.veil = veil
        self.prepare = rain.prepare

    def forward(self, batch: WithRain, generator: torch.Generator) -> dict[str, Tensor]:
        truth = batch.rendered
        rain = (truth.rainy - truth.veiled).mean(dim=1, keepdim=True)
        depth, airlight = self.veil(torch.cat([truth.veiled, rain], dim=1))
        return {"veil": veil_loss(depth, airlight, truth.transmission, truth.light)}


def veil_alone(recipe: Recipe, untrained: nn.Module) -> Recipe:
    """The recipe, for the veil of its restorer alone, which begins anew; the rest stays."""
    nets = [recipe.restorer, recipe.ema]
    for net in nets:
        net.requires_grad_(False).eval()
        net.get_submodule("veil").load_state_dict(untrained.get_submodule("veil").state_dict())
    veil, ema = (net.get_submodule("veil") for net in nets)
    veil.requires_grad_(True)
    (player,), (average,) = recipe.players, recipe.averages
    assert isinstance(player.objective, SyntheticRain)
    objective = TrueLayers(veil, player.objective)
    return replace(
        recipe,
        players=(replace(player, objective=objective, weights={"veil": 1.0}),),
        averages=(Average(ema, veil, average.decay),),
    )


def slower(recipe: Recipe) -> Recipe:
    """The recipe with a warm-up of ten times as many steps."""
    (player,) = recipe.players

    def schedule(step: int, progress: float) -> float:
        return warm_up_cosine(step // 10, progress, recipe.lr_floor)

    return replace(recipe, players=(replace(player, schedule=schedule),))


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
    kept = recipe.ema
    if asked.veil:
        recipe = veil_alone(recipe, untrained)
    pictures = data.load(images.find(asked.photographs), patch=recipe.patch, seed=asked.seed)
    print(f"{len(pictures.pixels)} photographs, {len(pictures.skipped)} skipped", flush=True)
    loader = iter(
        DataLoader(
            Prepared(recipe, pictures, asked.seed), batch_size=None, num_workers=asked.workers,
            prefetch_factor=4 if asked.workers else None, pin_memory=torch.cuda.is_available(),
        )
    )  # fmt: skip
    first = next(loader)  # the processes are started before the objective moves to the GPU
    device = choose("auto")
    for module in (recipe.restorer, kept, recipe.players[0].objective):
        place(module, device)

    def moved(picture: Tensor) -> Tensor:
        there = picture.to(device, non_blocking=True).float()
        return there.contiguous(memory_format=torch.channels_last)

    batches: Iterator[Batch] = (mapped(batch, moved) for batch in chain([first], loader))
    if asked.repeat > 1:
        batches = repeated(batches, asked.repeat, rng.derive(asked.seed, "repeat", 0))
    asked.output.mkdir(parents=True, exist_ok=True)
    rows = fit(
        slower(recipe), lambda step, progress: replace(next(batches), progress=progress),
        seed=asked.seed, seconds=60 * asked.minutes, parts=1,
    )  # fmt: skip
    header = checkpoint.Header(
        task=recipe.task, network=recipe.network, keywords=recipe.keywords, recipe=asked.recipe,
        settings=settings, seed=asked.seed, data={"clean": pictures.fingerprint},
    )  # fmt: skip
    weights, losses = asked.output / "restorer.safetensors", list[float]()
    for row in rows:
        losses.append(sum(row.losses.values()))
        if row.step % LOG_EVERY == 0:
            mean = sum(losses) / len(losses)
            print(f"{row.step} steps, {row.seconds:.0f} s, loss {mean:.4f}", flush=True)
            checkpoint.save(weights, kept, replace(header, step=row.step))
            losses.clear()
    checkpoint.save(weights, kept, replace(header, step=row.step))
    print(weights)


if __name__ == "__main__":
    main()
