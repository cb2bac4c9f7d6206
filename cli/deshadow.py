"""`ssl-restore deshadow`: remove a cast shadow from a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options, restoration, solving

EXAMPLES = """\b
Examples:
  ssl-restore deshadow shaded.jpg restored.png --mask shadow.png
  ssl-restore deshadow shaded.jpg restored.png --mask shadow.png --layers ./shadow/
  ssl-restore deshadow ./shaded/ ./restored/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@restoration.arguments
@options.strength
@click.option(
    "--mask",
    type=options.PATH,
    help="Picture of the same size, white where the shadow lies; a rough outline will do.",
)
@click.option("--layers", type=options.PATH, help="Folder for the shadow that was found.")
def command(*, strength: float, mask: Path | None, layers: Path | None, **given: Any) -> None:
    """Remove the cast shadow from the picture INPUT; write to OUTPUT.

    The light that is lacking is measured across the outline of the shadow, which is painted white
    in --mask, and given back.  Leave out edges of the shadow that are edges of things; the outline
    is moved to where the shadow ends, by up to a thirtieth of the picture's longer side.  Size, bit
    depth, alpha, colour profile and metadata are kept.

    Nothing that finds shadows by itself is built in: --weights are those of your own `fit`.
    """
    files = restoration.Files(**given)
    if mask is not None:
        solving.solve_files(
            "deshadow", files, method="relight", strength=strength, layers=layers, layer="shadow",
            mask=mask,
        )  # fmt: skip
        return
    if files.weights is None:
        raise click.UsageError(
            "give --mask, a picture that is white where the shadow lies, or --weights"
        )
    restoration.restore_files("deshadow", files, strength=strength, layers=layers, layer="shadow")
