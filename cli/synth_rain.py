"""`ssl-restore synth-rain`: a data set of rain rendered on photographs."""

from __future__ import annotations

import os
from pathlib import Path

import click

from . import options
from .errors import Failed, report_skipped
from .progress import bar

EXAMPLES = """\b
Examples:
  ssl-restore synth-rain ./photos/ ./set/
  ssl-restore synth-rain ./photos/ ./storm/ --preset storm --variants 4 --seed 1
  ssl-restore evaluate ./set/rainy/ ./set/clean/
"""


@click.command(epilog=EXAMPLES)
@click.argument("photos", type=options.PATH)
@click.argument("output", type=options.PATH)
@click.option("--variants", default=1, show_default=True, help="Rainy pictures a photograph.")
@click.option(
    "--preset", default="mixed", show_default=True, help="mixed, drizzle, moderate, heavy, storm."
)
@click.option("--veil", type=float, help="Share of pictures with a veil.  [default: the preset's]")
@click.option("--workers", type=click.IntRange(1), help="Threads.  [default: the processors]")
@options.max_pixels
@options.seed
def command(
    photos: Path,
    output: Path,
    variants: int,
    preset: str,
    veil: float | None,
    workers: int | None,
    max_pixels: int,
    seed: int,
) -> None:
    """Render rain on the photographs of the folder PHOTOS; write a data set to OUTPUT.

    Writes rainy/, clean/ and rain/ (the streaks alone) under the same names, and meta.jsonl with
    what was drawn for each.  The same command goes on where it was interrupted.
    """
    from ssl_restore import synth  # noqa: PLC0415

    plan = synth.plan(photos, output, synth.Settings(seed, preset, veil), variants=variants)
    if plan.complete:
        click.echo(f"{plan.complete} pictures exist already", err=True)
    skipped = []
    with bar(len(plan.missing), "picture", "synth-rain") as shown:
        for failure in synth.make(
            plan, workers=workers or os.cpu_count() or 1, max_pixels=max_pixels
        ):
            shown.update()
            if failure is not None:
                skipped.append(failure)
    report_skipped(skipped)
    click.echo(str(output))
    if skipped:
        raise Failed(f"{len(skipped)} of {len(plan.missing)} pictures could not be made")
