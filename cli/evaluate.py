"""`ssl-restore evaluate`: scores against clean pictures, or without them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from . import output as echo
from .errors import Failed, report_skipped, say
from .progress import bar

if TYPE_CHECKING:
    from ssl_restore.evaluation.scoring import Pair, Score
    from ssl_restore.restorer import Restorer

EXAMPLES = """\b
Examples:
  ssl-restore evaluate ./set/rainy/ ./set/clean/
  ssl-restore evaluate ./set/rainy/ ./set/clean/ --weights runs/mine/restorer.safetensors
  ssl-restore evaluate ./set/rainy/ ./set/clean/ --restored ./theirs/ --csv scores.csv
  ssl-restore evaluate ./noisy/ ./clean/ --task denoise --pair "noisy-{}=clean-{}"
  ssl-restore evaluate ./rainy/
"""


@click.command(epilog=EXAMPLES)
@click.argument("degraded", type=options.PATH)
@click.argument("clean", type=options.PATH, required=False)
@click.option("--restored", type=options.PATH, help="Folder of pictures restored before.")
@click.option("--weights", type=options.PATH, help="Checkpoint of `fit`.  [default: built-in]")
@click.option("--csv", "csv_file", type=options.PATH, help="Write a row a picture and method.")
@click.option("--overwrite", is_flag=True, help="Replace the table of --csv where it exists.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many pictures.")
@click.option(
    "--pair", metavar="NAME=NAME", help='How names belong together: "rain-{}=norain-{}", "{}_*={}".'
)
@options.recursive
@options.json_lines
@options.task
@options.quality
@options.tile
@options.max_pixels
@options.device
@options.precision_or_int8
def command(
    degraded: Path,
    clean: Path | None,
    restored: Path | None,
    weights: Path | None,
    csv_file: Path | None,
    overwrite: bool,
    limit: int | None,
    pair: str | None,
    recursive: bool,
    json_lines: bool,
    task: str | None,
    quality: str,
    tile: int | None,
    max_pixels: int,
    device: str,
    precision: str,
) -> None:
    """Score a restorer on the folders DEGRADED and CLEAN, paired by file name, or on one.

    --pair says how the names of a pair differ: {} is the same text in both, and * any text.

    Prints mean PSNR (dB) and SSIM of the untouched input, of a morphological opening (the floor
    to beat) and of the restorer, on RGB and on luma Y.  8-bit values, of the range that a file of
    16 bits uses, whole pictures; SSIM with a Gaussian window of 11 pixels; Y is BT.601, 16 to 235.
    Times are without reading and writing.

    Without CLEAN: what is left along the rain (or of the noise) and of other texture, as shares of
    the input's, root mean square change (of 255), NIQE (lower is better) and blur (0 to 1).  They
    do not know what was behind it: compare them with each other, and look at the pictures.
    """
    from ssl_restore import discover  # noqa: PLC0415
    from ssl_restore.errors import UserError  # noqa: PLC0415
    from ssl_restore.evaluation import scoring  # noqa: PLC0415
    from ssl_restore.inference import int8  # noqa: PLC0415
    from ssl_restore.inference.wrappers import with_quality  # noqa: PLC0415
    from ssl_restore.io.files import check_target  # noqa: PLC0415

    if restored is not None and weights is not None:
        raise click.UsageError("give --restored or --weights, not both")
    if csv_file is not None:
        if csv_file.suffix.lower() != ".csv":
            raise click.UsageError(f"--csv: the name of a table ends in .csv; got {csv_file.name}")
        check_target(csv_file, overwrite=overwrite)
    pairs, skipped = scoring.pairs(
        degraded, clean, restored, limit=limit, pattern=pair, recursive=recursive, notify=say
    )
    known = discover.task(task or "derain") if task or weights is None else None
    restorer = None
    if restored is None:
        name = known.name if known else None
        restorer = _restorer(weights, name, quality, tile, device, precision)
        known = known or discover.task(restorer.task)
        which = "built-in restorer" if weights is None else f"restorer in {weights}"
        other = "" if task or weights else " (--task chooses another)"
        click.echo(f"restorer: the {which}, for the task {restorer.task}{other}", err=True)
    chosen = known or discover.task("derain")
    wrap = partial(with_quality, quality=quality)
    methods = scoring.methods(chosen, restorer, tile, int8.beside(precision), wrap=wrap)
    rows = []
    with bar(len(pairs), "picture", "evaluate") as shown:
        for one in pairs:
            try:
                scores = list(scoring.measure(one, methods, chosen.measure, max_pixels=max_pixels))
                if json_lines:
                    _print(one, scores)
                rows += scores
            except UserError as error:
                skipped.append(str(error))
            shown.update()
    report_skipped(skipped)
    if not rows:
        raise Failed("no pair of pictures could be scored")
    if csv_file is not None:
        scoring.write_csv(csv_file, rows)
    if not json_lines:
        click.echo(f"{len({row.name for row in rows})} pictures")
        for line in scoring.table(rows):
            click.echo(line)
    if skipped:
        raise Failed(f"{len(skipped)} pictures were not scored")


def _print(pair: Pair, scores: list[Score]) -> None:
    """A line for each method."""
    files = {"degraded": pair.degraded, "clean": pair.clean}
    for one in scores:
        line = {"name": one.name, "method": one.method, **one.scores}
        echo.line({**line, "seconds": one.seconds, "pixels": one.pixels, **files})


def _restorer(
    weights: Path | None,
    task: str | None,
    quality: str,
    tile: int | None,
    device: str,
    precision: str,
) -> Restorer:
    from ssl_restore import device as devices  # noqa: PLC0415
    from ssl_restore.inference.load import load_restorer  # noqa: PLC0415
    from ssl_restore.inference.tiles import check_tile  # noqa: PLC0415

    on = devices.choose(device)
    restorer = load_restorer(weights, on, task=task, quality=quality, precision=precision)
    check_tile(tile, restorer.stride)
    return restorer
