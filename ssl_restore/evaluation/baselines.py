"""Classical filters that a restorer must beat."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from ssl_restore.inference.solve import solved
from ssl_restore.io.picture import Pixels
from ssl_restore.solvers.dark_channel import solve as solve_dark_channel


def opening_1x5(pixels: Pixels) -> Pixels:
    """Morphological opening of each channel with a horizontal line of 1 x 5 pixels.

    The largest picture under this one whose bright runs along a row are all 5 pixels or wider:
    it removes what is bright and narrow across, as near-vertical streaks are, and texture too.
    """
    line = np.ones((1, 5), np.uint8)
    opened: Pixels = cv2.morphologyEx(pixels, cv2.MORPH_OPEN, line, borderType=cv2.BORDER_REPLICATE)
    return opened.reshape(pixels.shape)


def median_3x3(pixels: Pixels) -> Pixels:
    """Median of each channel over 3 x 3 pixels, borders repeated."""
    filtered: Pixels = cv2.medianBlur(np.ascontiguousarray(pixels), 3)
    return filtered.reshape(pixels.shape)


def dark_channel(pixels: Pixels) -> Pixels:
    """The solver `dark_channel`: the classical way to take haze off."""
    return solved(pixels, solve_dark_channel, device=torch.device("cpu"))[0]
