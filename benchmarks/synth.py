"""Speed of rendering rain beside public augmentors, in one run, on this machine.

    python benchmarks/synth.py

Prints Mpixel/s for pictures in memory, each call drawing new rain: with one core, by processor
time, and with two, by the clock, two pictures (or batches) side by side in two threads. The picture
is in the form that the method takes: float32 (B, 3, H, W) for this package and kornia, 8-bit
(H, W, 3) for albumentations and imgaug, which render one picture at a time. Each figure is the
median of several rounds in which all take turns. Peers that are not installed are named and left
out. Other work on the machine slows the figures for two cores down, and those for one hardly.
"""

from __future__ import annotations

import importlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np
import torch

from degradations.rainfall import Rainfall
from degradations.types import Degradation
from ssl_restore import device
from ssl_restore.synthesis.presets import PRESETS

ROUNDS = 5
SIZES = ((512, 512), (1080, 1920))

Call = Callable[[], object]
Method = Callable[[int, int, int], Call]  # (height, width, seed) -> one call


def own(prior: Degradation, batch: int) -> Method:
    def method(height: int, width: int, seed: int) -> Call:
        generator = torch.Generator().manual_seed(seed)
        images = torch.rand((batch, 3, height, width), generator=generator)
        return lambda: prior.apply(images, prior.sample((batch, 3, height, width), generator))

    return method


def pixels(height: int, width: int, seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def of_albumentations(library: Any) -> Iterator[tuple[str, int, Method]]:
    def method(height: int, width: int, seed: int) -> Call:
        rain, image = library.RandomRain(p=1), pixels(height, width, seed)
        return lambda: rain(image=image)

    yield "RandomRain", 1, method


def of_imgaug(library: Any) -> Iterator[tuple[str, int, Method]]:
    def method(height: int, width: int, seed: int) -> Call:
        rain, image = library.augmenters.Rain(seed=seed), pixels(height, width, seed)
        return lambda: rain(image=image)

    yield "Rain", 1, method


def of_kornia(library: Any) -> Iterator[tuple[str, int, Method]]:
    def batched(batch: int) -> Method:
        def method(height: int, width: int, seed: int) -> Call:
            generator = torch.Generator().manual_seed(seed)
            images = torch.rand((batch, 3, height, width), generator=generator)
            rain = library.augmentation.RandomRain(p=1)
            return lambda: rain(images)

        return method

    yield "RandomRain", 1, batched(1)
    yield "RandomRain, batch of 4", 4, batched(4)


PEERS = {"albumentations": of_albumentations, "imgaug": of_imgaug, "kornia": of_kornia}


def methods() -> Iterator[tuple[str, int, Method]]:
    """(name, pictures a call, method) of this package and of the peers that are installed."""
    moderate = PRESETS["moderate"]
    yield "add_rain, preset moderate", 1, own(moderate, 1)
    yield "add_rain, preset moderate, batch of 4", 4, own(moderate, 4)
    yield "add_rainfall", 1, own(Rainfall(), 1)
    if not hasattr(np, "sctypes"):  # gone since numpy 2, imgaug 0.4.0 looks for it
        np.sctypes = {  # type: ignore[attr-defined]
            kind: [np.dtype(f"{kind}{bits}").type for bits in (16, 32, 64)]
            for kind in ("float", "int", "uint")
        }
    for name, found in PEERS.items():
        try:
            library = importlib.import_module(name)
            shown = f"{name} {version(name)}"
        except ModuleNotFoundError as error:
            print(f"{name}: not here ({error}); `pip install {error.name}` adds it")
        except (ImportError, AttributeError) as error:
            print(f"{name}: not runnable: {type(error).__name__}: {error}")
        else:
            for title, batch, method in found(library):
                yield f"{shown} {title}", batch, method


def seconds(calls: list[Call], pool: Executor) -> float:
    """Of one call on this core, or of several side by side."""
    if len(calls) == 1:
        begun = time.process_time()
        calls[0]()
        return time.process_time() - begun
    begun = time.perf_counter()
    list(pool.map(lambda call: call(), calls))
    return time.perf_counter() - begun


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows = list(methods())
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, numpy {np.__version__}, "
          f"OpenCV {cv2.__version__}, median of {ROUNDS} rounds, Mpixel/s")  # fmt: skip
    columns = [(size, cores) for size in SIZES for cores in (1, 2)]
    heads = [f"{w}x{h}, {cores}" for (h, w), cores in columns]
    print(f"{'picture, cores':46}" + "".join(f"{head:>15}" for head in heads))
    speeds: dict[str, list[float]] = {name: [] for name, _, _ in rows}
    with device.thread_pool(2, each=1) as pool:
        for (height, width), cores in columns:
            calls = {
                name: [method(height, width, seed) for seed in range(cores)]
                for name, _, method in rows
            }
            taken: dict[str, list[float]] = {name: [] for name in calls}
            for _ in range(ROUNDS):
                for name, together in calls.items():
                    taken[name].append(seconds(together, pool))
            for name, batch, _ in rows:
                mega = cores * batch * height * width / 1e6
                speeds[name].append(mega / statistics.median(taken[name]))
    for name, row in speeds.items():
        print(f"{name:46}" + "".join(f"{speed:15.2f}" for speed in row))


if __name__ == "__main__":
    main()
