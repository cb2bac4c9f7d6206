"""Measuring one picture after the other: what the calibrations of all kinds share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels

Row = TypeVar("Row")
Calibration = TypeVar("Calibration")


@dataclass(frozen=True)
class Measured(Generic[Calibration]):
    """A calibration and the files that could not be used, one line each."""

    calibration: Calibration
    skipped: tuple[str, ...]


def measure_each(
    paths: Sequence[Path],
    measure: Callable[[str, Pixels], Row],
    *,
    limit: int | None,
    on_read: Callable[[Path], None],
    max_pixels: int,
) -> tuple[list[Row], tuple[str, ...]]:
    """A row for each picture (`limit` of them, spread over the list), and a line for each that
    could not be used; UserError where none could."""
    if limit is not None and limit < len(paths):
        paths = [paths[i * len(paths) // limit] for i in range(limit)]
    rows: list[Row] = []
    skipped: list[str] = []
    for path in paths:
        try:
            rows.append(measure(path.name, images.read(path, max_pixels=max_pixels).pixels))
        except UserError as error:
            skipped.append(str(error))
        finally:
            on_read(path)
    if not rows:
        raise UserError(f"no picture could be measured ({skipped[0] if skipped else 'none given'})")
    return rows, tuple(skipped)
