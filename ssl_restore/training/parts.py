"""A batch in parts that are computed side by side, one thread each.

    gradient = sum_k gradient of n_k / n * loss of part k,      n_k pictures of n

Threads inside an operation wait for one another hundreds of times a step, and where another process
takes a core, each waits for the slowest (benchmarks/EXPERIMENTS.md). Parts meet once a step. Each
has random numbers of its own, and norms in training mode take the statistics of their part (ghost
batch norm); running ones are averaged. The result depends on the number of parts, not on that of
the threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ssl_restore.device import thread_pool
from ssl_restore.types import Batch

PARTS = 2  # on a CPU
SMALLEST_PART = 2  # pictures, for statistics of norms and rain that moves between pictures
T = TypeVar("T")


def usual_parts(size: int, device: torch.device) -> int:
    """Parts of a batch of so many pictures, unless said otherwise."""
    return PARTS if device.type == "cpu" and size >= PARTS * SMALLEST_PART else 1


def parts_of(objective: nn.Module, batch: Batch, parts: int) -> int:
    """As many as asked, at most one a picture; 1 for what needs the whole batch."""
    whole = any(getattr(module, "whole_batch", False) for module in objective.modules())
    return 1 if whole else max(1, min(parts, batch.size))


@dataclass(frozen=True)
class Workers:
    """Threads that compute parts; none where they are computed in turn."""

    pool: Executor | None = None
    count: int = 1

    def each(
        self, compute: Callable[[int], T], parts: int, spare: Callable[[], None] = lambda: None
    ) -> list[T]:
        """compute(0), compute(1), ...; in the order of the parts, whichever ends first.

        `spare` is called as soon as there is a core for something else.
        """
        if self.pool is None:
            spare()
            return [compute(number) for number in range(parts)]

        def apart(number: int) -> T:
            torch.set_autocast_cache_enabled(False)  # it holds graphs, and is one for all threads
            return compute(number)

        futures = [self.pool.submit(apart, number) for number in range(parts)]
        waiting = set(futures)
        while len(waiting) >= self.count:
            _, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        spare()
        wait(waiting)  # all have ended before an error of one is raised
        return [future.result() for future in futures]


@contextmanager
def side_by_side(parts: int) -> Iterator[Workers]:
    """Threads for so many parts, no more than torch uses now."""
    count = min(parts, torch.get_num_threads())
    if count < 2:
        yield Workers()
        return
    with thread_pool(count, each=1) as pool:
        yield Workers(pool, count)


class Ahead(Generic[T]):
    """`draw`(step, progress), begun before it is asked for where there is a pool."""

    def __init__(self, draw: Callable[[int, float], T], pool: Executor | None) -> None:
        self.draw, self.pool = draw, pool
        self.waiting: dict[int, Future[T]] = {}

    def begin(self, step: int, progress: float) -> None:
        """Let the pool draw this step, once."""
        if self.pool is not None and step not in self.waiting:
            self.waiting[step] = self.pool.submit(self.draw, step, progress)

    def take(self, step: int, progress: float) -> T:
        """What was drawn for this step, or is now."""
        begun = self.waiting.pop(step, None)
        return self.draw(step, progress) if begun is None else begun.result()


@contextmanager
def drawing(draw: Callable[[int, float], T], *, ahead: bool) -> Iterator[Ahead[T]]:
    """With a thread of its own, where it is to be ahead."""
    if not ahead:
        yield Ahead(draw, None)
        return
    with thread_pool(1, each=1) as pool:
        yield Ahead(draw, pool)


@contextmanager
def one_thread(wanted: bool) -> Iterator[None]:
    """Operations of this thread use no others while the block runs."""
    before = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if wanted:
            torch.set_num_threads(before)


class Replicas:
    """Copies of an objective with the same weights, but running statistics of their own.

    Cheap, and made once: of norms in training mode the statistics are copied, all else is shared.
    The tree of modules and their modes must stay as they are; what a forward pass assigns to an
    attribute is lost.

    Args:
        objective: What is copied.
        count: How many copies.
    """

    def __init__(self, objective: nn.Module, count: int) -> None:
        self.originals = list(objective.modules())
        self.copies = [_replica(objective, {}) for _ in range(count)]
        self._modules = [list(copy.modules()) for copy in self.copies]
        self._own = [[_own_parts(module) for module in modules] for modules in self._modules]
        self._norms = [n for n, module in enumerate(self.originals) if _moves(module)]

    @torch.no_grad()
    def refresh(self) -> list[nn.Module]:
        """The copies, with the attributes and statistics that the objective has now."""
        for modules, own in zip(self._modules, self._own, strict=True):
            for module, original, parts in zip(modules, self.originals, own, strict=True):
                module.__dict__.update(original.__dict__)
                module.__dict__.update(parts)
            for number in self._norms:
                mine, theirs = modules[number]._buffers, self.originals[number]._buffers
                for name, value in theirs.items():
                    if value is not None:
                        mine[name].copy_(value)  # type: ignore[union-attr]
        return self.copies

    @torch.no_grad()
    def merge(self, shares: Sequence[float]) -> None:
        """Put the mean of the running statistics of the copies, by their shares, into the norms."""
        for number in self._norms:
            norm = self.originals[number]._buffers
            parts = [modules[number]._buffers for modules in self._modules]
            counts = [one["num_batches_tracked"] for one in (norm, parts[0])]
            if int(counts[0]) == int(counts[1]):  # type: ignore[arg-type]
                continue  # it was not asked, and stays as it is to the bit
            for name, value in norm.items():
                assert value is not None
                of_parts = [part[name] for part in parts]
                if value.is_floating_point():
                    value.copy_(weighted_sum(of_parts, shares, value))
                else:
                    value.copy_(of_parts[0])  # type: ignore[arg-type]


def _moves(module: nn.Module) -> bool:
    """Whether a forward pass changes running statistics."""
    return isinstance(module, _NormBase) and module.training and module.track_running_stats


def _replica(module: nn.Module, made: dict[int, nn.Module]) -> nn.Module:
    if id(module) not in made:
        copied: nn.Module = object.__new__(type(module))
        made[id(module)] = copied
        copied.__dict__ = {
            **module.__dict__,
            "_parameters": dict(module._parameters),  # `functional_call` exchanges what is in there
            "_buffers": {
                name: value.clone() if _moves(module) and value is not None else value
                for name, value in module._buffers.items()
            },
            "_modules": {},
        }
        for name, child in module._modules.items():
            copied._modules[name] = None if child is None else _replica(child, made)
    return made[id(module)]


def _own_parts(module: nn.Module) -> dict[str, object]:
    return {name: module.__dict__[name] for name in ("_parameters", "_buffers", "_modules")}


@torch.no_grad()
def add_gradients(
    parameters: Sequence[nn.Parameter], gradients: Sequence[Sequence[Tensor | None]]
) -> None:
    """Set the gradient of each parameter to the sum over parts, in their order."""
    reached = [
        (parameter, [torch.zeros_like(parameter) if one is None else one for one in of_parts])
        for parameter, of_parts in zip(parameters, zip(*gradients, strict=True), strict=True)
        if any(one is not None for one in of_parts)
    ]
    for parameter in parameters:
        parameter.grad = None
    if not reached:
        return
    first, second, *others = zip(*(of_parts for _, of_parts in reached), strict=True)
    totals = torch._foreach_add(first, second)
    for other in others:
        torch._foreach_add_(totals, other)
    for (parameter, _), total in zip(reached, totals, strict=True):
        same = total.stride() == parameter.stride()
        parameter.grad = total if same else torch.empty_like(parameter).copy_(total)


def weighted_sum(parts: Sequence[Tensor | None], shares: Sequence[float], like: Tensor) -> Tensor:
    """sum_k share_k part_k, a missing part counting nothing, laid out as `like`."""
    total = torch.zeros_like(like)
    for part, share in zip(parts, shares, strict=True):
        if part is not None:
            total.add_(part, alpha=share)
    return total.detach()
