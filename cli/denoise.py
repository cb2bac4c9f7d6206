"""`ssl-restore denoise`: remove the noise from a picture or a folder of pictures."""

from __future__ import annotations

from typing import Any

import click

from . import restoring

EXAMPLES = """\b
Examples:
  ssl-restore denoise noisy.jpg restored.png
  ssl-restore denoise noisy.jpg restored.png --strength 0.7
  ssl-restore denoise ./noisy/ ./restored/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@restoring.arguments
@click.option(
    "--strength",
    type=click.FloatRange(0, 2),
    default=1.0,
    show_default=True,
    help="So much of the noise that is found is removed; 0: none.",
)
def command(**given: Any) -> None:
    """Remove the noise from the picture or the folder INPUT; write to OUTPUT.

    A picture goes to a picture (.png, .jpg, .tif, .webp, .bmp) or into a folder, a folder to a
    folder under the same names.  Size, bit depth, alpha, colour profile and EXIF are kept.  Grain
    that is lost with the noise comes back with a --strength below 1.
    """
    restoring.restore_files("denoise", **given)
