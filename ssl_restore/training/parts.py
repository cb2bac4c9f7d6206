"""A batch in parts that are computed side by side, one thread each.

    gradient = sum_k n_k / n * gradient of part k,      n_k pictures of n

Threads inside an operation wait for one another hundreds of times a step, and where another process
takes a core, each waits for the slowest (benchmarks/EXPERIMENTS.md). Parts meet once a step. Each
has random numbers of its own, and norms in training mode take the statistics of their part (ghost
batch norm); running ones are averaged. The result depends on the number of parts, not on that of
the threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TypeVar

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


@contextmanager
def side_by_side(parts: int) -> Iterator[Executor | None]:
    """Threads for so many parts; None where they had better be computed in turn."""
    workers = min(parts, torch.get_num_threads())
    if workers < 2:
        yield None
        return
    with thread_pool(workers, each=1) as pool:
        yield pool


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


def each(pool: Executor | None, compute: Callable[[int], T], parts: int) -> list[T]:
    """compute(0), compute(1), ...; in the order of the parts, whichever ends first."""
    if pool is None:
        return [compute(number) for number in range(parts)]

    def apart(number: int) -> T:
        torch.set_autocast_cache_enabled(False)  # it holds graphs, and is one for all threads
        return compute(number)

    futures = [pool.submit(apart, number) for number in range(parts)]
    for future in futures:
        future.exception()  # all have ended before an error of one is raised
    return [future.result() for future in futures]


def replica(module: nn.Module, made: dict[int, nn.Module] | None = None) -> nn.Module:
    """The same module with the same weights, but running statistics of its own.

    Cheap: of norms in training mode the statistics are copied, all else is shared. What a forward
    pass assigns to an attribute is lost.
    """
    made = {} if made is None else made
    if id(module) not in made:
        copied = object.__new__(type(module))
        made[id(module)] = copied
        moving = isinstance(module, _NormBase) and module.training
        copied.__dict__ = {
            **module.__dict__,
            "_parameters": dict(module._parameters),
            "_buffers": {
                name: value.clone() if moving and value is not None else value
                for name, value in module._buffers.items()
            },
        }
        copied.__dict__["_modules"] = {
            name: child if child is None else replica(child, made)
            for name, child in module._modules.items()
        }
    return made[id(module)]


@torch.no_grad()
def merge_statistics(
    objective: nn.Module, replicas: Sequence[nn.Module], shares: Sequence[float]
) -> None:
    """Put the mean of the running statistics of the replicas, by their shares, into the norms."""
    for norm, *copies in zip(
        objective.modules(), *(one.modules() for one in replicas), strict=True
    ):
        if not isinstance(norm, _NormBase) or norm.num_batches_tracked is None:
            continue
        if torch.equal(norm.num_batches_tracked, copies[0].num_batches_tracked):
            continue  # it was not asked, and stays as it is to the bit
        for name, value in norm._buffers.items():
            assert value is not None
            parts = [copy._buffers[name] for copy in copies]
            if value.is_floating_point():
                value.copy_(weighted_sum(parts, shares, value))
            else:
                value.copy_(parts[0])


def mean_gradients(
    parameters: Sequence[nn.Parameter],
    gradients: Sequence[Sequence[Tensor | None]],
    shares: Sequence[float],
) -> None:
    """Set the gradient of each parameter to the mean over parts, summed in their order."""
    for parameter, of_parts in zip(parameters, zip(*gradients, strict=True), strict=True):
        reached = any(part is not None for part in of_parts)
        parameter.grad = weighted_sum(of_parts, shares, parameter) if reached else None


def weighted_sum(parts: Sequence[Tensor | None], shares: Sequence[float], like: Tensor) -> Tensor:
    """sum_k share_k part_k, a missing part counting nothing, laid out as `like`."""
    total = torch.zeros_like(like)
    for part, share in zip(parts, shares, strict=True):
        if part is not None:
            total.add_(part, alpha=share)
    return total.detach()
