"""The turns of a player: terms, gradient and step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ssl_restore import rng
from ssl_restore.device import autocast
from ssl_restore.errors import UserError
from ssl_restore.training import parts as side
from ssl_restore.training.group import mean_over_ranks, rank, synchronised, world
from ssl_restore.training.optimizers import warm_up_cosine
from ssl_restore.types import Batch, Learning


class Diverged(UserError):
    """A loss or gradient is not finite.  The networks are as they were before the player's turn."""


@dataclass(frozen=True)
class Part:
    """A part of a batch, with the random numbers of its objective."""

    batch: Batch
    generator: torch.Generator

    def at(self, progress: float) -> Part:
        """The same at another share of the run, which a clock may not tell ahead."""
        return replace(self, batch=replace(self.batch, progress=progress))


class Turns:
    """A player while `fit` runs.

    Args:
        learning: What is run.
        number: Of the player in it; names the stream of its random numbers.
        seed: Of that stream.
        precision: As of `device.autocast`.
    """

    def __init__(self, learning: Learning, number: int, *, seed: int, precision: str) -> None:
        self.player = learning.players[number]
        self.groups = self.player.optimizer.param_groups
        self.base_lr = [float(group["lr"]) for group in self.groups]
        self.parameters = [p for g in self.groups for p in g["params"] if p.requires_grad]
        self.device = self.parameters[0].device
        self.lr_floor = learning.lr_floor
        self.stream, self.seed, self.precision = f"objective {number}", seed, precision
        several = len(learning.players) > 1
        self.named = f"{self.player.name}." if several else ""  # stands before the terms
        self.replicas: side.Replicas | None = None
        self.synchronised_terms = synchronised(self._terms, self.parameters)

    @property
    def lr(self) -> float:
        """Learning rate of the first parameters, now."""
        return float(self.groups[0]["lr"])

    def parts(self, batch: Batch, step: int, count: int) -> list[Part]:
        """The batch of a step, prepared, in so many parts, each with its random numbers."""
        objective, number = self.player.objective, step * world() + rank()
        count = side.parts_of(objective, batch, count)
        generator = rng.derive(self.seed, self.stream, number)
        if hasattr(objective, "prepare"):
            with torch.no_grad(), autocast(self.device, self.precision), side.one_thread(count > 1):
                batch = objective.prepare(batch, generator)  # type: ignore[operator]
        if count == 1:
            return [Part(batch, generator)]
        return [
            Part(part, rng.derive(self.seed, f"{self.stream}/{place}", number))
            for place, part in enumerate(batch.split(count))
        ]

    def take(
        self,
        parts: list[Part],
        step: int,
        progress: float,
        workers: side.Workers,
        meanwhile: Callable[[], None] | None = None,
    ) -> dict[str, float]:
        """Lower the objective by a step, computed in these parts of the batch; terms by name.

        `meanwhile` begins other work where there is a core for it: beside the gradient where that
        is computed whole, beside the step of the optimizer where parts have taken all cores.
        """
        schedule = self.player.schedule
        factor = (
            warm_up_cosine(step, progress, self.lr_floor)
            if schedule is None
            else schedule(step, progress)
        )
        for group, lr in zip(self.groups, self.base_lr, strict=True):
            group["lr"] = lr * factor
        parts = [part.at(progress) for part in parts]
        begin = meanwhile or (lambda: None)
        if len(parts) > 1:
            return self._split(parts, step, workers, begin)
        begin()
        return self._whole(parts[0], step)

    def _whole(self, part: Part, step: int) -> dict[str, float]:
        objective = self.player.objective
        with _statistics_kept_if_diverged(objective):
            terms, total = self.synchronised_terms(objective, part)
            self.player.optimizer.zero_grad(set_to_none=True)
            total.backward()
            return self._step(terms, step)

    def _split(
        self, parts: list[Part], step: int, workers: side.Workers, begin: Callable[[], None]
    ) -> dict[str, float]:
        if self.replicas is None or len(self.replicas.copies) != len(parts):
            with autocast(self.device, self.precision):
                cast = torch.is_autocast_enabled(self.device.type)
            dtype = torch.bfloat16 if cast else None
            self.replicas = side.Replicas(self.player.objective, len(parts), dtype)
        replicas = self.replicas
        copies, size = replicas.refresh(), sum(part.batch.size for part in parts)
        shares = [part.batch.size / size for part in parts]

        def compute(number: int) -> tuple[Tensor, list[Tensor | None]]:
            terms, total = self._terms(copies[number], parts[number])
            return terms, replicas.gradients(shares[number] * total, self.parameters)

        terms, gradients = zip(*workers.each(compute, len(parts), begin), strict=True)
        side.add_gradients(self.parameters, gradients)
        losses = self._step(side.weighted_sum(terms, shares, terms[0]), step)
        replicas.merge(shares)
        return losses

    def _terms(self, objective: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        """Terms (T,) in the order of the weights, and the sum that is lowered."""
        with autocast(self.device, self.precision), _normalised():
            terms = objective(part.batch, part.generator)
        total = weighted(terms, self.player.weights)
        return torch.stack([terms[name].detach().float() for name in self.player.weights]), total

    def _step(self, terms: Tensor, step: int) -> dict[str, float]:
        """Move the parameters by their gradients, unless something is not finite."""
        norm = nn.utils.clip_grad_norm_(self.parameters, self.player.largest_gradient)
        measured = torch.cat([terms, norm.view(1).to(terms)])
        if world() > 1:  # what is not finite on one rank is so in the mean: all stop together
            mean_over_ranks([measured, *side.running_statistics(self.player.objective)])
        *values, slope = measured.tolist()  # the one transfer
        losses = dict(zip((f"{self.named}{k}" for k in self.player.weights), values, strict=True))
        for name, value in losses.items():
            if not math.isfinite(value):
                raise Diverged(f"the loss '{name}' became {value} at step {step + 1}")
        if not math.isfinite(slope):
            whose = f" of {self.player.name}" if self.named else ""
            raise Diverged(f"the gradient{whose} became {slope} at step {step + 1}")
        self.player.optimizer.step()
        return losses


def weighted(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """sum_k weight_k * term_k; the names must be the same on both sides."""
    if terms.keys() != weights.keys():
        raise ValueError(
            f"the objective returned {sorted(terms)}, the recipe weights {sorted(weights)}"
        )
    return torch.stack([weight * terms[name].float() for name, weight in weights.items()]).sum()


@contextmanager
def _normalised() -> Iterator[None]:
    """UserError where a batch holds too little for the statistics of a layer."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UserError(
            "one patch so small cannot be normalised; set a `batch` of 2 or more, or a larger "
            "`patch`", parameter="settings",
        ) from error  # fmt: skip


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
