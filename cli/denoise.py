"""`ssl-restore denoise`: remove the noise from a picture or a folder of pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from . import options, restoration, solving

EXAMPLES = """\b
Examples:
  ssl-restore denoise noisy.jpg restored.png
  ssl-restore denoise noisy.jpg restored.png --strength 0.7
  ssl-restore denoise enlarged.jpg restored.png --grain 2
  ssl-restore denoise scan10bit.tif restored.tif --white 1023
  ssl-restore denoise noisy.png restored.png --zero-shot
  ssl-restore denoise ./noisy/ ./restored/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@restoration.arguments
@click.option(
    "--strength",
    type=options.FiniteRange(0, 2),
    help="So much of what is found is removed; 0: none.  [default: 1, or 0 where no noise is]",
)
@click.option(
    "--grain",
    type=click.IntRange(1, 4),
    help="Size of the noise in pixels: 2 or more for one that stays.  [default: measured]",
)
@click.option(
    "--white",
    type=click.IntRange(1, 65535),
    help="Value of white, as 1023 of 10 bits in a file of 16.  [default: measured]",
)
@click.option(
    "--calibration",
    type=options.PATH,
    help="The noise, from `calibrate --noise`.  [default: measured of each picture]",
)
@click.option("--zero-shot", is_flag=True, help="First learn from each picture, alone.")
@click.option(
    "--method",
    help="Of --zero-shot: recorrupted_fine_tuning, zero_shot_noise2noise, deep_image_prior ..."
    "  [default: the first]",
)
@click.option(
    "--seconds",
    type=options.FiniteRange(1),
    help="Most time for --zero-shot to learn from a picture.",
)
def command(
    *,
    strength: float | None,
    grain: int | None,
    white: int | None,
    calibration: Path | None,
    zero_shot: bool,
    method: str | None,
    seconds: float | None,
    **given: Any,
) -> None:
    """Remove the noise from INPUT; write to OUTPUT.

    INPUT is a picture, a clip, a folder, a pattern as "*.jpg" or several of them, OUTPUT one or a
    folder, in which names are kept; - is standard input or output.  Size, bit depth, alpha, colour
    profile and metadata are kept.

    The noise is measured first, and a line says what was chosen: how coarse it is, whether pixels
    are broken, which value is white.  Grain that is lost with the noise comes back with a
    --strength below 1.  Noise coarser than one or two pixels passes for texture and stays; with
    --grain 2 every second pixel is restored by itself, which takes it away and the finest texture,
    too.

    --zero-shot learns from each picture before it restores it, for about a minute.  Where its noise
    can be measured, more texture is kept.  With --seconds the result also depends on how fast the
    machine is.
    """
    files = restoration.Files(**given)
    if zero_shot:
        if files.quality == "best":
            raise click.UsageError(
                "--zero-shot takes all positions anyway: leave --quality best out"
            )
        if grain not in (None, 1):
            raise click.UsageError("--zero-shot restores all pixels at once: leave --grain out")
        if calibration is not None:
            raise click.UsageError("--zero-shot measures each picture: leave --calibration out")
        from ssl_restore.inference.condition import condition_of  # noqa: PLC0415

        solving.solve_files(
            "denoise", files, method=method, seconds=seconds,
            strength=1.0 if strength is None else strength,
            condition=partial(condition_of, white=white),
        )  # fmt: skip
        return
    if method is not None or seconds is not None:
        raise click.UsageError("--method and --seconds belong to --zero-shot: give that, too")
    from ssl_restore.inference.denoising import Treatments  # noqa: PLC0415

    restoration.restore_files(
        "denoise", files,
        choose=partial(
            Treatments, grain=grain, strength=strength, white=white, calibration=calibration
        ),
    )  # fmt: skip
