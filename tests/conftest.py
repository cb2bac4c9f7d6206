"""What several test files use: one thread, small pictures, and fresh processes."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

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
