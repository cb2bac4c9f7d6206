"""`ssl-restore recipes`: what `fit` can learn with, and the settings of each."""

from __future__ import annotations

import click


@click.command(epilog="Example:  ssl-restore recipes derain_unpaired")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the recipes of `fit`, or the settings of one."""
    from ssl_restore import discover  # noqa: PLC0415

    if name is None:
        for known in discover.names("recipes"):
            click.echo(f"{known:20} {discover.summary('recipes', known)}")
        return
    build = discover.builder("recipes", name)
    for setting, default in discover.settings(build).items():
        click.echo(f"--set {setting}={default}")
