"""What is lost when runs are killed and files are damaged: kills and mutations, counted.

    python benchmarks/faults.py --kills 200 --mutations 10000
    python benchmarks/faults.py --only checkpoint run.json --mutations 500

Kills: `fit`, `derain` of a folder and of a clip, and `synth-rain`, on small inputs with a tiny
network, get SIGKILL at a random moment and are started again until one ends. Lost is a file under a
final name that is not whole, a result that is not of the same bits as one of a run that nobody
killed, and a temporary file that stays.

Mutations: bytes of files are changed, cut out, repeated and cut off, and the files read in a child
process; clips are restored by the command line. Each must be read or refused in one line, in 10
seconds of its processor and 2 GB.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO
from unittest.mock import patch

import numpy as np
import small_clips
import torch
from damage import changed
from PIL import Image

from degradations.rain_like import MeasuredRain
from ssl_restore.calibration import haze, noise, rain_file
from ssl_restore.errors import UserError
from ssl_restore.io import formats, images, locks, manifest
from ssl_restore.io.clips import segments
from ssl_restore.io.files import PREFIX
from ssl_restore.io.picture import Picture
from ssl_restore.training import checkpoint, request, session
from ssl_restore.training.run import Run
from ssl_restore_cli.main import main as command

CPU = torch.device("cpu")
SECONDS, MEMORY_BYTES = 10, 2_000_000_000
FIT = ("--recipe", "derain_unpaired", "--from-scratch", "--no-calibrate", "--steps", "12",
       "--set", "width=4", "--set", "batch=2", "--set", "patch=16", "--device", "cpu")  # fmt: skip
OUTCOMES = ("read", "refused", "traceback", "long", "large", "crash")


def main() -> None:
    os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=60, help="In all.")
    parser.add_argument(
        "--mutations", type=int, default=1000, help="Of pictures; a fifth of each other kind."
    )
    parser.add_argument("--only", nargs="+", choices=(*RUNS, *READERS), help="Of these kinds.")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chosen = asked.only or (*RUNS, *READERS)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(folder)
        runs = [kind for kind in RUNS if kind in chosen]
        for kind in runs:
            print(kind, killed(kind, folder, asked.kills // len(runs), asked.seed), flush=True)
        for kind in READERS:
            if kind in chosen:
                count = asked.mutations if kind == "picture" else asked.mutations // 5
                found, examples = mutated(kind, folder, count, asked.seed)
                print(kind, {name: found[name] for name in OUTCOMES}, *examples, flush=True)


def make_inputs(folder: Path) -> None:
    """Small pictures of every format, and a trained run with all that it writes."""
    draws = np.random.default_rng(0)
    for kind, count in (("rainy", 6), ("photos", 6)):
        (folder / kind).mkdir()
        for number in range(count):
            ramp = np.mgrid[0:40, 0:48].sum(0)[..., None] * 2 + draws.normal(0, 9, (40, 48, 3))
            picture = Picture(ramp.clip(0, 255).astype(np.uint8))
            images.write(folder / kind / f"{number}.png", picture)
    (folder / "formats").mkdir()
    pixels = images.read(folder / "rainy" / "0.png").pixels[:24, :32]
    deep = pixels.astype(np.uint16) * 257
    for suffix in formats.WRITTEN:
        with suppress(UserError):  # of a format whose library is not there
            images.write(folder / "formats" / f"plain{suffix}", Picture(pixels))
    for suffix in (".png", ".tif"):
        images.write(folder / "formats" / f"deep{suffix}", Picture(deep))
    shown = Image.fromarray(pixels)
    shown.convert("P").save(folder / "formats" / "palette.png")
    shown.save(folder / "formats" / "progressive.jpg", progressive=True)
    for suffix in (".gif", ".jp2", ".ppm", ".tga", ".qoi"):
        shown.save(folder / "formats" / f"other{suffix}")
    images.write_pages(folder / "formats" / "pages.tif", iter([Picture(pixels)] * 2), 2)
    quietly(fit_call(folder, folder / "run"))
    row = rain_file.PictureRain("0.png", 1.0, MeasuredRain(), 1.0, 0.1, 0.2, 0.3)
    rain_file.RainCalibration((row,), ("1.png",)).write(folder / "rain.json")
    grain = noise.PictureNoise("0.png", 0.0, 0.1, 0.1, 0.0, 1.0, 0.0)
    noise.NoiseCalibration((grain,)).write(folder / "noise.json")
    haze.HazeCalibration((haze.PictureHaze(file="0.png"),)).write(folder / "haze.json")
    quietly(derain_call(folder, folder / "restored"))
    quietly(synth_call(folder, folder / "set"))
    small_clips.make_all(folder / "clips")
    (folder / "clips-out").mkdir()
    small_clips.make(folder / "long.mp4", 60, kind="walk.mp4")


def quietly(arguments: list[str], said: TextIO | None = None) -> int:
    """The exit code of the command line, where a run of `fit` is saved after every step, and a
    clip in pieces of a few frames."""
    nothing = io.TextIOWrapper(io.BytesIO())
    every_step = patch.object(session, "SAVE_EVERY_S", 0.0)
    small_pieces = patch.object(segments, "MOST", segments.LEAST)
    with every_step, small_pieces, redirect_stdout(nothing), redirect_stderr(said or nothing):
        try:
            command(arguments, prog_name="ssl-restore")
        except SystemExit as end:
            return int(end.code or 0)
    return 0


# --- kills --------------------------------------------------------------------------------------


def fit_call(folder: Path, out: Path) -> list[str]:
    if Run(out).exists():
        return ["fit", "--resume", str(out), "--device", "cpu"]
    return ["fit", "--images", f"{folder / 'rainy'}", "--clean", f"{folder / 'photos'}",
            "-o", str(out), *FIT]  # fmt: skip


def derain_call(folder: Path, out: Path) -> list[str]:
    weights = folder / "run" / "restorer.safetensors"
    return ["derain", f"{folder / 'rainy'}", str(out), "--weights", str(weights),
            "--precision", "fp32", "--skip-existing"]  # fmt: skip


def clip_call(folder: Path, out: Path) -> list[str]:
    out.mkdir(exist_ok=True)
    weights = folder / "run" / "restorer.safetensors"
    return ["derain", f"{folder / 'long.mp4'}", f"{out / 'long.mp4'}", "--weights", str(weights),
            "--precision", "fp32", "--skip-existing"]  # fmt: skip


def synth_call(folder: Path, out: Path) -> list[str]:
    return ["synth-rain", f"{folder / 'photos'}", str(out), "--workers", "2"]


RUNS: dict[str, Callable[[Path, Path], list[str]]] = {
    "fit": fit_call, "derain": derain_call, "clip": clip_call, "synth-rain": synth_call,
}  # fmt: skip


def killed(kind: str, folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill runs of a kind so often, each at a random moment, and count what was lost."""
    call, draws = RUNS[kind], random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ssl_restore.training.session", "ssl_restore_cli.main"])
    whole, out = folder / f"{kind}-whole", folder / f"{kind}-killed"

    def started(target: Path) -> multiprocessing.process.BaseProcess:
        process = context.Process(target=end_with, args=(call(folder, target),))
        process.start()
        return process

    start = time.monotonic()
    first = started(whole)
    first.join()
    length = time.monotonic() - start
    found = Counter(kills=0, half_written=0, other_bits=0, left_over=0, failed=0)
    found["failed"] += first.exitcode != 0
    while found["kills"] < kills:
        process = started(out)
        process.join(draws.uniform(0, length))
        by_another = process.exitcode == -signal.SIGKILL  # short of memory, say
        if process.exitcode is None or by_another:
            process.kill()
            process.join()
            found["kills"] += 1
            found["failed"] += by_another
            found["half_written"] += len(half_written(out, whole))
            continue
        check_end(out, whole, process.exitcode or 0, found)
        shutil.rmtree(out)
    process = started(out)
    process.join()
    check_end(out, whole, process.exitcode or 0, found)
    for folder_of_runs in (out, whole):
        shutil.rmtree(folder_of_runs, ignore_errors=True)
    return dict(found)


def end_with(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    sys.exit(quietly(arguments))


def check_end(out: Path, whole: Path, code: int, found: Counter[str]) -> None:
    """Count what is wrong with the folder of a run that ended."""
    results, right = results_of(out), results_of(whole)
    found["failed"] += code != 0
    found["other_bits"] += sum(results.get(name) != right[name] for name in right)
    found["left_over"] += len(set(files_of(out)) - set(files_of(whole)))


def files_of(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def results_of(folder: Path) -> dict[str, bytes]:
    """What does not depend on time or order."""
    ends = (".png", ".safetensors", ".mp4")
    names = [name for name in files_of(folder) if name.endswith(ends) and PREFIX not in name]
    return {name: (folder / name).read_bytes() for name in names if name != "sample.png"}


def half_written(out: Path, whole: Path) -> list[str]:
    """Files of a killed run under their final names that are not whole."""
    right, broken = results_of(whole), []
    for name in files_of(out):
        path = out / name
        if PREFIX in name or path.name in (manifest.NAME, locks.NAME, "log.csv"):
            continue  # temporary, or of lines, of which the last may be cut
        try:
            if path.suffix in (".png", ".mp4") and right.get(name) not in (None, path.read_bytes()):
                broken.append(name)
            elif path.suffix == ".nut":
                small_clips.check_whole(path)
            elif path.suffix == ".png":
                images.read(path)
            elif path.suffix == ".safetensors":
                checkpoint.load(path)
            elif path.suffix == ".pt":
                torch.load(path, weights_only=True)
            elif path.suffix == ".json":
                json.loads(path.read_text())
        except Exception:
            broken.append(name)
    return broken


# --- mutations ----------------------------------------------------------------------------------


def read_picture(path: Path) -> None:
    images.pixel_count(path)
    images.page_count(path)
    images.to_tensor(images.read(path, max_pixels=10_000_000).pixels)


def read_checkpoint(path: Path) -> None:
    restorer, _ = checkpoint.load(path)
    side = 4 * restorer.stride
    restorer(torch.zeros(1, 3, side, side))


def go_on(path: Path) -> None:
    job = request.resume(path.parent, CPU)
    job.run.load(job.recipe)
    job.run.trim_log(12)


def read_rain(path: Path) -> None:
    rain_file.read(path).prior().sample((1, 3, 16, 16), torch.Generator())


def read_manifest(path: Path) -> None:
    book = manifest.Manifest(path.parent, {})
    for target in path.parent.glob("*.png"):
        book.state(target, (1, 2))


def restore_clip(path: Path) -> None:
    out, weights = path.parents[1] / "clips-out", path.parents[1] / "run" / "restorer.safetensors"
    for left in out.iterdir():
        left.unlink() if left.is_file() else shutil.rmtree(left)
    small_clips.restore(path, out, weights, quietly)


def go_on_with_set(path: Path) -> None:
    folder = path.parents[1]
    code = quietly([*synth_call(folder, path.parent), "--max-pixels", "1"])  # makes nothing
    if code not in (0, 1):
        raise RuntimeError(f"exit code {code}")


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {  # pattern of files, what reads them
    "picture": ("formats/*", read_picture),
    "checkpoint": ("run/restorer.safetensors", read_checkpoint),
    "run.json": ("run/run.json", go_on),
    "state.pt": ("run/state.pt", go_on),
    "log.csv": ("run/log.csv", go_on),
    "rain.json": ("rain.json", read_rain),
    "noise.json": ("noise.json", noise.NoiseCalibration.read),
    "haze.json": ("haze.json", haze.HazeCalibration.read),
    "manifest": (f"restored/{manifest.NAME}", read_manifest),
    "damaged clip": ("clips/*", restore_clip),
    "meta.jsonl": ("set/meta.jsonl", go_on_with_set),
}


def mutated(kind: str, folder: Path, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """What became of so many mutated files of a kind, and a line for each of the first faults."""
    pattern, reader = READERS[kind]
    draws, found, examples = random.Random(f"{kind}/{seed}"), Counter[str](), list[str]()
    sources = {path: path.read_bytes() for path in sorted(folder.glob(pattern))}
    work = [
        (path := draws.choice(list(sources)), changed(path, sources[path], draws))
        for _ in range(count)
    ]
    done = 0
    while done < len(work):
        for outcome, line in in_child(reader, work[done : done + 200]):
            found[outcome] += 1
            if outcome not in OUTCOMES[:2] and len(examples) < 5:
                examples.append(f"\n  {work[done][0].name}, number {done}: {outcome} {line}")
            done += 1
    for path, data in sources.items():
        path.write_bytes(data)
    return found, examples


def in_child(
    reader: Callable[[Path], object], work: list[tuple[Path, bytes]]
) -> Iterator[tuple[str, str]]:
    """Read mutated files in a forked process; (outcome, line) of each, up to one that ends it, or
    that takes so much memory that what later ones take does not show in the largest."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        with os.fdopen(send, "w") as results:
            start = most_bytes()
            for path, data in work:
                print(*judged(reader, path, data), sep="\t", file=results, flush=True)
                if most_bytes() - start > MEMORY_BYTES / 10:
                    break
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as results:
        for line in results:
            outcome, _, rest = line.rstrip("\n").partition("\t")
            yield outcome, rest
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        yield (
            ("long" if number in (signal.SIGPROF, signal.SIGALRM) else "crash"),
            f"signal {number}",
        )


def most_bytes() -> int:
    """The most memory that this process has taken."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def judged(reader: Callable[[Path], object], path: Path, data: bytes) -> tuple[str, str]:
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # ends the process
    signal.alarm(10 * SECONDS)  # for one that waits
    before = most_bytes()
    path.write_bytes(data)
    outcome, line = "read", ""
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            reader(path)
    except UserError as error:
        outcome = "traceback" if "\n" in str(error) else "refused"
    except Exception as error:
        outcome, line = "traceback", repr(error).replace("\n", " ")[:200]
    grown = most_bytes() - before
    if grown > MEMORY_BYTES:
        outcome, line = "large", f"{grown / 1e9:.1f} GB"
    signal.setitimer(signal.ITIMER_PROF, 0)
    return outcome, line


if __name__ == "__main__":
    main()
