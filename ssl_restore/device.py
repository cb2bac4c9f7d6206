"""Where to compute, and in which precision."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import torch
import torch.distributed
from torch import nn

from ssl_restore.errors import UserError


def choose(name: str = "auto") -> torch.device:
    """`auto` takes CUDA where there is one, else the CPU; other names are torch's (`cuda:1`)."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(
            f"{name!r} is unknown; use auto, cpu, cuda or cuda:N", parameter="device"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"{name}: this torch sees no CUDA device; use cpu", parameter="device")
    try:
        torch.ones(1, device=device).item()
    except Exception as error:  # each kind of device that is not there fails in its own way
        raise UserError(
            f"{name}: not a device of this machine; use cpu", parameter="device"
        ) from error
    return device


def start(name: str = "auto") -> torch.device:
    """`choose`, and under torchrun also join the group: one process a device (NCCL, else gloo)."""
    if "LOCAL_RANK" not in os.environ:
        return choose(name)
    local = int(os.environ["LOCAL_RANK"])
    if name == "auto" and torch.cuda.is_available():
        name = f"cuda:{local}"
        torch.cuda.set_device(local)
    device = choose(name)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def has_fast_bfloat16(device: torch.device) -> bool:
    """True where matrix units multiply bfloat16: CUDA since Ampere, x86 with AMX or AVX512-BF16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()  # it may be kept from using them
    if not re.search("ALL|DEFAULT|BF16|FP16|AMX|AVX10", allowed):
        return False
    return device.type == "cpu" and any(
        hasattr(torch.cpu, probe) and getattr(torch.cpu, probe)() for probe in probes
    )


def autocast(device: torch.device, precision: str = "auto") -> AbstractContextManager[object]:
    """Convolutions in bfloat16: `auto` (where it is fast), `bf16` always, `fp32` never."""
    if precision not in {"auto", "bf16", "fp32"}:
        raise UserError(f"{precision!r} is unknown; use auto, bf16 or fp32", parameter="precision")
    enabled = precision == "bf16" or (precision == "auto" and has_fast_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


Net = TypeVar("Net", bound=nn.Module)


def place(net: Net, device: torch.device) -> Net:
    """The network itself, moved to the device, its convolutions in channels-last layout."""
    net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


@contextmanager
def thread_pool(workers: int, *, each: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """A pool of `workers` threads for CPU work side by side, `each` with so many torch threads.

    Without `each` there are no more workers than torch has threads, and they share these:
    convolutions split finer than a picture or a large tile waste time on waiting for each other
    (benchmarks/EXPERIMENTS.md). Work that has not begun when the block is left is dropped.
    """
    threads = torch.get_num_threads()
    if each is None:
        workers = max(1, min(workers, threads))
        each = threads // workers
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(each,)) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)  # of threads that are started from now on


def out_of_memory(error: Exception) -> bool:
    """torch and its oneDNN report a full main memory as a plain RuntimeError."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    words = ("allocate memory", "could not create a memory", "could not create a primitive")
    return isinstance(error, kinds) or any(part in str(error) for part in words)
