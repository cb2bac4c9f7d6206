"""`ssl-restore denoise`: remove the noise from a picture or a folder of pictures."""

from __future__ import annotations

from typing import Any

import click

from . import options, restoration

EXAMPLES = """\b
Examples:
  ssl-restore denoise noisy.jpg restored.png
  ssl-restore denoise noisy.jpg restored.png --strength 0.7
  ssl-restore denoise enlarged.jpg restored.png --grain 2
  ssl-restore denoise noisy.png restored.png --zero-shot
  ssl-restore denoise ./noisy/ ./restored/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@restoration.arguments
@options.strength
@click.option(
    "--grain",
    type=click.IntRange(1, 4),
    default=1,
    show_default=True,
    help="Size of the noise in pixels: 2 or more for one that stays, as in enlarged pictures.",
)
@click.option("--zero-shot", is_flag=True, help="First learn from each picture, alone.")
@click.option(
    "--method",
    help="Of --zero-shot: recorrupted_fine_tuning, zero_shot_noise2noise, deep_image_prior ..."
    "  [default: the first]",
)
@click.option(
    "--seconds", type=click.FloatRange(1), help="Most time for --zero-shot to learn from a picture."
)
def command(
    *,
    strength: float,
    grain: int,
    zero_shot: bool,
    method: str | None,
    seconds: float | None,
    **given: Any,
) -> None:
    """Remove the noise from the picture or the folder INPUT; write to OUTPUT.

    A picture goes to a picture (.png, .jpg, .tif, .webp, .bmp) or into a folder, a folder to a
    folder under the same names.  Size, bit depth, alpha, colour profile and EXIF are kept.  Grain
    that is lost with the noise comes back with a --strength below 1.  Noise coarser than one or
    two pixels passes for texture and stays; with --grain 2 every second pixel is restored by
    itself, which takes it away and the finest texture, too.

    --zero-shot learns from each picture before it restores it, for about a minute.  Where its
    noise can be measured, more texture is kept.  With --seconds the result also depends on how fast
    the machine is.
    """
    files = restoration.Files(**given)
    if zero_shot:
        if files.quality != "fast":
            raise click.UsageError("--zero-shot takes all positions anyway: leave --quality out")
        if grain != 1:
            raise click.UsageError("--zero-shot restores all pixels at once: leave --grain out")
        restoration.solve_files("denoise", files, method=method, seconds=seconds, strength=strength)
        return
    if method is not None or seconds is not None:
        raise click.UsageError("--method and --seconds belong to --zero-shot: give that, too")
    from ssl_restore.inference.wrappers import with_pixel_shuffle  # noqa: PLC0415

    restoration.restore_files(
        "denoise", files, wrap=lambda net: with_pixel_shuffle(net, grain), strength=strength
    )
