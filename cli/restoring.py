"""What the commands share that restore a picture or a folder: `derain`, `denoise`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .errors import Failed, report_skipped
from .options import F
from .progress import bar

if TYPE_CHECKING:
    from torch import nn

    from ssl_restore.inference.folders import Job


def arguments(function: F) -> F:
    """INPUT, OUTPUT and every option that does not depend on what is removed."""
    for decorate in (
        options.precision,
        options.device,
        options.max_pixels,
        options.tile,
        click.option("--overwrite", is_flag=True, help="Replace results that exist."),
        click.option("--recursive", is_flag=True, help="Also the pictures in sub-folders."),
        click.option(
            "--weights", type=options.PATH, help="Checkpoint of `fit`.  [default: built-in]"
        ),
        click.argument("output", type=options.PATH),
        click.argument("source", metavar="INPUT", type=options.PATH),
    ):
        function = decorate(function)
    return function


@dataclass(frozen=True)
class Files:
    """What `arguments` gives."""

    source: Path
    output: Path
    weights: Path | None
    recursive: bool
    overwrite: bool
    tile: int | None
    max_pixels: int
    device: str
    precision: str

    def plan(self) -> list[Job]:
        from ssl_restore.inference import folders  # noqa: PLC0415

        return folders.plan(
            self.source, self.output, recursive=self.recursive, overwrite=self.overwrite
        )

    def open(self, task: str, *, learns: bool = False) -> nn.Module:
        """The restorer of the given weights, or the one built in for the task."""
        from ssl_restore import device  # noqa: PLC0415
        from ssl_restore.inference import folders  # noqa: PLC0415

        on = device.choose(self.device)
        return folders.open_restorer(self.weights, on, task=task, learns=learns)


def restore_files(
    task: str, files: Files, *, quality: str, grain: int = 1, strength: float = 1.0,
    veil: bool = False,
) -> None:  # fmt: skip
    """Restore INPUT into OUTPUT; say how fast, and print where the results are."""
    from ssl_restore.inference import folders  # noqa: PLC0415
    from ssl_restore.inference.tiles import Strength  # noqa: PLC0415

    jobs = files.plan()
    restorer = files.open(task)
    if veil:
        restorer = folders.without_veil(restorer)
    restorer = folders.with_self_ensemble(folders.with_pixel_shuffle(restorer, grain), quality)
    if strength != 1:
        restorer = Strength(restorer, strength)
    start, pixels = time.perf_counter(), 0
    with bar(0, "pixel", task, unit_scale=True) as shown:

        def done(count: int, expected: int) -> None:
            nonlocal pixels
            pixels += count
            shown.total = expected
            shown.update(count)

        skipped = folders.restore_all(
            jobs, restorer, tile=files.tile, precision=files.precision,
            max_pixels=files.max_pixels, done=done,
        )  # fmt: skip
    seconds = time.perf_counter() - start
    speed = f"{pixels / 1e6:.1f} Mpixel in {seconds:.1f} s ({pixels / 1e6 / seconds:.2f} Mpixel/s)"
    _conclude(files, jobs, skipped, speed)


def adapt_files(files: Files, *, quality: str, seconds: float, seed: int) -> None:
    """Derain INPUT into OUTPUT by weights that learn from each picture for so many seconds; say
    where that did not help."""
    from ssl_restore.solvers.rerained_fine_tuning import adapt_all  # noqa: PLC0415

    jobs = files.plan()
    restorer = files.open("derain", learns=True)
    with bar(100 * len(jobs), "%", "adapt") as shown:
        skipped, denied = adapt_all(
            jobs, restorer, quality=quality, seconds=seconds, seed=seed, tile=files.tile,
            precision=files.precision, max_pixels=files.max_pixels,
            done=lambda share: shown.update(100 * share),
        )  # fmt: skip
    for line in denied:
        click.echo(line, err=True)
    adapted = len(jobs) - len(skipped) - len(denied)
    _conclude(files, jobs, skipped, f"{adapted} of them by weights of their own")


def solve_files(
    files: Files, *, method: str | None, seconds: float | None, seed: int, strength: float
) -> None:
    """Denoise INPUT into OUTPUT by a solver, which learns from each picture alone."""
    from ssl_restore import device, discover, solvers  # noqa: PLC0415
    from ssl_restore.solvers.files import solve_all  # noqa: PLC0415

    solve = solvers.solver(method or solvers.DEFAULT)
    known = discover.settings(solve)
    jobs = files.plan()
    settings: dict[str, Any] = {"seconds": seconds}
    if files.precision != "auto":
        settings["precision"] = files.precision
    if "tile" in known:
        settings["tile"] = files.tile
    if "restorer" in known:
        settings["restorer"] = files.open("denoise", learns=True)
    elif files.weights is not None:
        raise Failed(f"--weights: {method} starts from none; leave --weights out")
    with bar(100 * len(jobs), "%", "denoise") as shown:
        skipped = solve_all(
            jobs, solve, seed=seed, max_pixels=files.max_pixels,
            device=device.choose(files.device), strength=strength,
            done=lambda share: shown.update(100 * share), notify=_aside, **settings,
        )  # fmt: skip
    _conclude(files, jobs, skipped, f"by {method or solvers.DEFAULT}")


def _aside(line: str) -> None:
    """A line on stderr, above the bar."""
    from tqdm import tqdm  # noqa: PLC0415

    tqdm.write(line, file=sys.stderr)


def _conclude(files: Files, jobs: Sequence[Job], skipped: list[str], how: str) -> None:
    """Say what was restored, print where it is, and fail if something was not."""
    if skipped and not files.source.is_dir():
        raise Failed(skipped[0])
    report_skipped(skipped)
    restored = len(jobs) - len(skipped)
    if restored:
        click.echo(f"{restored} restored, {how}", err=True)
        click.echo(str(files.output if files.source.is_dir() else jobs[0].target))
    if skipped:
        raise Failed(f"{len(skipped)} of {len(jobs)} pictures could not be restored")
