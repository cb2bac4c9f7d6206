"""Values that a file gives for a dataclass, checked: files may be damaged, or made to do harm."""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

Checked = TypeVar("Checked")


def parsed(text: str | bytes) -> Any:
    """What a JSON text holds; ValueError where it holds none."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("lists within lists without end") from error


def checked(kind: type[Checked], values: object) -> Checked:
    """The dataclass of these fields.

    Raises:
        TypeError: For a field of another type than the annotation says, an unknown one, or one that
            is missing; a number that is not finite counts as none.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"fields by name are expected, got {values!r:.40}")
    hints = typing.get_type_hints(kind)
    for name, value in values.items():
        if name in hints and not fits(value, hints[name]):
            raise TypeError(f"{name} is {value!r:.40}")
    return kind(**values)


def fits(value: object, hint: Any) -> bool:
    """Whether a value of JSON is of an annotated type; a number that is not finite is of none."""
    kind, inside = typing.get_origin(hint), typing.get_args(hint)
    if kind in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inside)
    if kind is dict:
        return isinstance(value, dict) and all(fits(v, inside[1]) for v in value.values())
    if kind in (list, tuple):
        return isinstance(value, (list, tuple)) and all(fits(one, inside[0]) for one in value)
    if hint in (int, float):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return math.isfinite(value) and (hint is float or isinstance(value, int))
    return hint is Any or isinstance(value, hint)
