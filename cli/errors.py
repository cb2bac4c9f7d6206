"""Turns a user's mistake into one line on stderr and an exit code.

2    the call is wrong: a name, a value or a set of options that no files could make right
1    a file is missing or in the way, or something failed
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import click


class Failed(click.ClickException):
    """Something failed: exit code 1, one line."""

    exit_code = 1


class Wrong(Failed):
    """The call is wrong, as the library says: exit code 2, one line."""

    exit_code = 2


@contextmanager
def reported() -> Iterator[None]:
    """Library errors that the user can mend, and running out of memory, as one line."""
    from ssl_restore.errors import UserError, WrongCall  # noqa: PLC0415

    memory = "out of memory; try a smaller --tile, or a smaller --set batch="
    try:
        yield
    except UserError as error:
        wrong = isinstance(error, WrongCall) or _is_value(error.parameter)
        kind = Wrong if wrong else Failed
        raise kind(as_options(error.message, error.parameter)) from error
    except OSError as error:  # a right that is missing, a full disk: whatever was on its way
        if isinstance(error, BrokenPipeError):
            raise
        if error.filename is None:
            _leave_output()
        where, what = error.filename or "output", error.strerror or error
        raise Failed(f"{where}: {what}; check its rights and the disk") from error
    except MemoryError as error:
        raise Failed(memory) from error
    except (click.exceptions.Exit, click.Abort):  # RuntimeErrors of click, before torch is there
        raise
    except RuntimeError as error:
        from ssl_restore.device import out_of_memory  # noqa: PLC0415

        if not out_of_memory(error):
            raise
        raise Failed(memory) from error


def _leave_output() -> None:
    """Send what is still to be written on standard output nowhere: it would fail again at the
    end."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def as_options(message: str, parameter: str | None = None) -> str:
    """The message of a library error with the names of its parameters as options.

    `tile` becomes --tile where the command has that option, `max_pixels=9` becomes --max-pixels 9,
    and what is none of its options is a setting where it takes any: --set batch.
    """
    known = _options()

    def option(match: re.Match[str]) -> str:
        name, _, value = match[1].partition("=")
        flag = known.get(name)
        if flag is None and value and "settings" in known:
            return f"--set {name}={value}"
        return match[0] if flag is None else f"{flag} {value}".rstrip()

    text = re.sub(r"`([a-z_]+(?:=[^`]*)?)`", option, message)
    if parameter is None:
        return text
    named = known.get(parameter) or (f"--set {parameter}" if "settings" in known else parameter)
    return f"{named}: {text}"


def _is_value(parameter: str | None) -> bool:
    """Whether a parameter is an option of the command that runs, or a setting that it takes, and
    not a file or an address."""
    given = _given()
    option = given.get(parameter or "")
    if option is None:
        return parameter is not None and "settings" in given
    return not (isinstance(option.type, click.Path) or option.metavar == "ADDRESS")


def _options() -> Mapping[str, str]:
    """Name of a parameter -> option, of the command that runs."""
    return {name: max(option.opts, key=len) for name, option in _given().items()}


def _given() -> Mapping[str, click.Option]:
    """Options of the command that runs, by the names of their parameters."""
    context = click.get_current_context(silent=True)
    if context is None:
        return {}
    command: click.Command | None = context.command
    if isinstance(command, click.Group) and context.invoked_subcommand:
        command = command.get_command(context, context.invoked_subcommand)
    return {
        parameter.name: parameter
        for parameter in (command.params if command is not None else ())
        if isinstance(parameter, click.Option) and parameter.name
    }


def say(line: str) -> None:
    """A line of the library on stderr, with the names of its parameters as options."""
    click.echo(as_options(line), err=True)


def report_skipped(lines: list[str]) -> None:
    """Name every picture that could not be used, and count them, on stderr; what all frames of a
    clip failed of is said once."""
    for line in dict.fromkeys(lines):
        say(f"skipped: {line}")
    if lines:
        click.echo(f"{len(lines)} picture{'s' if len(lines) > 1 else ''} skipped", err=True)
