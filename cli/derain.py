"""`ssl-restore derain`: restore a picture or a folder of pictures."""

from __future__ import annotations

import time
from pathlib import Path

import click

from . import options
from .errors import Failed, report_skipped
from .progress import bar

EXAMPLES = """\b
Examples:
  ssl-restore derain rainy.jpg restored.png
  ssl-restore derain ./rainy/ ./restored/ --recursive
  ssl-restore derain ./rainy/ ./restored/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@click.argument("source", metavar="INPUT", type=options.PATH)
@click.argument("output", type=options.PATH)
@click.option("--weights", type=options.PATH, help="Checkpoint of `fit`.  [default: built-in]")
@click.option("--recursive", is_flag=True, help="Also the pictures in sub-folders.")
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@options.tile
@options.max_pixels
@options.device
@options.precision
def command(
    source: Path,
    output: Path,
    weights: Path | None,
    recursive: bool,
    overwrite: bool,
    tile: int | None,
    max_pixels: int,
    device: str,
    precision: str,
) -> None:
    """Remove the rain from the picture or the folder INPUT; write to OUTPUT.

    A picture goes to a picture (.png, .jpg, .tif, .webp, .bmp) or into a folder, a folder to a
    folder under the same names.  Size, bit depth, alpha, colour profile and EXIF are kept.
    """
    from ssl_restore import device as devices  # noqa: PLC0415
    from ssl_restore import folders  # noqa: PLC0415

    jobs = folders.plan(source, output, recursive=recursive, overwrite=overwrite)
    restorer = folders.open_restorer(weights, devices.choose(device))
    start, pixels = time.perf_counter(), 0
    with bar(0, "pixel", "derain", unit_scale=True) as shown:

        def done(count: int, expected: int) -> None:
            nonlocal pixels
            pixels += count
            shown.total = expected
            shown.update(count)

        skipped = folders.restore_all(
            jobs, restorer, tile=tile, precision=precision, max_pixels=max_pixels, done=done
        )
    if skipped and not source.is_dir():
        raise Failed(skipped[0])
    report_skipped(skipped)
    seconds, restored = time.perf_counter() - start, len(jobs) - len(skipped)
    if restored:
        click.echo(
            f"{restored} restored, {pixels / 1e6:.1f} Mpixel in {seconds:.1f} s "
            f"({pixels / 1e6 / seconds:.2f} Mpixel/s)",
            err=True,
        )
        click.echo(str(output if source.is_dir() else jobs[0].target))
    if skipped:
        raise Failed(f"{len(skipped)} of {len(jobs)} pictures could not be restored")
