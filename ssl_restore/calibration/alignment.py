"""How far a picture lies beside another one of the same scene, and whether it is the same."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

LEAST_LIKENESS = 0.3  # correlation at the best shift, below which it is another scene
LEAST_DETAIL = 2.0  # grey levels, from which pictures can be compared
_FINE_PX, _COARSE_PX = 2.0, 8.0  # standard deviations that bound the band that is compared

Plane = NDArray[np.float32]


def shift(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """(rows, columns, likeness): how far `other` (H, W, C) lies down and to the right of `one`.

    The place of the largest cross-correlation of the band-passed pictures, which independent noise
    does not move, to a fraction of a pixel by a parabola; likeness is the correlation there.
    (0, 0, 1) where the pictures hold little detail besides noise, so that nothing can be told.
    """
    a, b = _detail(one), _detail(other)
    detail = float(min(a.std(), b.std()))
    if detail < LEAST_DETAIL:
        return 0.0, 0.0, 1.0
    edge = cv2.createHanningWindow((a.shape[1], a.shape[0]), cv2.CV_32F)
    a, b = a * edge, b * edge
    match = np.fft.irfft2(np.conj(np.fft.rfft2(a)) * np.fft.rfft2(b), a.shape)
    row, column = (int(place) for place in np.unravel_index(int(match.argmax()), match.shape))
    likeness = float(match[row, column] / np.sqrt((a**2).sum() * (b**2).sum()))
    if likeness < LEAST_LIKENESS and detail < 3 * _noise_in_band(one, other):
        return 0.0, 0.0, 1.0
    return _vertex(match[:, column], row), _vertex(match[row], column), likeness


def detailed(pixels: np.ndarray) -> bool:
    """Whether they can be compared with others."""
    return bool(_detail(pixels).std() >= LEAST_DETAIL)


def _noise_in_band(one: np.ndarray, other: np.ndarray) -> float:
    """Standard deviation, grey levels, that white noise of these pictures has in their `_detail`.

    That of a pixel is told by the median of diagonal differences of the difference picture.
    """
    grey = (one.astype(np.float32) - other).mean(axis=2)
    steps = grey[1:, 1:] - grey[1:, :-1] - grey[:-1, 1:] + grey[:-1, :-1]
    pixel = float(np.median(np.abs(steps))) / (0.6745 * 2) / 2**0.5
    return pixel / (2 * np.pi**0.5 * _FINE_PX)


def _detail(pixels: np.ndarray) -> Plane:
    """Luminance between two scales, grey levels, (H, W)."""
    grey = pixels.astype(np.float32).mean(axis=2)
    fine = cv2.GaussianBlur(grey, (0, 0), _FINE_PX)
    band: Plane = fine - cv2.GaussianBlur(grey, (0, 0), _COARSE_PX)
    return band


def _vertex(match: np.ndarray, peak: int) -> float:
    """Signed place of the top of a parabola through the peak of a circular row, and beside it."""
    size = len(match)
    before, here, after = (float(match[(peak + step) % size]) for step in (-1, 0, 1))
    bend = before - 2 * here + after
    top = peak + (0.5 * (before - after) / bend if bend < 0 else 0.0)
    return top - size if top > size / 2 else top
