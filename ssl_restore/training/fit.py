"""The one training loop: an iterator of rows.  The caller logs, saves and stops."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ssl_restore import rng
from ssl_restore.device import autocast
from ssl_restore.errors import UserError
from ssl_restore.types import Batch, Player, Recipe

WARM_UP_STEPS = 50
LARGEST_GRADIENT = 1.0  # norm above which a step is shortened


@dataclass(frozen=True)
class Row:
    """One step: what the log holds."""

    step: int  # steps done
    progress: float  # share of the run done, 0 to 1
    seconds: float  # training time, this step included, over all sessions of the run
    lr: float
    losses: dict[str, float]


class Diverged(UserError):
    """A loss or gradient is not finite.  The networks are as they were before the player's turn."""


def fit(
    recipe: Recipe,
    draw: Callable[[int, float], Batch],
    *,
    seed: int,
    steps: int | None = None,
    seconds: float | None = None,
    done: int = 0,
    spent: float = 0.0,
    precision: str = "auto",
) -> Iterator[Row]:
    """Train until `steps` steps or `seconds` of training are done, from step `done` on.

    `draw(step, progress)` gives the batch of a step. With `steps` the result depends on the seed
    alone: an interrupted run that goes on ends with the same bits. With `seconds` the learning
    rate follows the clock, and it cannot.
    """
    if (steps is None) == (seconds is None):
        raise ValueError("give steps or seconds, not both")
    device = next(recipe.restorer.parameters()).device
    base_lr = [[group["lr"] for group in p.optimizer.param_groups] for p in recipe.players]
    recipe.restorer.train()
    if recipe.frozen_batchnorm:
        freeze_batchnorm(recipe.restorer)
    recipe.ema.eval()
    begun = time.monotonic() - spent
    while True:
        if steps:
            progress = done / steps
        else:
            progress = _of_leader(time.monotonic() - begun, device) / (seconds or 1.0)
        if progress >= 1:
            return
        scale = schedule(done, progress, recipe.lr_floor)
        batch = draw(done, progress)
        losses: dict[str, float] = {}
        for number, player in enumerate(recipe.players):
            for group, base in zip(player.optimizer.param_groups, base_lr[number], strict=True):
                group["lr"] = base * scale
            generator = rng.derive(seed, f"objective {number}", done * world() + rank())
            with _kept_if_diverged(player.objective):
                with autocast(device, precision):
                    terms = player.objective(batch, generator)
                total = weighted(terms, player.weights, done + 1)
                player.optimizer.zero_grad(set_to_none=True)
                total.backward()
                _step(player, done + 1)
            losses |= {name: term.item() for name, term in terms.items()}
        done += 1
        update_ema(recipe.ema, recipe.restorer, min(recipe.decay, done / (done + 10)))
        lr = recipe.players[0].optimizer.param_groups[0]["lr"]
        yield Row(done, progress, time.monotonic() - begun, lr, losses)


def freeze_batchnorm(net: nn.Module) -> None:
    """Let norms use the statistics that they have, and not those of the batch."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def schedule(step: int, progress: float, floor: float) -> float:
    """Factor on the learning rate: linear warm-up, then half a cosine from 1 to `floor`."""
    cosine = floor + (1 - floor) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return min(1.0, (step + 1) / WARM_UP_STEPS) * cosine


def weighted(terms: Mapping[str, Tensor], weights: Mapping[str, float], step: int) -> Tensor:
    """sum_k weight_k * term_k; the names must be the same on both sides and the terms finite."""
    if terms.keys() != weights.keys():
        raise ValueError(
            f"the objective returned {sorted(terms)}, the recipe weights {sorted(weights)}"
        )
    for name, term in terms.items():
        if not math.isfinite(term.item()):
            raise Diverged(f"the loss '{name}' became {term.item()} at step {step}")
    return torch.stack([weight * terms[name].float() for name, weight in weights.items()]).sum()


@contextmanager
def _kept_if_diverged(objective: nn.Module) -> Iterator[None]:
    """Put back running statistics, into which the forward pass has mixed the bad values."""
    buffers = list(objective.buffers())
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    except Diverged:
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
        raise


def _step(player: Player, step: int) -> None:
    parameters = [p for g in player.optimizer.param_groups for p in g["params"]]
    if world() > 1:
        _mean_over_ranks([p.grad for p in parameters if p.grad is not None])
    norm = nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
    if not math.isfinite(norm.item()):
        raise Diverged(f"the gradient became {norm.item()} at step {step}")
    player.optimizer.step()


@torch.no_grad()
def update_ema(ema: nn.Module, restorer: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * restorer, for weights and running statistics."""
    pairs = zip(ema.state_dict().values(), restorer.state_dict().values(), strict=True)
    for mean, value in pairs:
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def rank() -> int:
    """Number of this process under torchrun, 0 without."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Number of processes under torchrun, 1 without."""
    return dist.get_world_size() if dist.is_initialized() else 1


def together() -> None:
    """Wait until all processes are here."""
    if world() > 1:
        dist.barrier()


def _of_leader(value: float, device: torch.device) -> float:
    """The value on rank 0: clocks differ, and all ranks must take and stop at the same step."""
    if world() == 1:
        return value
    shared = torch.tensor(value, device=device)
    dist.broadcast(shared, src=0)
    return shared.item()


def _mean_over_ranks(gradients: list[Tensor]) -> None:
    for gradient in gradients:
        dist.all_reduce(gradient)
        gradient.div_(world())
