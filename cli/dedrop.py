"""`ssl-restore dedrop`: remove drops of water on the lens from a picture or a folder of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options, restoration, solving

EXAMPLES = """\b
Examples:
  ssl-restore dedrop wet.jpg restored.png
  ssl-restore dedrop wet.jpg restored.png --scale 4
  ssl-restore dedrop wet.jpg restored.png --thorough 0.8
  ssl-restore dedrop wet.jpg restored.png --mask drops.png
  ssl-restore dedrop wet.jpg restored.png --mask drops.png --seconds 300
  ssl-restore dedrop ./wet/ ./restored/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@restoration.arguments
@options.strength
@click.option(
    "--thorough",
    type=options.FiniteRange(0, 1),
    help="How much of a picture drops must cover to be taken: with 0 most of it, with 1 a "
    "seventieth.  [default: 0.5, a tenth]",
)
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
@click.option(
    "--scale",
    type=click.IntRange(1, 16),
    help="Restore down to 1/N of the size, for large drops.  [default: 1]",
)
def command(
    *,
    strength: float,
    thorough: float | None,
    mask: Path | None,
    steps: int | None,
    seconds: float | None,
    scale: int | None,
    **given: Any,
) -> None:
    """Remove drops on the lens, or on glass before it, from INPUT; write to OUTPUT.

    The built-in restorer takes drops that are out of focus, up to some 50 pixels in radius, or with
    --scale larger ones, and brings back what comes past them.  A picture in which it finds hardly
    any is left as it is, unless --thorough asks for more.  With --mask what is white there is
    filled in from around it, which takes minutes (`deep_image_prior`).  Size, bit depth, alpha,
    colour profile and metadata are kept.
    """
    files = restoration.Files(**given)
    if mask is not None:
        for name, given_too in {"--scale": scale, "--thorough": thorough}.items():
            if given_too is not None:
                raise click.UsageError(
                    f"{name} is for what finds drops by itself: leave out --mask"
                )
        own: dict[str, Any] = {} if steps is None else {"steps": steps}
        solving.solve_files(
            "dedrop", files, seconds=seconds, strength=strength, mask=mask, outside=True, **own
        )
        return
    if seconds is not None or steps is not None:
        raise click.UsageError("--steps and --seconds belong to --mask: give that, too")
    restoration.restore_files(
        "dedrop", files, strength=strength, thorough=thorough, scale=scale or 1
    )
