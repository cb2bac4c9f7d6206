"""`ssl-restore dehaze`: remove haze and fog from a picture or a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options, restoration, solving

EXAMPLES = """\b
Examples:
  ssl-restore dehaze hazy.jpg restored.png
  ssl-restore dehaze hazy.jpg restored.png --strength 0.8
  ssl-restore dehaze ./hazy/ ./restored/ --layers ./transmission/
  ssl-restore dehaze hazy.jpg restored.png --method dark_channel
  ssl-restore dehaze ./hazy/ ./restored/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@restoration.arguments
@options.strength
@click.option(
    "--layers", type=options.PATH, help="Folder for the transmission: white is near, black far."
)
@click.option(
    "--method",
    help="A solver instead of a restorer: dark_channel or double_dip.  Clear pictures change, too.",
)
@click.option(
    "--seconds", type=options.FiniteRange(1), help="Most time for a --method that learns."
)
def command(
    *,
    strength: float,
    layers: Path | None,
    method: str | None,
    seconds: float | None,
    **given: Any,
) -> None:
    """Remove the haze from INPUT; write to OUTPUT.

    INPUT is a picture, a clip, a folder, a pattern as "*.jpg" or several of them, OUTPUT one or a
    folder, in which names are kept; - is standard input or output.  Size, bit depth, alpha, colour
    profile and metadata are kept.

    The restorer sees the whole picture at a small size first, to tell how thick its haze is; a
    picture without haze comes back nearly unchanged, which is said.
    """
    files = restoration.Files(**given)
    if method is not None:
        if files.quality != "good":
            raise click.UsageError("give --method or --quality, not both")
        solving.solve_files(
            "dehaze", files, method=method, seconds=seconds, strength=strength, layers=layers,
            layer="transmission",
        )  # fmt: skip
        return
    if seconds is not None:
        raise click.UsageError("--seconds belongs to --method: give that, too")
    restoration.restore_files(
        "dehaze", files, strength=strength, layers=layers, layer="transmission"
    )
