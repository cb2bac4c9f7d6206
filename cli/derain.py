"""`ssl-restore derain`: restore pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from . import options, restoration, solving

EXAMPLES = """\b
Examples:
  ssl-restore derain rainy.jpg restored.png
  ssl-restore derain rainy.jpg restored.png --adapt
  ssl-restore derain ./rainy/ ./restored/ --recursive
  ssl-restore derain ./rainy/ ./restored/ --weights runs/mine/restorer.safetensors
  ssl-restore derain ./rainy/ ./more/ --thorough 0.8
"""

ADAPTED_S = 45.0


@click.command(epilog=EXAMPLES)
@restoration.arguments
@click.option("--veil", is_flag=True, help="Also remove the veil of heavy rain.")
@options.strength
@click.option(
    "--thorough",
    type=options.FiniteRange(0, 1),
    help="0 leaves what might be no rain, 1 takes what might be.  [default: 0.25, or 0.5 for "
    "thin streaks, less where hardly any rain is seen; 0.5 with --weights]",
)
@click.option(
    "--scale",
    type=click.IntRange(1, 16),
    help="Restore down to 1/N of the size, for wide streaks.  [default: 2 or more, by the size; "
    "1 with --weights]",
)
@click.option("--layers", type=options.PATH, help="Folder for pictures of what was taken.")
@click.option("--adapt", is_flag=True, help="First learn from each picture, for --seconds.")
@click.option(
    "--seconds", type=options.FiniteRange(1), help="Time for --adapt to learn.  [default: 45]"
)
def command(
    *,
    veil: bool,
    strength: float,
    thorough: float | None,
    scale: int | None,
    layers: Path | None,
    adapt: bool,
    seconds: float | None,
    **given: Any,
) -> None:
    """Remove the rain from INPUT; write to OUTPUT.

    INPUT is a picture, a clip, a folder, a pattern as "*.jpg" or several of them, OUTPUT one or a
    folder, in which names are kept; - is standard input or output.  Size, bit depth, alpha, colour
    profile and metadata are kept.
    """
    if adapt and veil:
        raise click.UsageError("give --adapt or --veil, not both")
    files = restoration.Files(**given)
    beside = {"--thorough": thorough is not None, "--layers": layers is not None}
    for name, given_too in {**beside, "--scale": scale is not None}.items():
        if adapt and given_too:
            raise click.UsageError(f"give --adapt or {name}, not both")
    if adapt:
        limit = ADAPTED_S if seconds is None else seconds
        solving.solve_files("derain", files, seconds=limit, strength=strength)
        return
    if seconds is not None:
        raise click.UsageError("--seconds belongs to --adapt: give that, too")
    from ssl_restore import weights  # noqa: PLC0415

    then = replace(files, weights=weights.veil(), precision=files.beside_int8) if veil else None
    restoration.restore_files(
        "derain", files, strength=strength, thorough=thorough, scale=scale, then=then,
        layers=layers,
    )  # fmt: skip
