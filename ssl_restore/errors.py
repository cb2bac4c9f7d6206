"""Errors that are the user's to mend: one line that names the thing and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the input.  The command line prints its message and no traceback.

    Args:
        message: What was expected, what came, what to do.
        parameter: Name of the parameter that is wrong; the command line names its option instead.

    Example:
        >>> str(UserError("at least 1 is expected, got 0", parameter="frames"))
        'frames: at least 1 is expected, got 0'
    """

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message if parameter is None else f"{parameter}: {message}")
        self.message = message
        self.parameter = parameter

    def saying(self, message: str) -> UserError:
        """The same error, of its class and parameter, with another message."""
        other = type(self).__new__(type(self))
        UserError.__init__(other, message, parameter=self.parameter)
        return other


class WrongCall(UserError):
    """A name, or a set of arguments, that no files could make right."""


class UnknownName(WrongCall):
    """A name that is not on the list: a recipe, a network, a setting."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        super().__init__(f"unknown {kind} {name!r}: {hint}known: {', '.join(names)}")
