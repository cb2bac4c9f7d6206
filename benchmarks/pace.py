"""Steps and pixels a second of this checkout beside another one, quiet and with a core kept busy.

    python benchmarks/pace.py ../old_checkout --plain
    python benchmarks/pace.py ../old_checkout --only fit --repeats 7
    python benchmarks/pace.py --recipes aecr derain_physics --batch 4 --patch 128

Both are driven by their command lines, each in its own `.venv`. Seconds of training are those of
their logs, from the tenth step on; of a larger folder a smaller one is subtracted, so that the
start does not count. Runs of both alternate; medians are given, and the spread. `--plain` lets the
kernels use no more than AVX2 and the default precision no bfloat16, as ordinary processors have it.
The busy core runs a loop of Python that is pinned to it.

With `--recipes` their steps are timed beside each other instead, in turns, on one thread.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ssl_restore import discover, rng
from ssl_restore.device import place, thread_pool
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.training import data
from ssl_restore.training.fit import Row, fit
from ssl_restore.training.material import bundled_photographs
from ssl_restore.types import Batch, Recipe

ROOT = Path(__file__).resolve().parents[1]
PLAIN = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
STEPS = (10, 50)
LARGE_PX = (2000, 3000)
FOLDERS = (4, 20)  # pictures of a small and of a larger folder
Timed = Callable[[], float]  # makes a run, gives its rate


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("other", type=Path, nargs="?", help="Another checkout, with its .venv.")
    parser.add_argument("--plain", action="store_true", help="AVX2 and float32.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=("fit", "derain"))
    parser.add_argument("--recipes", nargs="+", default=[], help="Time their steps.")
    parser.add_argument("--batch", type=int, default=4, help="Of --recipes.")
    parser.add_argument("--patch", type=int, default=128, help="Of --recipes.")
    options = parser.parse_args()
    if (options.other is None) is not bool(options.recipes):
        parser.error("give another checkout or --recipes")
    if options.plain:
        os.environ.update(PLAIN)
    precision = "fp32" if options.plain else "auto"
    if options.recipes:
        steps_of(options.recipes, options.batch, options.patch, precision, options.repeats)
        return
    checkouts = {"this": ROOT, "other": options.other.resolve()}
    print(f"{os.cpu_count()} cores, {'AVX2, float32' if options.plain else 'as they are'}")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        tasks = {}
        if options.only != "derain":
            tasks["fit, steps/s"] = {
                name: fitted(path, work / name, precision) for name, path in checkouts.items()
            }
        if options.only != "fit":
            write_pictures(work)
            for kind in ("folder", "large"):
                tasks[f"derain {kind}, Mpixel/s"] = {
                    name: derained(path, work, kind, precision) for name, path in checkouts.items()
                }
        for task, runs in tasks.items():
            measured(task, runs, options.repeats)
    if options.only != "derain":
        share_of_machine(plain=options.plain)


def measured(task: str, runs: dict[str, Timed], repeats: int) -> None:
    """Print the medians of a task, quiet and busy, and what part of the quiet rate is left."""
    quiet = alternated(runs, repeats)
    with busy_core():
        busy = alternated(runs, repeats)
    for name in runs:
        middle = [statistics.median(rates[name]) for rates in (quiet, busy)]
        spread = "  ".join(f"{min(r[name]):.3g} to {max(r[name]):.3g}" for r in (quiet, busy))
        print(
            f"{task:24} {name:6} quiet {middle[0]:.3g}  busy {middle[1]:.3g} "
            f"({middle[1] / middle[0]:.0%})   from {spread}",
            flush=True,
        )


def alternated(runs: dict[str, Timed], repeats: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(repeats):
        for name in sorted(runs, reverse=number % 2 == 1):
            rates[name].append(runs[name]())
    return rates


@contextmanager
def busy_core() -> Iterator[None]:
    """One core has another process on it while the block runs."""
    process = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    process.start()
    time.sleep(2)
    try:
        yield
    finally:
        process.kill()
        process.join()


def _spin() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    while True:
        pass


def steps_of(names: list[str], batch: int, patch: int, precision: str, repeats: int) -> None:
    """Print parameters and seconds of a step of recipes, all players, medians, one thread."""
    torch.set_num_threads(1)
    timed: dict[str, tuple[Recipe, Iterator[Row]]] = {}
    seconds: dict[str, list[float]] = {}
    for name in names:
        recipe = discover.builder("recipes", name)(batch=batch, patch=patch)
        for player in recipe.players:
            place(player.objective, torch.device("cpu"))
        pictures = data.load(images.find(bundled_photographs()), patch=patch)
        crops = data.patches(pictures, batch, patch, rng.derive(0, "x"), upright=True)
        given = Batch(crops, crops, warm=True)  # what comes first alone is over
        rows = fit(recipe, lambda *_, given=given: given, seed=0, steps=10**6, precision=precision,
                   parts=1)  # fmt: skip
        timed[name], seconds[name] = (recipe, rows), []
        next(rows)
    for number in range(repeats):
        for name in sorted(names, reverse=number % 2 == 1):
            begun = time.perf_counter()
            next(timed[name][1])
            seconds[name].append(time.perf_counter() - begun)
    print(f"{'recipe':20} {'network':10} parameters  s/step   from           {batch} x {patch} px")
    for name, (recipe, _) in timed.items():
        count = sum(weight.numel() for weight in recipe.restorer.parameters())
        middle, taken = statistics.median(seconds[name]), seconds[name]
        print(f"{name:20} {recipe.network:10} {count / 1e6:8.2f} M {middle:7.3f}   "
              f"{min(taken):.3f} to {max(taken):.3f}")  # fmt: skip


def command(checkout: Path, *words: object) -> float:
    """Seconds that a command of a checkout takes."""
    program = checkout / ".venv" / "bin" / "ssl-restore"
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    begun = time.perf_counter()
    done = subprocess.run(
        [program, *map(str, words)],
        cwd=checkout, env=own, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{program} {' '.join(map(str, words))}: {done.stderr}")
    return time.perf_counter() - begun


def fitted(checkout: Path, work: Path, precision: str) -> Timed:
    """Steps a second of the default recipe on the bundled photographs, taken for rainy ones."""
    rainy = work / "rainy"
    shutil.copytree(bundled_photographs(), rainy)

    def run() -> float:
        shutil.rmtree(work / "run", ignore_errors=True)
        command(
            checkout, "fit", "--images", rainy, "--no-calibrate", "--steps", STEPS[1],
            "--precision", precision, "-o", work / "run",
        )  # fmt: skip
        with (work / "run" / "log.csv").open(newline="") as file:
            seconds = {int(row["step"]): float(row["seconds"]) for row in csv.DictReader(file)}
        return (STEPS[1] - STEPS[0]) / (seconds[STEPS[1]] - seconds[STEPS[0]])

    return run


def write_pictures(work: Path) -> None:
    """Two folders of small pictures, and two of a large one: once and in two parts."""
    photos = [images.read(path).pixels for path in images.find(bundled_photographs())]
    for count in FOLDERS:
        (work / f"folder{count}").mkdir()
        for number in range(count):
            images.write(work / f"folder{count}" / f"{number}.png", Picture(photos[number % 8]))
    rows, columns = (-(-side // own) for side, own in zip(LARGE_PX, photos[0].shape, strict=False))
    whole = np.tile(photos[0], (rows, columns, 1))[: LARGE_PX[0], : LARGE_PX[1]]
    for number, part in enumerate((whole[: LARGE_PX[0] // 4], whole)):
        (work / f"large{number}").mkdir()
        images.write(work / f"large{number}" / "a.png", Picture(np.ascontiguousarray(part)))


def derained(checkout: Path, work: Path, kind: str, precision: str) -> Timed:
    """Million pixels a second of the built-in derainer."""
    names = [f"folder{count}" for count in FOLDERS] if kind == "folder" else ["large0", "large1"]

    def run() -> float:
        seconds, area = [], []
        for name in names:
            shutil.rmtree(work / "out", ignore_errors=True)
            seconds.append(
                command(checkout, "derain", work / name, work / "out", "--precision", precision)
            )
            shapes = [images.read(path).pixels.shape for path in images.find(work / name)]
            area.append(sum(height * width for height, width, _ in shapes))
        return (area[1] - area[0]) / (seconds[1] - seconds[0]) / 1e6

    return run


def share_of_machine(*, plain: bool) -> None:
    """FLOPs of a step of the default recipe, and what plain convolutions of its size reach."""
    environment = {**os.environ, **(PLAIN if plain else {})}
    words = [sys.executable, "-c", "import pace; pace.count_and_convolve()"]
    here = Path(__file__).parent
    subprocess.run(words, cwd=here, env=environment, check=True)


def count_and_convolve() -> None:
    """Print both, in this process."""
    recipe = discover.builder("recipes", "derain_unpaired")()
    place(recipe.players[0].objective, torch.device("cpu"))
    pictures = data.load(images.find(bundled_photographs()), patch=recipe.patch)
    crops = data.patches(pictures, recipe.batch, recipe.patch, rng.derive(0, "x"), upright=True)
    with FlopCounterMode(display=False) as counter:
        terms = recipe.players[0].objective(Batch(crops, crops), rng.derive(0, "y"))
        sum(terms.values()).backward()
    flops = counter.get_total_flops()
    rate = convolutions()
    print(
        f"a step has {flops / 1e9:.2f} GFLOP; 3 x 3 convolutions, one thread a core side by side, "
        f"reach {rate / 1e9:.0f} GFLOP/s: {rate / flops:.3g} steps/s at most"
    )


def convolutions(channels: int = 32, seconds: float = 2.0) -> float:
    """FLOP/s of plain convolutions of the finest level of the network, half a batch a thread."""
    layer = place(torch.nn.Conv2d(channels, channels, 3, padding=1), torch.device("cpu"))
    workers = torch.get_num_threads()

    @torch.no_grad()
    def repeat(_: int) -> int:
        image = torch.rand(4, channels, 32, 32).contiguous(memory_format=torch.channels_last)
        count, until = 0, time.perf_counter() + seconds
        while time.perf_counter() < until:
            layer(image)
            count += 1
        return count

    with thread_pool(workers, each=1) as pool:
        count = sum(pool.map(repeat, range(workers)))
    return count * 4 * 32 * 32 * channels * channels * 9 * 2 / seconds


if __name__ == "__main__":
    main()
