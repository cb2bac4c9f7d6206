"""What commands print on stdout: paths, byte for byte, and JSON, a line each."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import click


def path(path: Path | str) -> None:
    """A path as it is, in whichever code its name is."""
    click.echo(os.fsencode(path))


def line(values: dict[str, Any]) -> None:
    """One JSON object; bytes of a name that are no UTF-8 come as \\udcXX, as Python has them."""
    click.echo(json.dumps({name: _plain(value) for name, value in values.items()}))


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
