"""`ssl-restore ui`: a page in the browser that restores and fits."""

from __future__ import annotations

import signal
import threading
import webbrowser

import click

from . import options
from . import output as echo

EXAMPLES = """\b
Examples:
  ssl-restore ui
  ssl-restore ui --open
  ssl-restore ui --port 0 --max-mb 20000
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=7860, show_default=True,
    help="Of this machine; 0: any that is free.",
)  # fmt: skip
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--max-mb", type=options.FiniteRange(1), default=4000.0, show_default=True,
    help="Most that dropped files and results together may take.",
)  # fmt: skip
@options.tile
@options.max_pixels
@options.device
@options.precision
def command(
    port: int, show: bool, max_mb: float, tile: int | None, max_pixels: int, device: str,
    precision: str,
) -> None:  # fmt: skip
    """Restore and fit on a page in the browser, until Ctrl-C.

    The page is for this machine only and needs no network. Drop pictures, a folder or a clip,
    choose what to remove, compare under a slider, and download; or fit a restorer to what was
    dropped. What was dropped and made lies in a private temporary folder, which is removed when the
    page is closed.
    """
    from ssl_restore import device as devices  # noqa: PLC0415
    from ssl_restore.ui.restoring import Machine  # noqa: PLC0415
    from ssl_restore.ui.serve import served  # noqa: PLC0415

    machine = Machine(devices.choose(device), precision, tile, max_pixels)
    asked = threading.Event()
    with served(port=port, max_mb=max_mb, machine=machine) as address:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: asked.set())
        echo.path(address)
        if show:
            webbrowser.open(address)
        click.echo("Ctrl-C ends it, and removes what was dropped and made", err=True)
        while not asked.wait(1.0):
            pass
