"""`ssl-restore fit`: learn a restorer from a folder of degraded pictures."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .errors import Failed, report_skipped
from .progress import bar

if TYPE_CHECKING:
    from ssl_restore.training.run import RunPlan
    from ssl_restore.training.session import TrainingJob

EXAMPLES = """\b
Examples:
  ssl-restore fit --images ./rainy/
  ssl-restore fit --images ./rainy/ --clean ./photos/ --minutes 30 -o runs/mine
  ssl-restore fit --images ./noisy/ --recipe neighbor2neighbor
  ssl-restore fit --images ./bursts/ --recipe noise2noise
  ssl-restore fit --resume runs/mine
  ssl-restore derain ./rainy/ ./restored/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@click.option("--images", type=options.PATH, help="Folder of degraded pictures to learn from.")
@click.option(
    "--clean", type=options.PATH, help="Folder of clean photographs.  [default: those installed]"
)
@click.option("--recipe", default="derain_unpaired", show_default=True, help="Name or ./file.py.")
@click.option("-o", "--output", type=options.PATH, help="Run folder.  [default: runs/IMAGES]")
@click.option("--minutes", type=float, help="Training time.  [default: 15]")
@click.option("--steps", type=int, help="Training steps, instead of --minutes; repeatable exactly.")
@click.option("--start", type=options.PATH, help="Checkpoint to start from.  [default: built-in]")
@click.option("--from-scratch", is_flag=True, help="Start from random weights.")
@click.option("--resume", type=options.PATH, help="Go on with the run in this folder.")
@click.option(
    "--no-calibrate", is_flag=True, help="Do not measure the rain or noise of IMAGES first."
)
@click.option("--set", "pairs", multiple=True, metavar="K=V", help="Change a setting (`recipes`).")
@options.seed
@options.device
@options.precision
def command(
    images: Path | None,
    clean: Path | None,
    recipe: str,
    output: Path | None,
    minutes: float | None,
    steps: int | None,
    start: Path | None,
    from_scratch: bool,
    resume: Path | None,
    no_calibrate: bool,
    pairs: tuple[str, ...],
    seed: int,
    device: str,
    precision: str,
) -> None:
    """Learn a restorer from a folder of rainy or noisy pictures; no clean versions are needed.

    Writes a run folder: restorer.safetensors for `derain --weights` or `denoise --weights`,
    log.csv, and sample.png, which is renewed while it learns.  Ctrl-C saves; --resume goes on.
    """
    from ssl_restore import device as devices  # noqa: PLC0415
    from ssl_restore.training import session  # noqa: PLC0415
    from ssl_restore.training.run import Run  # noqa: PLC0415

    chosen = devices.start(device)
    if resume is not None:
        plan, folder = Run(resume).plan(), resume
    else:
        plan = _plan(images, clean, recipe, minutes, steps, start, from_scratch, pairs, seed)
        folder = output or Path("runs") / (images.resolve().name if images else Path(recipe).stem)
        if session.wants_calibration(plan) and not no_calibrate:
            with bar(session.CALIBRATED_PICTURES, "picture", "calibrate") as measured:
                plan, failure = session.with_calibration(
                    plan, folder, chosen, on_read=lambda path: measured.update()
                )
            if failure is not None:
                click.echo(failure, err=True)
    with bar(0, "picture", "reading") as reading:
        job = session.prepare(
            plan, folder, chosen, resume=resume is not None, on_read=lambda path: reading.update()
        )
    report_skipped(job.skipped)
    for note in job.recipe.notes:
        click.echo(note, err=True)
    _train(job, resume is not None, precision)
    click.echo(str(job.run.weights))
    if job.skipped:
        raise Failed(f"learned without {len(job.skipped)} pictures that could not be used")


def _plan(
    images: Path | None,
    clean: Path | None,
    recipe: str,
    minutes: float | None,
    steps: int | None,
    start: Path | None,
    from_scratch: bool,
    pairs: tuple[str, ...],
    seed: int,
) -> RunPlan:
    from ssl_restore import discover  # noqa: PLC0415
    from ssl_restore.training import session  # noqa: PLC0415
    from ssl_restore.training.run import RunPlan  # noqa: PLC0415

    if minutes is not None and steps is not None:
        raise click.UsageError("give --minutes or --steps, not both")
    if start is not None and from_scratch:
        raise click.UsageError("give --start or --from-scratch, not both")
    if (minutes is not None and minutes <= 0) or (steps is not None and steps <= 0):
        raise click.UsageError("--minutes and --steps must be positive")
    build = discover.builder("recipes", recipe)
    changed = discover.parse_settings(build, pairs)
    for key in session.CALIBRATIONS:
        if changed.get(key):
            changed[key] = str(Path(changed[key]).resolve())
    if start is None and not from_scratch:
        found = session.default_start(build(**changed))
    else:
        found = str(start) if start is not None else None
    return RunPlan(
        recipe=str(Path(recipe).resolve()) if recipe.endswith(".py") else recipe,
        settings={**discover.settings(build), **changed},
        seed=seed,
        steps=steps,
        seconds=None if steps is not None else 60 * (minutes if minutes is not None else 15.0),
        images=str(images.resolve()) if images is not None else None,
        clean=str(clean.resolve()) if clean is not None else None,
        start=found,
    )


def _train(job: TrainingJob, resume: bool, precision: str) -> None:
    from ssl_restore.training import session  # noqa: PLC0415

    plan = job.plan
    total = plan.steps or plan.seconds or 0.0
    rows = session.train(job, resume=resume, precision=precision)
    with bar(round(total), "step" if plan.steps else "s", "fit") as shown, _interrupts() as asked:
        for row in rows:
            shown.update((row.step if plan.steps else int(row.seconds)) - shown.n)
            if row.step % 10 == 0:
                shown.set_postfix({k: f"{v:.4f}" for k, v in row.losses.items()})
            if asked:
                rows.close()  # saves
                click.echo(
                    f"\nsaved; go on with: ssl-restore fit --resume {job.run.folder}", err=True
                )
                sys.exit(130)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that Ctrl-C adds to, so that no step is cut in half; a second one acts at once."""
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
