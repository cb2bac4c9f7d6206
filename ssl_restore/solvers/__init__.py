"""Restorers of one picture that need no training set: a file each, with a function `solve`.

    solve(image, *, generator, steps=..., seconds=None, seen=..., say=...) -> {"clean": Tensor}

image (1, 3, H, W), display values, which may go beyond black and white where it was not stored in a
file; every layer of the result has its shape. A run ends after `steps`, or after `seconds` if they
are over before; without `seconds` the result depends on the generator alone. `seen(share)` is
called with the share of the run that is done, `say(line)` with what the user should know.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssl_restore.errors import UnknownName

DEFAULT = "recorrupted_fine_tuning"  # of `denoise --zero-shot`


def names() -> list[str]:
    """The files of this folder that define `solve`, without importing any."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if _solves(path))


def _solves(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "solve" for node in tree.body)


def solver(name: str) -> Callable[..., Any]:
    """The `solve` of a file; its name with hyphens does as well."""
    plain = name.replace("-", "_")
    if plain not in names():
        raise UnknownName("method", name, names())
    found: Callable[..., Any] = importlib.import_module(f"{__name__}.{plain}").solve
    return found
