"""Train a restorer that ships with the package: a recipe's batches made by many processes.

    python benchmarks/free_photos.py ./free_photos
    python benchmarks/builtin.py derain_physics ./free_photos -o runs/builtin --minutes 8

What `ssl-restore fit --recipe derain_physics --from-scratch` does, for a machine whose GPU learns
faster than one process can render: every process draws photographs and prepares batches of them.
The recipe must learn from clean photographs alone, by an objective that has `prepare`.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ssl_restore import discover, rng
from ssl_restore.device import choose, place
from ssl_restore.io import images
from ssl_restore.objectives.rendered_rain import RenderedRain, veil_loss
from ssl_restore.objectives.synthetic_rain import SyntheticRain
from ssl_restore.training import checkpoint, data
from ssl_restore.training.fit import fit
from ssl_restore.training.warm_start import start_from
from ssl_restore.types import Batch, Player, Recipe

LOG_EVERY = 500  # steps; the weights are saved as often
POOL = 64  # batches among which those to repeat are drawn


class Prepared(IterableDataset[Batch]):
    """Batches of a recipe, prepared by its objective, in half precision, without end."""

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
                prepared = self.objective.prepare(Batch(photographs, None), draws)
            yield each_tensor(prepared, lambda tensor: tensor.half())
            number += step


def each_tensor(batch: Batch, change: Any) -> Batch:
    """The batch with every tensor changed."""
    own: dict[str, Any] = {name: change(tensor) for name, tensor in batch.tensors().items()}
    return replace(batch, **own)


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
                turned = torch.rot90(picture, turn, (2, 3))
                return turned.flip(3) if mirror else turned

            yield each_tensor(held[which], turned)
        if len(held) == POOL:
            held.pop(int(torch.randint(POOL, (), generator=generator)))


class OfPrepared(nn.Module):
    """An objective without its `prepare`: batches come prepared."""

    def __init__(self, objective: nn.Module) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = self.objective(batch, generator)
        return terms


class TrueLayers(nn.Module):
    """The term `veil`, where the veil is predicted from the true layers."""

    def __init__(self, restorer: nn.Module, rain: SyntheticRain) -> None:
        super().__init__()
        self.veil: Any = restorer.get_submodule("veil")
        self.prepare = rain.prepare

    def forward(self, batch: RenderedRain, generator: torch.Generator) -> dict[str, Tensor]:
        rain = (batch.rainy - batch.veiled).mean(dim=1, keepdim=True)
        depth, airlight = self.veil(torch.cat([batch.veiled, rain], dim=1))
        return {"veil": veil_loss(depth, airlight, batch.transmission, batch.light)}


def veil_alone(recipe: Recipe, untrained: nn.Module) -> Recipe:
    """The recipe, for the veil of its restorer alone, which begins anew; the rest stays."""
    for net in (recipe.restorer, recipe.ema):
        net.requires_grad_(False)
        net.get_submodule("veil").load_state_dict(untrained.get_submodule("veil").state_dict())
    recipe.restorer.get_submodule("veil").requires_grad_(True)
    player = recipe.players[0]
    rain = player.objective
    assert isinstance(rain, SyntheticRain)
    objective = TrueLayers(recipe.restorer, rain)
    learned = Player(objective, {"veil": 1.0}, player.optimizer)
    return replace(recipe, players=(learned,), frozen_batchnorm=True)


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
        recipe = rested if asked.fixed_norms else recipe
    if asked.veil:
        recipe = veil_alone(recipe, untrained)
    pictures = data.load(images.find(asked.photographs), patch=recipe.patch, seed=asked.seed)
    print(f"{len(pictures.pixels)} photographs, {len(pictures.skipped)} skipped", flush=True)
    loader: Any = DataLoader(
        Prepared(recipe, pictures, asked.seed), batch_size=None, num_workers=asked.workers,
        prefetch_factor=4 if asked.workers else None,
    )  # fmt: skip
    device = choose("auto")

    def moved(batch: Batch) -> Batch:
        return each_tensor(
            batch, lambda half: half.to(device, non_blocking=True).float().contiguous(
                memory_format=torch.channels_last
            )
        )  # fmt: skip

    player = recipe.players[0]
    batches = iter(loader)
    first = next(batches)  # the processes are started before the objective moves to the GPU
    if asked.repeat > 1:
        batches = repeated(batches, asked.repeat, rng.derive(asked.seed, "repeat", 0))
    learning = replace(recipe, players=(replace(player, objective=OfPrepared(player.objective)),))
    for module in (recipe.restorer, recipe.ema, player.objective):
        place(module, device)
    asked.output.mkdir(parents=True, exist_ok=True)

    def keep(step: int) -> None:
        header = checkpoint.Header(
            task=recipe.task, network=recipe.network, keywords=recipe.keywords, recipe=asked.recipe,
            settings=settings, step=step, seed=asked.seed, data={"clean": pictures.fingerprint},
            coarse_from=recipe.coarse_from,
        )  # fmt: skip
        checkpoint.save(asked.output / "restorer.safetensors", recipe.ema, header)

    def draw(step: int, progress: float) -> Batch:
        return replace(moved(next(batches) if step else first), progress=progress)

    precision = "bf16" if device.type == "cuda" else "auto"
    total, step = 0.0, 0
    rows = fit(
        learning, draw, seed=asked.seed, seconds=60 * asked.minutes, precision=precision, ahead=True
    )
    for row in rows:
        step, total = (
            row.step,
            total + sum(player.weights[name] * value for name, value in row.losses.items()),
        )
        if step % LOG_EVERY == 0:
            print(f"{step} steps, {row.seconds:.0f} s, loss {total / LOG_EVERY:.4f}", flush=True)
            total = 0.0
            keep(step)
    keep(step)
    print(asked.output / "restorer.safetensors")


if __name__ == "__main__":
    main()
