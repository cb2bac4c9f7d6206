"""Curves of a run as paths of an SVG."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ssl_restore.report.contents import Series

WIDTH, HEIGHT = 320, 150  # of the view box
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 8, 22  # margins in it
POINTS = 150  # of a curve, at most: more are drawn as their medians in a band


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A curve in a view box of WIDTH x HEIGHT, or dots where it has few values."""

    name: str
    line: str  # of a path
    band: str  # from the least to the largest of what a point stands for; "": none
    dots: tuple[tuple[float, float], ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    text: str  # the same in words


def chart(name: str, series: Series) -> Chart | None:
    """None for a series without a finite value."""
    finite = [(step, value) for step, value in series if math.isfinite(value)]
    if not finite:
        return None
    steps, values = np.array(finite, float).T
    groups = np.array_split(np.arange(len(finite)), min(len(finite), POINTS))
    x = [float(steps[group].mean()) for group in groups]
    middle = [float(np.median(values[group])) for group in groups]
    low = [float(values[group].min()) for group in groups]
    high = [float(values[group].max()) for group in groups]
    x_ticks, y_ticks = _ticks(steps.min(), steps.max(), whole=True), _ticks(min(low), max(high))
    across = _scale(steps.min(), steps.max(), LEFT, WIDTH - RIGHT)
    down = _scale(min(low), max(high), HEIGHT - BOTTOM, TOP)
    points = [(across(a), down(b)) for a, b in zip(x, middle, strict=True)]
    band = ""
    if len(finite) > POINTS:
        above = [(across(a), down(b)) for a, b in zip(x, high, strict=True)]
        below = [(across(a), down(b)) for a, b in zip(x, low, strict=True)]
        band = f"{_path([*above, *reversed(below)])}Z"
    first, last = finite[0], finite[-1]
    return Chart(
        name, _path(points), band, tuple(points) if len(points) < 30 else (),
        tuple(Tick(across(value), f"{value:g}") for value in x_ticks),
        tuple(Tick(down(value), f"{value:.4g}") for value in y_ticks),
        ", ".join(f"{value:.4g} at step {step}" for step, value in dict.fromkeys((first, last))),
    )  # fmt: skip


def _path(points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Two to five round numbers within the range, or about it where it is a single one."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    if low == high:
        return [float(low)]
    found = MaxNLocator(4, integer=whole).tick_values(low, high)
    return [float(value) for value in found if low <= value <= high] or [float(low)]


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """From values to places; a single value lies in the middle."""
    if low == high:
        return lambda value: (start + end) / 2
    return lambda value: start + (end - start) * (value - low) / (high - low)
