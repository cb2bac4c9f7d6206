"""A batch in parts that are computed side by side, one thread each.

    gradient = sum_k gradient of n_k / n * loss of part k,      n_k pictures of n

Threads inside an operation wait for one another hundreds of times a step, and where another process
takes a core, each waits for the slowest (benchmarks/EXPERIMENTS.md). Parts meet once a step. Each
has random numbers of its own, and norms in training mode take the statistics of their part (ghost
batch norm); running ones are averaged. What autocast would cast in each part and at each use is
cast once a step. The result depends on the number of parts, not on that of the threads.

Several processes (`group`) have a batch each, and it stays whole.
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
from ssl_restore.training.group import world
from ssl_restore.types import Batch

PARTS = 2  # on a CPU
CAST = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)  # layers whose weights autocast casts
SMALLEST_PART = 2  # pictures, for statistics of norms and rain that moves between pictures
T = TypeVar("T")


def usual_parts(size: int, device: torch.device) -> int:
    """Parts of a batch of so many pictures, unless said otherwise."""
    return PARTS if device.type == "cpu" and size >= PARTS * SMALLEST_PART else 1


def parts_of(objective: nn.Module, batch: Batch, parts: int) -> int:
    """As many as asked, at most one a picture; 1 for what needs the whole batch, and in each of
    several processes, which are parts themselves."""
    whole = world() > 1 or any(
        getattr(module, "whole_batch", False) for module in objective.modules()
    )
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
        dtype: Of the weights of convolutions in the copies; None: as they are.
    """

    def __init__(self, objective: nn.Module, count: int, dtype: torch.dtype | None = None) -> None:
        self.originals = list(objective.modules())
        self.copies = [_replica(objective, {}) for _ in range(count)]
        self._modules = [list(copy.modules()) for copy in self.copies]
        self._own = [[_own_parts(module) for module in modules] for modules in self._modules]
        self._norms = [n for n, module in enumerate(self.originals) if _moves(module)]
        self.cast: dict[Tensor, Tensor] = {}  # of a weight of the original
        if dtype is not None:
            self._cast(dtype)

    def _cast(self, dtype: torch.dtype) -> None:
        for number, module in enumerate(self.originals):
            if type(module) not in CAST:
                continue
            for name, weight in module._parameters.items():
                if weight is None or weight.dtype != torch.float32:
                    continue
                if weight not in self.cast:
                    copied = torch.empty_like(weight, dtype=dtype, requires_grad=False)
                    self.cast[weight] = copied.requires_grad_(weight.requires_grad)
                for modules in self._modules:
                    modules[number]._parameters[name] = self.cast[weight]  # type: ignore[assignment]

    @torch.no_grad()
    def refresh(self) -> list[nn.Module]:
        """The copies, with the attributes, statistics and weights that the objective has now."""
        for modules, own in zip(self._modules, self._own, strict=True):
            for module, original, parts in zip(modules, self.originals, own, strict=True):
                module.__dict__.update(original.__dict__)
                module.__dict__.update(parts)
        for modules in self._modules:
            _copy(self._statistics(modules), self._statistics(self.originals))
        _copy(list(self.cast.values()), list(self.cast))
        return self.copies

    def _statistics(self, modules: Sequence[nn.Module]) -> list[Tensor]:
        """What norms in training mode keep of the batches that they have had."""
        buffers = (modules[number]._buffers.values() for number in self._norms)
        return [value for values in buffers for value in values if value is not None]

    def gradients(self, loss: Tensor, weights: Sequence[Tensor]) -> list[Tensor | None]:
        """Of the loss of a copy, by weights of the original; None where it depends on none."""
        cast = [weight for weight in weights if weight in self.cast]
        sources = [*weights, *(self.cast[weight] for weight in cast)]
        found = torch.autograd.grad(loss, sources, allow_unused=True)
        by_weight = dict(zip(weights, found, strict=False))
        for weight, own in zip(cast, found[len(weights) :], strict=True):
            if own is not None:
                direct = by_weight[weight]  # of a use outside the layer
                by_weight[weight] = own.to(weight) if direct is None else direct + own
        return [by_weight[weight] for weight in weights]

    @torch.no_grad()
    def merge(self, shares: Sequence[float]) -> None:
        """Put the mean of the running statistics of the copies, by their shares, into the norms.

        A norm that was not asked has the same ones in every copy, and keeps them to the bit.
        """
        before = self._statistics(self.originals)
        of_copies = [self._statistics(modules) for modules in self._modules]
        real = [n for n, value in enumerate(before) if value.is_floating_point()]
        counts = [n for n, value in enumerate(before) if not value.is_floating_point()]
        if not real:
            return
        changes = [torch.zeros_like(before[n]) for n in real]
        for share, values in zip(shares, of_copies, strict=True):
            change = torch._foreach_sub([values[n] for n in real], [before[n] for n in real])
            torch._foreach_add_(changes, change, alpha=share)
        torch._foreach_add_([before[n] for n in real], changes)
        _copy([before[n] for n in counts], [of_copies[0][n] for n in counts])


def _copy(to: list[Tensor], source: list[Tensor]) -> None:
    if to:
        torch._foreach_copy_(to, source)


def _moves(module: nn.Module) -> bool:
    """Whether a forward pass changes running statistics."""
    return isinstance(module, _NormBase) and module.training and module.track_running_stats


def running_statistics(objective: nn.Module) -> list[Tensor]:
    """Those that a forward pass in training mode moves, of all norms that it holds."""
    norms = filter(_moves, objective.modules())
    buffers = (value for norm in norms for value in norm.buffers(recurse=False))
    return [value for value in buffers if value.is_floating_point()]


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
