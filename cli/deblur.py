"""`ssl-restore deblur`: undo the blur of a picture or of a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options, restoration, solving

EXAMPLES = """\b
Examples:
  ssl-restore deblur blurred.jpg sharp.png
  ssl-restore deblur blurred.jpg sharp.png --kernel-px 45
  ssl-restore deblur ./blurred/ ./sharp/ --layers ./kernels/
  ssl-restore deblur ./blurred/ ./sharp/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@restoration.arguments
@options.strength
@click.option("--layers", type=options.PATH, help="Folder for the kernel of each picture.")
@click.option("--method", help="A solver.  [default: blind_deblur, where no --weights are given]")
@click.option(
    "--kernel-px",
    type=click.IntRange(3),
    help="Side of the square in which the kernel is sought.  [default: as the picture tells]",
)
@click.option("--seconds", type=options.FiniteRange(1), help="Most time a picture, of a --method.")
def command(
    *,
    strength: float,
    layers: Path | None,
    method: str | None,
    kernel_px: int | None,
    seconds: float | None,
    **given: Any,
) -> None:
    """Undo the blur of INPUT; write to OUTPUT.

    INPUT is a picture, a clip, a folder, a pattern as "*.jpg" or several of them, OUTPUT one or a
    folder, in which names are kept; - is standard input or output.  Size, bit depth, alpha, colour
    profile and metadata are kept.

    The way of the camera during the exposure, or the disc of defocus, is estimated from each
    picture alone and undone; it must be nearly the same everywhere in the picture.  A sharp picture
    comes back unchanged, which is said.
    """
    files = restoration.Files(**given)
    if files.weights is not None and method is None:
        if layers is not None or kernel_px is not None or seconds is not None:
            raise click.UsageError(
                "--layers, --kernel-px and --seconds belong to a --method: leave --weights out"
            )
        restoration.restore_files("deblur", files, strength=strength)
        return
    if files.quality != "good":
        raise click.UsageError("--quality belongs to --weights: leave it out")
    own: dict[str, Any] = {} if kernel_px is None else {"kernel_px": kernel_px}
    solving.solve_files(
        "deblur", files, method=method, seconds=seconds, strength=strength, layers=layers,
        layer="kernel", **own,
    )  # fmt: skip
