"""`ssl-restore inpaint`: fill lost pixels of a picture: scratches, text, holes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options, restoration, solving

EXAMPLES = """\b
Examples:
  ssl-restore inpaint scratched.jpg restored.png --mask scratches.png
  ssl-restore inpaint scratched.png restored.png --mask scratches.png --seconds 120
"""


@click.command(epilog=EXAMPLES)
@click.argument("source", metavar="INPUT")
@click.argument("output")
@click.option(
    "--mask",
    type=options.PATH,
    required=True,
    help="Picture of the same size, white where pixels are lost.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Most steps to learn a piece of 512 pixels.",
)
@click.option("--seconds", type=options.POSITIVE, help="Most time to learn.")
@restoration.files
@options.seed
@options.max_pixels
@options.device
@options.precision
def command(
    *,
    source: str,
    output: str,
    mask: Path,
    steps: int,
    seconds: float | None,
    seed: int,
    max_pixels: int,
    device: str,
    precision: str,
    **written: Any,
) -> None:
    """Fill the pixels of the picture INPUT that are white in the mask; write to OUTPUT.

    A network that knows no other picture learns to draw this one from its known pixels, which
    takes minutes (deep image prior).  Known pixels come back exactly as they were, but for what the
    format of OUTPUT loses.  Size, bit depth, alpha, colour profile and metadata are kept.

    Lines and spots of up to some twenty pixels are filled well, and so is a picture of which every
    second pixel is lost; large holes get a blurred guess.  With --seconds the result also depends
    on how fast the machine is.
    """
    files = restoration.Files(
        sources=(source,), output=output, weights=None, recursive=False, quality="good", seed=seed,
        tile=None, max_pixels=max_pixels, device=device, precision=precision, **written,
    )  # fmt: skip
    solving.solve_files(
        "inpaint", files, method="deep_image_prior", seconds=seconds, steps=steps, mask=mask,
        outside=True,
    )  # fmt: skip
