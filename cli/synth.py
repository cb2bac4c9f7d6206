"""`ssl-restore synth`: a data set of photographs degraded by the models of `degradations`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .synth_rain import make_set

if TYPE_CHECKING:
    from ssl_restore.synthesis.degrader import Degrader

EXAMPLES = """\b
Examples:
  ssl-restore synth
  ssl-restore synth haze
  ssl-restore synth haze ./photos/ ./hazy/ --set visibility_m=50,200
  ssl-restore synth blur,noise,jpeg ./photos/ ./old/ --set noise.sigma=0.05 --variants 2
"""


@click.command(epilog=EXAMPLES)
@click.argument("names", required=False, metavar="[NAME,...]")
@click.argument("photos", required=False, type=options.PATH)
@click.argument("output", required=False, type=options.PATH)
@options.settings
@options.data_set
def command(
    names: str | None,
    photos: Path | None,
    output: Path | None,
    settings: tuple[str, ...],
    **data_set: Any,
) -> None:
    """Degrade PHOTOS (a folder, a picture or a clip); write a data set to OUTPUT.

    NAME is a degradation, or several one after the other, as blur,noise.  Writes degraded/ and
    clean/ under the same names, and meta.jsonl with what was drawn for each.  The same command
    goes on where it was interrupted.  Without a NAME the degradations are listed; without PHOTOS
    the settings of the named ones.
    """
    if names is None:
        _list()
        return
    chosen = [name for name in names.split(",") if name]
    if not chosen:
        raise click.UsageError("no NAME in it; `ssl-restore synth` lists the degradations")
    if photos is None:
        _list_settings(chosen)
        return
    if output is None:
        raise click.UsageError("Missing argument 'OUTPUT': the folder of the data set")

    def maker(fps: float | None) -> Degrader:
        from ssl_restore.synthesis import presets  # noqa: PLC0415

        return presets.degradation(chosen, seed=data_set["seed"], changes=settings, fps=fps)

    make_set("synth", photos, output, maker, **data_set)


def _list() -> None:
    from ssl_restore import discover  # noqa: PLC0415

    for name in discover.degradations():
        click.echo(f"{name:18} {discover.degradation_summary(name)}")


def _list_settings(names: list[str]) -> None:
    from ssl_restore import discover  # noqa: PLC0415
    from ssl_restore.synthesis import presets  # noqa: PLC0415

    for name in names:
        owner = f"{name}." if len(names) > 1 else ""
        for setting, default in presets.settable(discover.degradation(name)).items():
            values = default if isinstance(default, tuple) else (default,)
            shown = ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
            click.echo(f"--set {owner}{setting}={shown}")
