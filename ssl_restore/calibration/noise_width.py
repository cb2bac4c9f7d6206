"""The width of correlated noise, by its correlation with the next pixel."""

from __future__ import annotations

import math
from itertools import pairwise

WIDEST_PX = 4.0


def width_of(correlation: float) -> float:
    """Width in px of the Gaussian kernel whose noise has this correlation with the next pixel.

    The inverse of sum_x k(x) k(x + 1) / sum_x k(x)^2 over whole x, by bisection.
    """
    low, high = 0.1, WIDEST_PX
    for _ in range(30):
        middle = (low + high) / 2
        if neighbouring(middle) < correlation:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def neighbouring(width_px: float) -> float:
    """The correlation of noise with the next pixel, for a kernel of this width."""
    reach = math.ceil(4 * width_px) + 1
    kernel = [math.exp(-((x / width_px) ** 2) / 2) for x in range(-reach, reach + 1)]
    return sum(a * b for a, b in pairwise(kernel)) / sum(k * k for k in kernel)
