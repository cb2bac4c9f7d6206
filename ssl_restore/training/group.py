"""Several processes that train together, one a device, as torchrun starts them.

    gradient = mean over processes of the gradient of each one's batch

The batches are of the same size, so this is the gradient of all of them as one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


def rank() -> int:
    """Number of this process under torchrun, 0 without."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Number of processes under torchrun, 1 without."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Wait until all processes are here."""
    if world() > 1:
        dist.barrier()


def of_leader(value: float, device: torch.device) -> float:
    """The value on rank 0: clocks differ, and all ranks must take and stop at the same step."""
    if world() == 1:
        return value
    shared = torch.tensor(value, device=device)
    dist.broadcast(shared, src=0)
    return shared.item()


def any_rank(value: bool, device: torch.device) -> bool:
    """Whether it holds on one of them: Ctrl-C comes to each at another step, or to one alone."""
    if world() == 1:
        return value
    shared = torch.tensor(float(value), device=device)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return shared.item() > 0


@torch.no_grad()
def mean_over_ranks(values: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, all in one transfer."""
    values = list(values)
    if world() == 1 or not values:
        return
    joined = torch.cat([value.flatten() for value in values])
    dist.all_reduce(joined)
    joined.div_(world())
    for value, mean in zip(values, joined.split([v.numel() for v in values]), strict=True):
        value.copy_(mean.view_as(value))


class _Synchronised(nn.Module):
    """What DistributedDataParallel sees of a player: the parameters that it moves, and these alone.

    Its objective also holds networks that rest in its turn, or belong to others, and buffers.
    """

    def __init__(self, compute: Callable[..., object], parameters: Sequence[nn.Parameter]) -> None:
        super().__init__()
        self.compute = compute
        self.moved = nn.ParameterList(parameters)

    def forward(self, *arguments: object) -> object:
        return self.compute(*arguments)


def synchronised(compute: Callable[..., T], parameters: Sequence[nn.Parameter]) -> Callable[..., T]:
    """`compute`, in several processes such that the backward pass of what it returns averages the
    gradients of these parameters over all of them, in buckets, while it runs.

    A parameter that no process has used keeps no gradient; one that some have not used has none
    there to add. All must call it, and pass backward, equally often.
    """
    if world() == 1:
        return compute
    return DistributedDataParallel(
        _Synchronised(compute, parameters), find_unused_parameters=True,
        gradient_as_bucket_view=True,
    )  # fmt: skip
