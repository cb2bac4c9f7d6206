"""`ssl-restore report`: one HTML page of results, or of a run, to look at and to send."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from . import output as echo
from .errors import Failed, report_skipped, say
from .progress import bar

EXAMPLES = """\b
Examples:
  ssl-restore report ./restored/ -o report.html
  ssl-restore report ./restored/ -o report.html --degraded ./rainy/ --clean ./clean/
  ssl-restore report ./restored/ -o report.html --layers ./rain/ --limit 3
  ssl-restore report runs/mine -o report.html
"""


@click.command(epilog=EXAMPLES)
@click.argument("folder", type=options.PATH)
@click.option("-o", "--output", type=options.PATH, required=True, help="The page, .html.")
@click.option(
    "--degraded", type=options.PATH,
    help="Folder of the pictures before.  [default: those that FOLDER was made from]",
)  # fmt: skip
@click.option("--clean", type=options.PATH, help="Folder of their truths.")
@click.option(
    "--pair", metavar="NAME=NAME", help='How names of truths differ: "rain-{}=norain-{}".'
)
@click.option(
    "--layers", type=options.PATH, multiple=True,
    help="Folder of what was taken, as of `derain --layers`; can be repeated.",
)  # fmt: skip
@click.option("--task", help="derain, dehaze ...: which scores.  [default: as FOLDER was made]")
@click.option(
    "--limit", type=click.IntRange(1), default=8, show_default=True,
    help="So many pictures, spread over the folder.",
)  # fmt: skip
@click.option(
    "--max-mb", type=options.FiniteRange(1), default=50.0, show_default=True,
    help="Size of the page: pictures are compressed more, then left out.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT.")
@options.recursive
@options.tile
@options.max_pixels
@options.device
@options.precision
def command(
    folder: Path,
    output: Path,
    degraded: Path | None,
    clean: Path | None,
    pair: str | None,
    layers: tuple[Path, ...],
    task: str | None,
    limit: int,
    max_mb: float,
    overwrite: bool,
    recursive: bool,
    tile: int | None,
    max_pixels: int,
    device: str,
    precision: str,
) -> None:
    """Make a page of FOLDER: of restored pictures, or of a run of `fit`.

    The page is one file that needs no network.  It shows each picture before and after under a
    slider, in full size, with scores as `evaluate` gives them, against the truth with --clean and
    without; and how it was made.  Of a run, the pictures that it learned from are restored by what
    it started from and by what it learned, and the page has the curves of the log and the measured
    rain or noise.
    """
    from ssl_restore import device as devices  # noqa: PLC0415
    from ssl_restore.report.subject import Asked  # noqa: PLC0415
    from ssl_restore.report.write import write_report  # noqa: PLC0415

    with bar(0, "picture", "report") as shown:

        def progress(done: int, expected: int) -> None:
            shown.total = expected
            shown.update(done - shown.n)

        written = write_report(
            folder, output, Asked(degraded, clean, pair, layers, task, limit, recursive),
            overwrite=overwrite, max_mb=max_mb, max_pixels=max_pixels, tile=tile,
            precision=precision, device=devices.choose(device), progress=progress, notify=say,
        )  # fmt: skip
    for note in written.notes:
        say(note)
    report_skipped([*written.skipped])
    echo.path(output)
    if written.skipped:
        raise Failed(f"{len(written.skipped)} pictures are not on the page")
