"""`ssl-restore dedrop`: remove drops of water on the lens from a picture or a folder of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options, restoration, solving

EXAMPLES = """\b
Examples:
  ssl-restore dedrop wet.jpg restored.png --mask drops.png
  ssl-restore dedrop wet.jpg restored.png --mask drops.png --seconds 300
  ssl-restore dedrop ./wet/ ./restored/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@restoration.arguments
@options.strength
@click.option(
    "--mask",
    type=options.PATH,
    help="Picture of the same size, white where drops lie; what is there is filled in.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    help="Most steps to learn a piece of 512 pixels.  [default: 1000]",
)
@click.option("--seconds", type=options.POSITIVE, help="Most time to learn.")
def command(
    *,
    strength: float,
    mask: Path | None,
    steps: int | None,
    seconds: float | None,
    **given: Any,
) -> None:
    """Remove drops on the lens, or on glass before it, from INPUT; write to OUTPUT.

    With --mask what is white there is filled in from around it, which takes minutes
    (`deep_image_prior`).  Size, bit depth, alpha, colour profile and metadata are kept.

    Nothing that finds drops by itself is built in: --weights are those of your own `fit`.
    """
    files = restoration.Files(**given)
    if mask is not None:
        own: dict[str, Any] = {} if steps is None else {"steps": steps}
        solving.solve_files(
            "dedrop", files, seconds=seconds, strength=strength, mask=mask, outside=True, **own
        )
        return
    if seconds is not None or steps is not None:
        raise click.UsageError("--steps and --seconds belong to --mask: give that, too")
    if files.weights is None:
        raise click.UsageError("give --mask, a picture that is white where drops lie, or --weights")
    restoration.restore_files("dedrop", files, strength=strength)
