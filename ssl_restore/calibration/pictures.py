"""Measuring one picture after the other, a row of numbers each: what kinds of calibration share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from ssl_restore import __version__
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.fields import checked, parsed
from ssl_restore.io.files import replacing
from ssl_restore.io.names import labels
from ssl_restore.io.picture import Pixels

Row = TypeVar("Row")
AnyRows = TypeVar("AnyRows", bound="Rows[Any]")
Calibration = TypeVar("Calibration")


@dataclass(frozen=True)
class Measured(Generic[Calibration]):
    """A calibration and the files that could not be used, one line each."""

    calibration: Calibration
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Rows(Generic[Row]):
    """A row of numbers for each picture of a folder, and their file.

    A subclass says what they are of (`kind`), the version of its file (`format`), and the dataclass
    of a `row`, which has a `file` and numbers; numbers that `older` versions lack have defaults.
    """

    pictures: tuple[Row, ...]
    version: str = __version__

    kind: ClassVar[str]
    format: ClassVar[int]
    older: ClassVar[frozenset[int]] = frozenset()  # versions that are read, too
    row: ClassVar[type[Any]]

    def summary(self) -> dict[str, tuple[float, float, float]]:
        """Of every number the 5 % quantile, median and 95 % quantile over the pictures."""
        rows = [self._numbers(picture) for picture in self.pictures]
        summary = {}
        for name in rows[0]:
            low, middle, high = np.quantile([row[name] for row in rows], (0.05, 0.5, 0.95))
            summary[name] = (float(low), float(middle), float(high))
        return summary

    def median(self, name: str) -> float:
        """Of one number, over the pictures."""
        return self.summary()[name][1]

    def write(self, path: Path) -> None:
        content = {
            "format": self.format,
            "kind": self.kind,
            "version": self.version,
            "folder": {
                name: dict(zip(("low", "median", "high"), map(_short, three), strict=True))
                for name, three in self.summary().items()
            },
            "pictures": [
                {name: _short(value) for name, value in asdict(picture).items()}  # type: ignore[call-overload]
                for picture in self.pictures
            ],
        }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls: type[AnyRows], path: Path) -> AnyRows:
        """The calibration in a file; UserError when it is none, damaged, or of another version."""
        again = f"calibrate the {cls.kind} of a folder"
        try:
            content = parsed(path.read_text(encoding="utf-8"))
            kind, version = content.get("kind"), content["format"]
        except OSError as error:
            raise UserError(f"{path}: could not be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path}: no calibration; {again}") from error
        if kind != cls.kind:
            raise UserError(f"{path}: is no calibration of {cls.kind}; {again}")
        if version != cls.format and version not in list(cls.older):
            raise UserError(
                f"{path}: a calibration of format {version}, this version reads {cls.format}; "
                f"{again}, again"
            )
        try:
            rows = tuple(checked(cls.row, row) for row in content["pictures"])
            if not isinstance(content["version"], str):
                raise TypeError(content["version"])
            calibration = cls(rows, content["version"])
            calibration.summary()
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(f"{path}: damaged; {again}, again") from error
        return calibration

    @staticmethod
    def _numbers(picture: Row) -> dict[str, float]:
        return {name: v for name, v in vars(picture).items() if name != "file"}


def _short(value: str | float) -> str | float:
    return float(f"{value:.5g}") if isinstance(value, float) else value


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
    named = list(zip(paths, labels(paths), strict=True))
    if limit is not None and limit < len(paths):
        named = [named[i * len(paths) // limit] for i in range(limit)]
    rows: list[Row] = []
    skipped: list[str] = []
    for path, name in named:
        try:
            rows.append(measure(name, images.read(path, max_pixels=max_pixels).pixels))
        except UserError as error:
            skipped.append(str(error))
        finally:
            on_read(path)
    if not rows:
        raise UserError(f"no picture could be measured ({skipped[0] if skipped else 'none given'})")
    return rows, tuple(skipped)
