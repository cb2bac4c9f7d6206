"""How much haze a restored picture has left, and how much its edges have gained, without its truth.

    haze left    mean dark(restored / A) / mean dark(hazy / A)
    edges        mean |grad restored| / mean |grad hazy|, where the hazy picture has edges

dark is the least of all colours in a window, which haze raises; A, the airlight, is that of the
hazy picture. Both are 1 for a picture that comes back unchanged. A restorer that darkens lowers the
first, one that sharpens or amplifies noise raises the second: look at the pictures, too.
Reference of the second: Hautiere, Tarel, Aubert and Dumont, "Blind contrast enhancement assessment
by gradient ratioing at visible edges", Image Analysis and Stereology 2008.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_restore.calibration.dark_channel import airlight_of, dark_channel, window_of
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels

EDGES = 0.2  # share of the pixels with the largest gradients that count as edges

Values = NDArray[Any]


def haze_and_edges_left(hazy: Pixels, restored: Pixels) -> dict[str, float]:
    """`haze_left` and `edges`; NaN for a picture that is black, or flat.

    Example:
        >>> import numpy as np
        >>> hazy = np.random.default_rng(0).integers(90, 200, (64, 64, 3), np.uint8)
        >>> haze_and_edges_left(hazy, hazy)
        {'haze_left': 1.0, 'edges': 1.0}
    """
    before, after = (_values(picture) for picture in (hazy, restored))
    side = window_of(before.shape)
    airlight = airlight_of(before, side)
    haze = [
        float(dark_channel(values / airlight[:, None, None], side).mean())
        for values in (before, after)
    ]
    slopes = [_slope(values) for values in (before, after)]
    edges = slopes[0] >= np.quantile(slopes[0], 1 - EDGES)
    contrast = [float(slope[edges].mean()) for slope in slopes]
    return {"haze_left": _share(haze), "edges": _share(contrast)}


def _values(picture: Pixels) -> Values:
    return images.to_tensor(picture)[0].numpy()


def _slope(values: Values) -> Values:
    grey = np.ascontiguousarray(values.mean(axis=0))
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    return np.hypot(across, down)


def _share(pair: list[float]) -> float:
    return pair[1] / pair[0] if pair[0] > 1e-6 else math.nan
