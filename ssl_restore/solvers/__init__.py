"""Restorers of one picture that need no training set: a file each, with a function `solve`.

    solve(image, *, generator, steps=..., seconds=None, seen=..., say=...) -> {"clean": Tensor}

image (1, 3, H, W), display values, which may go beyond black and white where it was not stored in a
file; every layer of the result has its shape. A run ends after `steps`, or after `seconds` if they
are over before; without `seconds` the result depends on the generator alone. `progress(share)` is
called with the share of the run that is done, `notify(line)` with what the user should know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ssl_restore import discover

DEFAULT = "recorrupted_fine_tuning"  # of `denoise --zero-shot`


def names() -> list[str]:
    """The files of this folder that define `solve`, without importing any."""
    return discover.names("solvers", "solve")


def solver(name: str) -> Callable[..., Any]:
    """The `solve` of a file: by name, with hyphens as well, or by path, `./mine.py`."""
    plain = name if name.endswith(".py") else name.replace("-", "_")
    return discover.builder("solvers", plain, "solve")
