"""`ssl-restore separate`: take a picture apart into the layers that it is a mixture of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options, restoration
from . import output as echo
from .errors import say
from .progress import bar

EXAMPLES = """\b
Examples:
  ssl-restore separate hazy.jpg ./layers/
  ssl-restore separate window1.png window2.png ./layers/ --use layers
  ssl-restore separate photo.png ./layers/ --use segmentation --hints hints.png
  ssl-restore separate hazy.jpg ./layers/ --seconds 120 --sheet now.png
"""


@click.command(epilog=EXAMPLES)
@click.argument("source", metavar="INPUT", type=options.PATH)
@click.argument("others", metavar="[SECOND] OUTPUT_FOLDER", nargs=-1, required=True,
                type=options.PATH)  # fmt: skip
@click.option(
    "--use",
    type=click.Choice(["haze", "layers", "segmentation"]),
    default="haze",
    show_default=True,
    help="What the layers are: picture and haze, two pictures, figure and ground.",
)
@click.option(
    "--hints",
    type=options.PATH,
    help="Of --use segmentation: a picture, white where the figure is, black on the ground, grey "
    "elsewhere.",
)
@click.option("--seconds", type=options.POSITIVE, help="Most time.  [default: by --steps]")
@click.option(
    "--steps", type=click.IntRange(1), default=200, show_default=True, help="At most so many."
)
@click.option(
    "--sheet", type=options.PATH, help="Picture of all layers, renewed every ten seconds."
)
@click.option(
    "--side",
    type=click.IntRange(32),
    default=256,
    show_default=True,
    help="Longest side in pixels at which the layers are drawn; detail comes from the picture.",
)
@click.option("--overwrite", is_flag=True, help="Replace layers that exist.")
@options.skip_existing
@options.seed
@options.max_pixels
@options.device
@options.precision
def command(
    *,
    source: Path,
    others: tuple[Path, ...],
    use: str,
    hints: Path | None,
    sheet: Path | None,
    overwrite: bool,
    skip_existing: bool,
    seed: int,
    max_pixels: int,
    device: str,
    **settings: Any,
) -> None:
    """Take the picture INPUT apart by Double-DIP; write its layers to OUTPUT_FOLDER as PNG.

    haze: clean, transmission, airlight.  layers: layer_1 and layer_2, two pictures seen through
    each other, and the weights of the first; a SECOND mixture of the same pictures with other
    weights tells them apart, one alone hardly does.  segmentation: figure, ground, mask.

    It takes minutes: the networks that draw the layers learn them from nothing.  With --seconds the
    result also depends on how fast the machine is.
    """
    if len(others) > 2:
        raise click.UsageError("give one INPUT or two, and an OUTPUT_FOLDER")
    *rest, folder = others
    second = rest[0] if rest else None
    if second is not None and use != "layers":
        raise click.UsageError(f"--use {use} takes one picture: leave {second} out")
    if hints is not None and use != "segmentation":
        raise click.UsageError(f"--use {use} takes no --hints: leave them out")
    from ssl_restore import device as devices  # noqa: PLC0415
    from ssl_restore.inference.separate import separate  # noqa: PLC0415
    from ssl_restore.io.folders import ResumeFolder  # noqa: PLC0415
    from ssl_restore.io.locks import only_run  # noqa: PLC0415
    from ssl_restore.solvers import double_dip  # noqa: PLC0415

    names = double_dip.layer_names(use, two=second is not None)
    with only_run(folder), bar(100, "%", "separate") as shown:
        done = separate(
            source, folder, double_dip.solve, names=names, seed=seed,
            device=devices.choose(device), second=second, hints=hints, sheet=sheet,
            overwrite=overwrite, resume=ResumeFolder(restoration.settings, skip_existing),
            max_pixels=max_pixels, use=use,
            progress=lambda share: shown.update(100 * share - shown.n),
            notify=lambda line: say(f"{source}: {line}"), **settings,
        )  # fmt: skip
    for path in done:
        echo.path(path)
