"""The one training loop: an iterator of rows.  The caller logs, saves and stops."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from ssl_restore import rng
from ssl_restore.device import autocast
from ssl_restore.errors import UserError
from ssl_restore.training import parts as side
from ssl_restore.training.group import mean_over_ranks, of_leader, rank, world
from ssl_restore.training.optimizers import warm_up_cosine
from ssl_restore.types import Batch, Learning, Player


@dataclass(frozen=True)
class Row:
    """One step: what the log holds."""

    step: int  # steps done
    progress: float  # share of the run done before it, 0 to 1
    seconds: float  # training time, this step included, over all sessions of the run
    lr: float  # of the first player
    losses: dict[str, float]
    scores: dict[str, float] = field(default_factory=dict)  # without a truth, where measured


class Diverged(UserError):
    """A loss or gradient is not finite.  The networks are as they were before the player's turn."""


def fit(
    learning: Learning,
    draw: Callable[[int, float], Batch],
    *,
    seed: int,
    steps: int | None = None,
    seconds: float | None = None,
    done: int = 0,
    spent: float = 0.0,
    precision: str = "auto",
    parts: int | None = None,
) -> Iterator[Row]:
    """Train until `steps` steps or `seconds` of training are done, whichever is first.

    With `steps` alone the result depends on the seed and the number of parts: an interrupted run
    that goes on ends with the same bits. With `seconds` the learning rate follows the clock, and it
    cannot. At least one step is made.

    Args:
        learning: A recipe, or its players and averages alone; networks are trained where they are.
        draw: (step, progress) -> the batch of a step.
        seed: Of all that objectives draw.
        steps: At most; of all sessions of the run together.
        seconds: At most; of all sessions together.
        done: Steps of sessions before this one.
        spent: Seconds of sessions before this one.
        precision: As of `device.autocast`.
        parts: Into how many a batch is split, to be computed side by side with one thread each;
            None chooses by its size and the device. One leaves threads to the operations.

    Yields:
        A row after each step. With several players its losses are named `player.term`.

    Raises:
        Diverged: Where a loss or gradient is not finite; it names the step and the term.
        UserError: For steps, seconds or parts that are not positive.
    """
    _check(learning, steps, seconds, parts)
    device = _trained(learning.players[0])[0].device
    base_lr = [[group["lr"] for group in p.optimizer.param_groups] for p in learning.players]
    for average in learning.averages:
        average.of.train()
        average.ema.eval()
        if learning.frozen_batchnorm:
            freeze_batchnorm(average.of)
    begun = time.monotonic() - spent
    with side.side_by_side(parts or side.PARTS) as pool:
        while True:
            shares = [done / steps] if steps is not None else []
            if seconds is not None:
                shares.append(of_leader(time.monotonic() - begun, device) / seconds)
            progress = min(1.0, max(shares))
            if progress >= 1 and done > 0:
                return
            batch = draw(done, progress)
            count = parts or side.usual_parts(batch.size, device)
            losses: dict[str, float] = {}
            with side.one_thread(count > 1):
                for number, player in enumerate(learning.players):
                    schedule = player.schedule or partial(warm_up_cosine, floor=learning.lr_floor)
                    _set_rate(player, base_lr[number], schedule(done, progress))
                    stream = f"objective {number}"
                    named = f"{player.name}." if len(learning.players) > 1 else ""
                    turn = _Turn(player, batch, stream, seed, done, precision, named)
                    losses |= turn.in_parts(count, pool)
                done += 1
                for average in learning.averages:
                    update_ema(average.ema, average.of, min(average.decay, done / (done + 10)))
            lr = learning.players[0].optimizer.param_groups[0]["lr"]
            yield Row(done, progress, time.monotonic() - begun, lr, losses)


@dataclass(frozen=True)
class _Turn:
    """The turn of a player in a step."""

    player: Player
    batch: Batch
    stream: str  # of random numbers
    seed: int
    done: int  # steps before this one
    precision: str
    named: str  # what stands before the names of the terms

    def in_parts(self, parts: int, pool: Executor | None) -> dict[str, float]:
        """Lower the sum of the terms, computed in so many parts of the batch; terms by name."""
        objective, parameters = self.player.objective, _trained(self.player)
        parts = side.parts_of(objective, self.batch, parts)
        if parts == 1:
            with _statistics_kept_if_diverged(objective):
                terms, total = self._terms(objective, self.batch, self.stream)
                self.player.optimizer.zero_grad(set_to_none=True)
                total.backward()
                return self._step(parameters, terms)
        batches = self.batch.split(parts)
        shares = [batch.size / self.batch.size for batch in batches]
        replicas = [side.replica(objective) for _ in batches]

        def compute(part: int) -> tuple[Tensor, tuple[Tensor | None, ...]]:
            stream = f"{self.stream}/{part}"
            terms, total = self._terms(replicas[part], batches[part], stream)
            return terms, torch.autograd.grad(total, parameters, allow_unused=True)

        each_terms, gradients = zip(*side.each(pool, compute, parts), strict=True)
        side.mean_gradients(parameters, gradients, shares)
        losses = self._step(parameters, side.weighted_sum(each_terms, shares, each_terms[0]))
        side.merge_statistics(objective, replicas, shares)
        return losses

    def _terms(self, objective: nn.Module, batch: Batch, stream: str) -> tuple[Tensor, Tensor]:
        """Terms (T,) in the order of the weights, and the sum that is lowered."""
        generator = rng.derive(self.seed, stream, self.done * world() + rank())
        with autocast(_trained(self.player)[0].device, self.precision):
            terms = objective(batch, generator)
        total = weighted(terms, self.player.weights)
        return torch.stack([terms[name].detach().float() for name in self.player.weights]), total

    def _step(self, parameters: list[nn.Parameter], terms: Tensor) -> dict[str, float]:
        """Move the parameters by their gradients, unless something is not finite."""
        mean_over_ranks(p.grad for p in parameters if p.grad is not None)
        norm = nn.utils.clip_grad_norm_(parameters, self.player.largest_gradient)
        *values, slope = torch.cat([terms, norm.view(1).to(terms)]).tolist()  # the one transfer
        losses = dict(zip((f"{self.named}{k}" for k in self.player.weights), values, strict=True))
        for name, value in losses.items():
            if not math.isfinite(value):
                raise Diverged(f"the loss '{name}' became {value} at step {self.done + 1}")
        if not math.isfinite(slope):
            whose = f" of {self.player.name}" if self.named else ""
            raise Diverged(f"the gradient{whose} became {slope} at step {self.done + 1}")
        self.player.optimizer.step()
        return losses


def weighted(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """sum_k weight_k * term_k; the names must be the same on both sides."""
    if terms.keys() != weights.keys():
        raise ValueError(
            f"the objective returned {sorted(terms)}, the recipe weights {sorted(weights)}"
        )
    return torch.stack([weight * terms[name].float() for name, weight in weights.items()]).sum()


def freeze_batchnorm(net: nn.Module) -> None:
    """Let norms use the statistics that they have, and not those of the batch."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


@torch.no_grad()
def update_ema(ema: nn.Module, net: nn.Module, decay: float) -> None:
    """ema <- decay * ema + (1 - decay) * net, for weights and running statistics."""
    for mean, value in zip(ema.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _check(learning: Learning, steps: int | None, seconds: float | None, parts: int | None) -> None:
    names = [player.name for player in learning.players]
    if len(set(names)) < len(names):
        raise ValueError(f"players must have names of their own, got {names}")
    if steps is None and seconds is None:
        raise ValueError("give steps, seconds or both")
    if seconds is not None and not seconds > 0:
        raise UserError(f"more than 0 is expected, got {seconds:g}", parameter="seconds")
    for parameter, value in (("steps", steps), ("parts", parts)):
        if value is not None and value < 1:
            raise UserError(f"at least 1 is expected, got {value}", parameter=parameter)


def _trained(player: Player) -> list[nn.Parameter]:
    """What the optimizer moves."""
    groups = player.optimizer.param_groups
    return [p for group in groups for p in group["params"] if p.requires_grad]


def _set_rate(player: Player, base: list[float], factor: float) -> None:
    for group, lr in zip(player.optimizer.param_groups, base, strict=True):
        group["lr"] = lr * factor


@contextmanager
def _statistics_kept_if_diverged(objective: nn.Module) -> Iterator[None]:
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
