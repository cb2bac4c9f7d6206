"""Several processes that train together, one a device, as torchrun starts them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


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


def mean_over_ranks(values: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over all processes."""
    if world() == 1:
        return
    for value in values:
        dist.all_reduce(value)
        value.div_(world())
