"""Dark channel prior: haze is what the darkest of the colours around a pixel has too much of.

    dark(I) = min over the colours and a window of I
    A       mean of the 0.1 % of the pixels whose dark channel is brightest
    t       1 - omega mean over s of dark_s(I / A), refined by a guided filter with the picture as
            its guide
    J       (I - A) / max(t, t0) + A

Display values, as published. The prior says that somewhere in a window a colour is dark. On white
things it is not: windows s of twice and four times the side look beyond them, and the published one
keeps to distances that change fast. Nor is it in the sky: there t would be near 0 and noise be
amplified tenfold. So t is raised where a colour is nearer to the airlight than `tolerance` (Jiang
et al.):

    t <- min(1, t max(1, tolerance / |I - A|))

References: He, Sun and Tang, "Single image haze removal using dark channel prior", CVPR 2009 and
PAMI 2011, eq. 5 to 16; He, Sun and Tang, "Guided image filtering", PAMI 2013, and "Fast guided
filter", arXiv 1505.00996; Jiang et al., "Fog density estimation and image defogging based on
surrogate modeling for optical depth", TIP 2017 (tolerance for the sky).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

BRIGHTEST = 0.001  # share of the pixels that tell the airlight
PUBLISHED_PX = 600  # longest side of the pictures for which the windows were published
GUIDE_REACH = 4  # radius of the guided filter over the window
GUIDE_PX = 320  # longest side at which its coefficients are computed
GUIDE_EPS = 1e-3
LEAST_AIRLIGHT = 0.05

Values = NDArray[Any]


@dataclass(frozen=True)
class Dehazed:
    """A picture (3, H, W) without its haze, and what was found of it."""

    clean: Values
    transmission: Values  # (H, W), raised where colours are near the airlight
    airlight: Values  # (3,)
    sky: float  # share of the pixels where it was raised
    median: float  # transmission, before it was raised


def dehazed(
    values: Values,
    *,
    omega: float = 0.95,
    window: int = 15,
    scales: int = 3,
    least: float = 0.1,
    tolerance: float = 0.1,
) -> Dehazed:
    """A picture (3, H, W), float32 display values, without its haze; settings as of the solver."""
    inside = values.clip(0, 1)
    side = window_of(values.shape, window)
    airlight = airlight_of(inside, side)
    light = airlight[:, None, None]
    shares = inside / light
    sides = [window_of(values.shape, window * 2**scale) for scale in range(scales)]
    dark = [dark_channel(shares, one) for one in sides]
    rough = 1 - omega * np.mean(dark, axis=0, dtype=np.float32)
    t = guided(inside, rough, GUIDE_REACH * side).clip(0, 1)
    near = np.abs(inside - light).max(axis=0)
    raised = np.minimum(t * np.maximum(1, tolerance / np.maximum(near, 1e-3)), 1)
    clean = (values - light) / np.maximum(raised, least) + light
    return Dehazed(clean, raised, airlight, float((raised > t + 0.1).mean()), float(np.median(t)))


def window_of(shape: tuple[int, ...], window: float = 15) -> int:
    """Side of the window in a picture (..., H, W), odd: `window` pixels for a picture of 600."""
    length = window * max(1.0, max(shape[-2:]) / PUBLISHED_PX)
    return 2 * round(length / 2) + 1


def dark_channel(values: Values, side: int) -> Values:
    """(3, H, W) -> (H, W), the least of all colours in a window."""
    return np.asarray(cv2.erode(values.min(axis=0), np.ones((side, side), np.uint8)))


def airlight_of(values: Values, side: int) -> Values:
    """(3,) colour of the haze."""
    dark = dark_channel(values, side).ravel()
    count = max(1, round(BRIGHTEST * dark.size))
    brightest = np.argpartition(dark, -count)[-count:]
    colour: Values = values.reshape(3, -1)[:, brightest].mean(axis=1)
    return np.maximum(colour, LEAST_AIRLIGHT)


def guided(guide: Values, values: Values, radius: int, trust: Values | None = None) -> Values:
    """values (H, W) smoothed but at edges of the mean of a guide (3, H, W): a local a g + b, fitted
    with the weights `trust` (H, W), above 0, where they are given."""
    grey = guide.mean(axis=0)
    scale = max(1.0, max(grey.shape) / GUIDE_PX)
    size = tuple(max(1, round(side / scale)) for side in grey.shape[::-1])
    g, v = (cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (grey, values))
    side = 2 * max(1, round(radius / scale)) + 1

    def mean(plane: Values) -> Values:
        return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT))

    trusted = mean
    if trust is not None:
        w = cv2.resize(trust, size, interpolation=cv2.INTER_AREA)
        total = mean(w)

        def trusted(plane: Values) -> Values:
            return np.asarray(mean(w * plane) / total)

    mean_g, mean_v = trusted(g), trusted(v)
    a = (trusted(g * v) - mean_g * mean_v) / (trusted(g * g) - mean_g**2 + GUIDE_EPS)
    b = mean_v - a * mean_g
    full = grey.shape[::-1]
    gain, offset = (cv2.resize(mean(plane), full) for plane in (a, b))
    return np.asarray(gain * grey + offset)
