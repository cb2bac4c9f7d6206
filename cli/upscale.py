"""`ssl-restore upscale`: enlarge a picture or a folder of pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from . import restoration

EXAMPLES = """\b
Examples:
  ssl-restore upscale small.jpg large.png
  ssl-restore upscale small.jpg large.png --scale 4
  ssl-restore upscale ./small/ ./large/ --quality best
  ssl-restore upscale ./small/ ./large/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@restoration.arguments
@click.option(
    "--scale",
    type=click.Choice(["2", "4"]),
    help="How many times as long the sides shall be.  [default: 2, or as the --weights do]",
)
def command(*, scale: str | None, **given: Any) -> None:
    """Enlarge INPUT; write to OUTPUT.

    INPUT is a picture, a clip, a folder, a pattern as "*.jpg" or several of them, OUTPUT one or a
    folder, in which names are kept; - is standard input or output.  Bit depth, alpha, colour
    profile and metadata are kept.

    Details become sharp where the small picture shows them; none are invented.  Blocks of JPEG and
    faint noise are not enlarged.
    """
    from ssl_restore import weights  # noqa: PLC0415

    files = restoration.Files(**given)
    if files.weights is not None and scale is not None:
        raise click.UsageError("--weights enlarge as they have learned to: leave --scale out")
    if files.weights is None:
        files = replace(files, weights=weights.upscale(int(scale or 2)))
    restoration.restore_files("upscale", files)
