"""Restorers on ordinary processors: torch, ONNX Runtime and integers of 8 bits, in turns.

    python benchmarks/processors.py
    python benchmarks/processors.py --plain --mpixel 0.15 2 12 --threads 2

Times are of the network alone, in tiles, on a picture of so many megapixels in memory; the least of
--rounds, in which all take turns.  --plain lets the kernels of torch use no more than AVX2, as on
processors without AVX-512; ONNX Runtime cannot be told so.  The peer is the layers of PReNet (Ren
et al., "Progressive image deraining networks: a better and simpler baseline", CVPR 2019: six stages
of an LSTM and five residual blocks of 32 channels at full size), untrained, for time alone.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore import device
from ssl_restore.inference import export
from ssl_restore.inference.int8 import with_integers
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.tiles import restore
from ssl_restore.restorer import Restorer

PLAIN = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
WIDTH, STAGES, BLOCKS = 32, 6, 5
Timed = Callable[[np.ndarray], object]


class PReNetLayers(Restorer):
    """image (B, 3, H, W) -> the same shape; weights as they are drawn."""

    stride, reach = 1, STAGES * (2 * BLOCKS + 3)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(6, WIDTH, 3, padding=1)
        self.gates = nn.Conv2d(2 * WIDTH, 4 * WIDTH, 3, padding=1)
        self.pairs = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(),
                nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(),
            )
            for _ in range(BLOCKS)
        )  # fmt: skip
        self.last = nn.Conv2d(WIDTH, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        found = image
        hidden = cell = image.new_zeros(len(image), WIDTH, *image.shape[2:])
        for _ in range(STAGES):
            x = F.relu(self.first(torch.cat([image, found], dim=1)))
            i, f, g, o = self.gates(torch.cat([x, hidden], dim=1)).chunk(4, dim=1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            x = hidden = o.sigmoid() * cell.tanh()
            for pair in self.pairs:
                x = F.relu(pair(x) + x)
            found = self.last(x)
        return found


class InRuntime(Restorer):
    """The same model in ONNX Runtime."""

    def __init__(self, restorer: Restorer, threads: int) -> None:
        super().__init__()
        import onnxruntime  # noqa: PLC0415

        self.stride, self.reach = restorer.stride, restorer.reach
        self.place = nn.Parameter(torch.zeros(1))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            export.export(restorer, path)
            self.session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )

    def forward(self, image: Tensor) -> Tensor:
        given = image.float().contiguous(memory_format=torch.contiguous_format).numpy()
        return torch.from_numpy(self.session.run(None, {"input": given})[0])


def methods(tasks: Sequence[str], threads: int, runtime: bool) -> dict[str, tuple[Restorer, str]]:
    found: dict[str, tuple[Restorer, str]] = {}
    for task in tasks:
        restorer = load_restorer(None, torch.device("cpu"), task=task).core
        found[f"{task}, fp32"] = restorer, "fp32"
        if device.has_fast_bfloat16(torch.device("cpu")):
            found[f"{task}, bf16"] = restorer, "bf16"
        found[f"{task}, int8"] = with_integers(restorer), "fp32"
        if runtime:
            found[f"{task}, ONNX Runtime"] = InRuntime(restorer, threads), "fp32"
    found["PReNet's layers, fp32"] = PReNetLayers().eval(), "fp32"
    return found


def picture(mpixel: float) -> np.ndarray:
    height = round(math.sqrt(mpixel * 1e6 / 1.5))
    draws = np.random.default_rng(0)
    return draws.integers(0, 256, (height, round(1.5 * height), 3), np.uint8)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--mpixel", type=float, nargs="+", default=[0.1536])
    parser.add_argument("--tasks", nargs="+", default=["derain", "denoise"])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--plain", action="store_true", help="AVX2 and float32.")
    parser.add_argument("--peer-up-to", type=float, default=1, help="Mpixel.")
    given = parser.parse_args(arguments)
    if given.plain and any(os.environ.get(name) != value for name, value in PLAIN.items()):
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **PLAIN})  # read when torch starts
    torch.set_num_threads(given.threads)
    known = methods(given.tasks, given.threads, runtime=not given.plain)
    for mpixel in given.mpixel:
        pixels = picture(mpixel)
        seconds: dict[str, list[float]] = {}
        for _ in range(given.rounds):
            for name, (restorer, precision) in known.items():
                if mpixel > given.peer_up_to and name.startswith("PReNet"):
                    continue
                start, spent = time.perf_counter(), time.process_time()
                restore(restorer, pixels, precision=precision)
                wall, cpu = time.perf_counter() - start, time.process_time() - spent
                seconds.setdefault(name, []).append(wall)
                seconds.setdefault(f"{name} (cpu)", []).append(cpu)
        print(f"{mpixel:g} Mpixel, {given.threads} threads")
        for name in known:
            if name in seconds:
                wall, cpu = min(seconds[name]), min(seconds[f"{name} (cpu)"])
                print(f"{name:24} {1e3 * wall:9.1f} ms {mpixel / wall:7.2f} Mpixel/s   "
                      f"{1e3 * cpu:9.1f} ms of the processor")  # fmt: skip


if __name__ == "__main__":
    main()
