"""Turns a user's mistake into one line on stderr and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click


class Failed(click.ClickException):
    """Something failed: exit code 1, one line."""

    exit_code = 1


@contextmanager
def reported() -> Iterator[None]:
    """Library errors that the user can mend, and running out of memory, as one line."""
    from ssl_restore.errors import UserError  # noqa: PLC0415

    try:
        yield
    except UserError as error:
        raise Failed(str(error)) from error
    except MemoryError as error:
        raise Failed("out of memory; try a smaller --tile, or a smaller --set batch=") from error


def report_skipped(lines: list[str]) -> None:
    """Name every picture that could not be used, and count them, on stderr."""
    for line in lines:
        click.echo(f"skipped: {line}", err=True)
    if lines:
        click.echo(f"{len(lines)} picture{'s' if len(lines) > 1 else ''} skipped", err=True)
