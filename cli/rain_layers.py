"""`ssl-restore rain-layers`: the rain of a clip, to be put on other pictures."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from . import output as echo
from .progress import bar

EXAMPLES = """\b
Examples:
  ssl-restore rain-layers clip.mp4 ./layers/
  ssl-restore fit --images ./rainy/ --rain-layers ./layers/
  ssl-restore synth-rain ./photos/ ./set/ --rain-layers ./layers/
"""


@click.command(epilog=EXAMPLES)
@click.argument("clip", type=options.PATH)
@click.argument("output", type=options.PATH)
@click.option(
    "--count", type=click.IntRange(1), default=40, show_default=True, help="Layers, at most."
)
@options.skip_existing
def command(clip: Path, output: Path, count: int, skip_existing: bool) -> None:
    """Take layers of rain from CLIP (or a folder of frames) of one camera; write them to OUTPUT.

    A layer is what a frame shows over the median of its neighbours in time.  Frames in which other
    things move or shine are left out.  layers.json says what was, and sheet.jpg shows the layers,
    four times as bright.
    """
    from ssl_restore.io.files import check_writable  # noqa: PLC0415
    from ssl_restore.io.locks import only_run  # noqa: PLC0415

    check_writable(output)
    with only_run(output, parents=True):
        _harvest(clip, output, count, skip_existing)
    echo.path(output)


def _harvest(clip: Path, output: Path, count: int, skip_existing: bool) -> None:
    from ssl_restore.calibration import rain_layers  # noqa: PLC0415

    if skip_existing and rain_layers.is_harvested(output, clip, count):
        click.echo(f"the layers of {clip} exist already", err=True)
        return
    with bar(count, "frame", "rain-layers") as shown:
        found = rain_layers.harvest(clip, count, on_read=shown.update)
    rain_layers.write(output, clip, found, count)
    for line in found.rejected:
        click.echo(f"left out: {line}", err=True)
    click.echo(f"{len(found.layers)} layers, {len(found.rejected)} frames left out", err=True)
