"""Do two checkouts of this project give the same results?  For changes that must change none.

    python benchmarks/compare_checkouts.py OLD NEW [--only derain,fit] [--keep DIR]

OLD and NEW are checkouts, each with the package installed in its own virtual environment,
CHECKOUT/.venv (Linux or macOS).  Small pictures are made from those bundled with OLD, the same
command lines are run in both, each in a folder of its own outside of both, and all that was written
is compared: pictures and clips by decoded values (alpha, ICC profile and EXIF, too), .json, .jsonl
and .csv by parsed values, .safetensors and the state of a run by tensors, stdout as text.  Left out
are times (columns and keys `seconds` and `Mpixel/s`, numbers before ` s`), keys `version`, and the
folder of what is named by its whole path.

Names may change, what they name may not: where headings of a .csv differ, its columns are compared
by their places, keys of .json and names of tensors without a partner likewise, if there are as many
in both, and a file may have another name if it is the only one of its suffix in its folder that
has.  New names are said, as are a checkpoint's header and messages on stderr that differ, and do
not count.

A line for each case: `same`, or `differs: what, largest difference`.  Exits with 1 when something
differs, or a command fails.  --only takes the beginnings of names of cases: `derain`, `synth/`,
`fit/rrcl`.  --keep DIR leaves inputs and results there.

The commands run with OMP_NUM_THREADS=1 and without a GPU, so that results do not depend on how many
threads form a sum; --jobs of them side by side.  `denoise --zero-shot` and `derain --adapt`, which
learn by the clock, are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from checkout_cases import Case, cases, write_inputs
from differences import STDERR, STDOUT, compare_folders, verdict

ABOUT = """
import importlib, json
from importlib import metadata
entry = next(iter(metadata.entry_points(group="console_scripts", name="ssl-restore")))
names = ("torch", "numpy", "scipy", "opencv-python-headless", "pillow", "matplotlib")
versions = {name: metadata.version(name) for name in names}
print(json.dumps([importlib.import_module(entry.module).__file__, versions]))
"""


def program(checkout: Path, *words: str) -> list[str]:
    """By the interpreter of the checkout: the script of a copied folder names another one."""
    programs = checkout / ".venv" / "bin"
    return [str(programs / "python"), str(programs / "ssl-restore"), *words]


def run(words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    outer = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    inner = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "100"}
    return subprocess.run(
        words, cwd=folder, env=outer | inner, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip


def run_case(checkout: Path, case: Case, folder: Path) -> str | None:
    """Run a case in a new folder and write there what it said.

    Why a command failed, after which no other is run; None when all went well.
    """
    folder.mkdir(parents=True)
    said: dict[str, list[str]] = {STDOUT: [], STDERR: []}
    failure = None
    for words in case.commands:
        done = run(program(checkout, *words), folder)
        for name, text in ((STDOUT, done.stdout), (STDERR, done.stderr)):
            anywhere = text.replace(str(folder), "FOLDER").replace(str(checkout), "CHECKOUT")
            said[name].append(f"$ ssl-restore {' '.join(words)}\n{anywhere}")
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
            failure = f"ssl-restore {words[0]}: exit code {done.returncode}: {last}"
            break
    for name, texts in said.items():
        (folder / name).write_text("\n".join(texts), encoding="utf-8")
    return failure


def judge(failures: Sequence[str | None], old: Path, new: Path) -> tuple[bool, str]:
    """The verdict on a case, by why it failed in OLD and in NEW, and by its folders."""
    told = [f"{side}: {text}" for side, text in zip(("OLD", "NEW"), failures, strict=True) if text]
    if told:
        return False, f"differs: a command fails, {'; '.join(told)}"
    return verdict(compare_folders(old, new))


def installed(checkout: Path, folder: Path) -> dict[str, str]:
    """Versions of packages; SystemExit where the package is not that of the checkout."""
    words = program(checkout)
    for word in words:
        if not Path(word).is_file():
            sys.exit(f"{checkout}: no {word}; install the package into {checkout}/.venv first")
    done = run([words[0], "-c", ABOUT], folder)
    if done.returncode:
        sys.exit(f"{checkout}: its ssl-restore cannot be imported:\n{done.stderr}")
    home, versions = json.loads(done.stdout)
    if not Path(home).resolve().is_relative_to(checkout):
        sys.exit(f"{checkout}: its .venv holds the package of {home}; install its own")
    return dict(versions)


def listed(checkout: Path, name: str, folder: Path) -> list[str]:
    """The names that `ssl-restore recipes` or `synth` lists."""
    done = run(program(checkout, name), folder)
    if done.returncode:
        sys.exit(f"{checkout}: ssl-restore {name} failed:\n{done.stderr}")
    return [line.split()[0] for line in done.stdout.splitlines() if line.strip()]


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("old", metavar="OLD", type=Path, help="Checkout with a .venv.")
    parser.add_argument("new", metavar="NEW", type=Path, help="Checkout with a .venv.")
    parser.add_argument("--only", default="", help="Beginnings of names of cases, with commas.")
    parser.add_argument("--keep", type=Path, help="New folder for inputs and results.")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 8),
                        help="Commands side by side.  [default: the cores, at most 8]")  # fmt: skip
    options = parser.parse_args(arguments)
    options.old, options.new = options.old.resolve(), options.new.resolve()
    options.only = tuple(name for name in options.only.split(",") if name)
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    return options


def scratch(folder: Path, checkouts: Sequence[Path]) -> Path:
    """The folder, made; SystemExit when it lies in a checkout or holds something."""
    folder = folder.resolve()
    for checkout in checkouts:
        if folder.is_relative_to(checkout):
            sys.exit(f"{folder}: lies in {checkout}; give a folder elsewhere with --keep")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        sys.exit(f"{folder}: exists; give a new folder with --keep")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def compare(options: argparse.Namespace, folder: Path) -> int:
    """Run all cases and print their verdicts; how many differ."""
    sides = {"old": options.old, "new": options.new}
    old_versions, new_versions = (installed(checkout, folder) for checkout in sides.values())
    for name, version in old_versions.items():
        if new_versions[name] != version:
            print(f"OLD has {name} {version}, NEW {new_versions[name]}: results may differ by that")
    names = [listed(options.old, name, folder) for name in ("recipes", "synth")]
    known = cases(folder / "inputs", *names)
    for start in options.only:
        if not any(case.name.startswith(start) for case in known):
            every = ", ".join(case.name for case in known)
            sys.exit(f"--only {start}: no case begins like that; there are {every}")
    chosen = [case for case in known if case.name.startswith(options.only or "")]
    write_inputs(options.old / "data_samples", folder / "inputs")
    begun, differing = time.perf_counter(), 0
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            running = [
                [pool.submit(run_case, checkout, case, folder / side / case.name)
                 for side, checkout in sides.items()]
                for case in chosen
            ]  # fmt: skip
            for case, pair in zip(chosen, running, strict=True):
                failures = [one.result() for one in pair]
                same, line = judge(failures, *(folder / side / case.name for side in sides))
                differing += not same
                print(f"{case.name:30} {line}", flush=True)
        finally:
            pool.shutdown(cancel_futures=True)
    minutes = (time.perf_counter() - begun) / 60
    print(f"{len(chosen)} cases, {differing} differ; {minutes:.1f} minutes")
    return differing


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    with ExitStack() as stack:
        place = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = scratch(place, (options.old, options.new))
        sys.exit(1 if compare(options, folder) else 0)


if __name__ == "__main__":
    main()
