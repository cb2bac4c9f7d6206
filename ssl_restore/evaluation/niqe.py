"""NIQE: how far the statistics of a picture lie from those of good photographs, without its truth.

    n = (Y - m) / (s + 1)                m, s: mean and deviation of the luma Y under a Gaussian
    distance^2 = (u - v)^T ((S + T) / 2)^+ (u - v)

n and its products with four neighbours are fitted, in blocks of 96 pixels and of 48 at half the
size, by asymmetric generalised Gaussians; their 36 parameters have mean v and covariance T in the
blocks of a picture, u and S in sharp blocks of photographs. Those here are the photographs of which
the built-in derainer learned (`benchmarks/niqe_model.py`), so that numbers compare with each other
and not with those of other programs. Lower is better.

Reference: Mittal, Soundararajan and Bovik, "Making a 'completely blind' image quality analyzer",
IEEE Signal Processing Letters 2013.
"""

from __future__ import annotations

import math
from functools import cache
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma

from ssl_restore.evaluation.metrics import studio_luma
from ssl_restore.io.picture import Pixels

BLOCK = 96  # pixels, of the full size
MODEL = "niqe.npz"
_SIGMA = 7 / 6
_SHAPES = np.arange(0.2, 10, 0.001)
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))  # rising
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))

Values = NDArray[Any]


def niqe(picture: Pixels) -> float:
    """NIQE of (H, W, C) 8-bit values; NaN for one of fewer than two blocks of 96 pixels.

    Example:
        >>> import numpy as np
        >>> niqe(np.zeros((64, 64, 3), np.uint8))
        nan
    """
    found, _ = features(picture)
    found = found[np.isfinite(found).all(axis=1)]
    if len(found) < 2:
        return math.nan
    mean, covariance = _model()
    difference = mean - found.mean(axis=0)
    both = (covariance + np.cov(found, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(both) @ difference))


def features(picture: Pixels) -> tuple[Values, Values]:
    """The parameters (N, 36) of each block of a picture, and how sharp (N,) it is."""
    rows, columns = (side // BLOCK for side in picture.shape[:2])
    if not rows * columns:
        return np.empty((0, 36)), np.empty(0)
    luma = studio_luma(picture[: rows * BLOCK, : columns * BLOCK])[..., 0]
    half = cv2.resize(luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    found = []
    for values, side in ((luma, BLOCK), (half, BLOCK // 2)):
        mean = cv2.GaussianBlur(values, (7, 7), _SIGMA)
        deviation = np.sqrt(np.abs(cv2.GaussianBlur(values**2, (7, 7), _SIGMA) - mean**2))
        normal = (values - mean) / (deviation + 1)
        shape, _, left, right = _fitted(_blocks(normal, side))
        found += [shape, (left + right) / 2]
        for shift in _NEIGHBOURS:
            product = normal * np.roll(normal, shift, axis=(0, 1))
            found += _fitted(_blocks(product, side))
        if side == BLOCK:
            sharpness = _blocks(deviation, side).mean(axis=1)
    return np.stack(found, axis=1), sharpness


def _blocks(values: Values, side: int) -> Values:
    """(rows * side, columns * side) -> (rows * columns, side * side)"""
    rows, columns = (length // side for length in values.shape)
    apart = values.reshape(rows, side, columns, side).swapaxes(1, 2)
    return apart.reshape(rows * columns, side * side)


def _fitted(values: Values) -> list[Values]:
    """Shape, mean, left and right scale of the asymmetric generalised Gaussian of each row (N, M);
    NaN for a row of zeros."""

    def deviation(chosen: Values) -> Values:
        return np.sqrt((values**2 * chosen).sum(axis=1) / chosen.sum(axis=1).clip(1))

    with np.errstate(divide="ignore", invalid="ignore"):
        left, right = deviation(values < 0), deviation(values > 0)
        skew = left / right
        ratio = np.abs(values).mean(axis=1) ** 2 / (values**2).mean(axis=1)
        ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
        nearest = np.searchsorted(_RATIOS, ratio).clip(1, len(_RATIOS) - 1)
        shape = _SHAPES[nearest - (2 * ratio < _RATIOS[nearest - 1] + _RATIOS[nearest])]
        scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
        mean = (right - left) * scale * gamma(2 / shape) / gamma(1 / shape)
    return [np.where(np.isfinite(ratio), shape, np.nan), mean, left * scale, right * scale]


@cache
def _model() -> tuple[Values, Values]:
    with (resources.files("ssl_restore.evaluation") / MODEL).open("rb") as file:
        stored = np.load(file)
        return stored["mean"], stored["covariance"]
