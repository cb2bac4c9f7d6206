"""Broken pixels, told by their neighbours: impulses, salt and pepper, hot pixels.

A pixel is broken that is farther from the median of its 8 neighbours than five times what is usual
at that brightness. Reference: Sun and Neuvo, "Detail-preserving median based filters in image
processing", Pattern Recognition Letters 1994 (switching between a pixel and a median).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

LEVELS = 8  # of brightness, as many pixels in each
BROKEN = 5.0  # deviations from the median of its neighbours that make a pixel broken
LEAST = 1 / 255  # deviation, display units
# Pairs of 8 to be put in order, one after the other (Batcher's network).
SORTING_NETWORK = (
    (0, 1), (2, 3), (4, 5), (6, 7), (0, 2), (1, 3), (4, 6), (5, 7), (1, 2), (5, 6),
    (0, 4), (1, 5), (2, 6), (3, 7), (2, 4), (3, 5), (1, 2), (3, 4), (5, 6),
)  # fmt: skip

Values = NDArray[np.float32]
Array = TypeVar("Array")


@dataclass(frozen=True)
class Limits:
    """From the median of its neighbours, how far a pixel may be at which brightness of that."""

    edges: tuple[float, ...]  # between levels of brightness, LEVELS - 1 of them
    limits: tuple[float, ...]  # of each level, display units
    alike: int = 9  # so many neighbours within half the limit of a pixel make it detail; 9: none do

    def at(self, around: Values) -> Values:
        """The limit of every pixel whose neighbours have this median."""
        found: Values = np.asarray(self.limits, np.float32)[np.digitize(around, self.edges)]
        return found


def limits_of(off: Values, around: Values) -> Limits:
    """What is usual in a picture whose pixels are `off` the median `around` them, (H, W) both."""
    edges = np.quantile(around, np.linspace(0, 1, LEVELS + 1)[1:-1])
    level = np.digitize(around, edges)
    limits = []
    for number in range(LEVELS):  # noise depends on the brightness
        here = np.abs(off[level == number])
        usual = float(np.median(here)) / 0.6745 if here.size else 0.0
        limits.append(BROKEN * max(usual, LEAST))
    return Limits(tuple(map(float, edges)), tuple(limits))


def mend(plane: Values) -> tuple[Values, Values]:
    """A plane (H, W) with its broken pixels replaced by the median around them; and the chance that
    each is broken: 0, or 1 and what is missed beside it, as values close to the true one are.

    What is missed is estimated for values of any size alike, none for broken pixels that are mostly
    black or white.
    """
    around = median_around(plane)
    off = plane - around
    limit = limits_of(off, around).at(around)
    broken = np.abs(off) > limit
    missed = np.minimum(around + limit, 1) - np.maximum(around - limit, 0)
    extreme = ((plane <= 0) | (plane >= 1))[broken]
    if extreme.sum() > 0.5 * extreme.size:
        missed = np.zeros_like(plane)
    return np.where(broken, around, plane), broken / np.maximum(1 - missed, 0.1)


def median_around(plane: Values) -> Values:
    """The median of the 8 neighbours: the mean of the 4th and 5th, without the pixel itself."""
    padded = np.pad(plane, 1, mode="reflect")
    height, width = plane.shape
    neighbours = [
        padded[row : row + height, column : column + width]
        for row in range(3)
        for column in range(3)
        if (row, column) != (1, 1)
    ]
    return median_of_8(neighbours, np.minimum, np.maximum)


def median_of_8(
    values: Sequence[Array],
    minimum: Callable[[Array, Array], Array],
    maximum: Callable[[Array, Array], Array],
) -> Array:
    """The mean of the 4th and 5th of 8 arrays or tensors, value by value."""
    ordered: list[Any] = list(values)
    for low, high in SORTING_NETWORK:
        one, other = ordered[low], ordered[high]
        ordered[low], ordered[high] = minimum(one, other), maximum(one, other)
    middle: Array = (ordered[3] + ordered[4]) / 2
    return middle
