"""What several test files use: one thread, small pictures, and fresh processes."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import socket
import sys
import time
from multiprocessing.connection import wait
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the workers: they wait for each other

import numpy as np
import pytest
import torch

from ssl_restore import device
from ssl_restore.io import images

# Tiny networks are slower on more threads; OMP_NUM_THREADS=2 asks for them all the same.
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def save_pictures(folder, count, *, size=(24, 32), seed=0):
    """`count` random PNGs of (height, width) in a new folder: smooth ramps with a little noise."""
    folder.mkdir(parents=True)
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / max(size)
    for index in range(count):
        slopes, base = draws.uniform(-90, 90, (2, 3)), draws.uniform(90, 160, 3)
        ramp = base + x[..., None] * slopes[0] + y[..., None] * slopes[1]
        noisy = (ramp + draws.normal(0, 6, ramp.shape)).clip(0, 255).astype(np.uint8)
        images.write(folder / f"{index}.png", images.Picture(noisy))
    return folder


@pytest.fixture(autouse=True)
def same_weights():
    """Networks that a test builds are the same in every run and on every worker."""
    torch.manual_seed(1)


@pytest.fixture
def pictures(tmp_path):
    """`pictures("rainy", 3)` makes a folder of three pictures and returns it."""

    def make(name, count=3, **keywords):
        return save_pictures(tmp_path / name, count, **keywords)

    return make


@pytest.fixture
def script(monkeypatch):
    """`script("speed")` imports benchmarks/speed.py, for one test."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    imported = []

    def read(name):
        imported.append(name)
        return importlib.import_module(name)

    yield read
    for name in imported:
        sys.modules.pop(name, None)


@pytest.fixture(scope="session")
def processes():
    """Fresh processes forked from a server that has imported torch, and what its optimizers import
    when the first one is made: a start costs no 3 seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["pytest", "torch._dynamo", "ssl_restore.training.session", "ssl_restore_cli.main"]
    )

    def start(target, *arguments):
        process = context.Process(target=target, args=arguments)
        process.start()
        return process

    return start


def as_rank(rank, port, target, folder):
    """One of two processes, as torchrun starts them."""
    torch.set_num_threads(1)
    os.environ.update(RANK=f"{rank}", LOCAL_RANK=f"{rank}", WORLD_SIZE="2",
                      MASTER_ADDR="127.0.0.1", MASTER_PORT=f"{port}")  # fmt: skip
    found = target(rank, device.start("cpu"), folder)
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="session")
def two_ranks(processes):
    """`two_ranks(target, folder)` calls target(rank, device, folder) in two processes of one group,
    and returns what each gave."""

    def call(target, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        both = [processes(as_rank, rank, port, target, folder) for rank in range(2)]
        running, ends = both, time.monotonic() + 300
        while running and not any(process.exitcode for process in both) and time.monotonic() < ends:
            wait([process.sentinel for process in running], timeout=1)
            running = [process for process in both if process.exitcode is None]
        for process in both:
            process.kill()  # the other waits for one that failed
            process.join()
        assert [process.exitcode for process in both] == [0, 0]
        return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]

    return call
