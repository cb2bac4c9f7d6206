"""What is on a page, before it is written as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Series = list[tuple[int, float]]  # (step, value)


class Calibration(Protocol):
    """What of a calibration is shown."""

    def summary(self) -> dict[str, tuple[float, float, float]]:
        """Of every number the 5 % quantile, median and 95 % quantile."""


@dataclass(frozen=True)
class Facts:
    """A table of names and values under a heading."""

    heading: str
    rows: Mapping[str, object]


@dataclass(frozen=True)
class Shot:
    """A picture on the page, as the address of its data."""

    name: str  # of its button: before, after, truth, or what a layer is called
    uri: str


@dataclass(frozen=True)
class Scores:
    """A table: a row for each method, a column for each score."""

    heading: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Comparison:
    """A picture before and after, of one size on the page, and what belongs to them."""

    name: str
    width: int  # pixels of the largest
    height: int
    before: Shot
    after: Shot
    others: tuple[Shot, ...]  # truth and layers
    scores: tuple[Scores, ...]


@dataclass(frozen=True)
class Report:
    """All of a page."""

    title: str
    subtitle: str
    comparisons: tuple[Comparison, ...]
    scores: tuple[Scores, ...]  # means
    curves: Mapping[str, Series]
    calibration: tuple[str, Calibration] | None  # its kind
    sample: Shot | None  # sheet of the run
    facts: tuple[Facts, ...]
    notes: tuple[str, ...]
