"""`ssl-restore derain`: restore a picture or a folder of pictures."""

from __future__ import annotations

from typing import Any

import click

from . import restoration

EXAMPLES = """\b
Examples:
  ssl-restore derain rainy.jpg restored.png
  ssl-restore derain rainy.jpg restored.png --adapt
  ssl-restore derain ./rainy/ ./restored/ --recursive
  ssl-restore derain ./rainy/ ./restored/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@restoration.arguments
@click.option("--veil", is_flag=True, help="Also remove the veil (mist) of heavy rain.")
@click.option("--adapt", is_flag=True, help="First learn from each picture, for --seconds.")
@click.option(
    "--seconds", type=click.FloatRange(1), default=45.0, show_default=True, help="For --adapt."
)
def command(*, veil: bool, adapt: bool, seconds: float, **given: Any) -> None:
    """Remove the rain from the picture or the folder INPUT; write to OUTPUT.

    A picture goes to a picture (.png, .jpg, .tif, .webp, .bmp) or into a folder, a folder to a
    folder under the same names.  Size, bit depth, alpha, colour profile and EXIF are kept.
    """
    if adapt and veil:
        raise click.UsageError("give --adapt or --veil, not both")
    files = restoration.Files(**given)
    if adapt:
        restoration.solve_files("derain", files, seconds=seconds)
        return
    from ssl_restore.inference.wrappers import WithoutVeil  # noqa: PLC0415

    restoration.restore_files("derain", files, wrap=WithoutVeil if veil else lambda net: net)
