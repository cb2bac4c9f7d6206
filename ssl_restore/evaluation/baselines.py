"""Classical filters that a restorer must beat."""

from __future__ import annotations

import cv2
import numpy as np

from ssl_restore.calibration.dark_channel import dehazed
from ssl_restore.io.picture import Pixels


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


def unsharp_mask(pixels: Pixels) -> Pixels:
    """A picture and once more what a Gaussian of 2 pixels takes from it, in every channel."""
    values = pixels.astype(np.float32)
    smooth = cv2.GaussianBlur(values, (0, 0), 2.0).reshape(values.shape)
    peak = np.iinfo(pixels.dtype).max
    return np.rint((2 * values - smooth).clip(0, peak)).astype(pixels.dtype)


def clahe(pixels: Pixels) -> Pixels:
    """Contrast-limited adaptive histogram equalisation of the luma: the dark becomes brighter."""
    equalise = cv2.createCLAHE(2.0, (8, 8)).apply
    if pixels.shape[2] == 1:
        grey: Pixels = equalise(np.ascontiguousarray(pixels[..., 0]))
        return grey[..., None]
    parts = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2YCrCb)
    parts[..., 0] = equalise(parts[..., 0])
    colour: Pixels = cv2.cvtColor(parts, cv2.COLOR_YCrCb2RGB)
    return colour


def dark_channel(pixels: Pixels) -> Pixels:
    """The solver `dark_channel`: the classical way to take haze off."""
    peak = np.iinfo(pixels.dtype).max
    planes = np.broadcast_to(pixels.transpose(2, 0, 1), (3, *pixels.shape[:2]))
    clean = dehazed(planes.astype(np.float32, order="C") / peak).clean.clip(0, 1)
    stored = np.rint(peak * clean).astype(pixels.dtype).transpose(1, 2, 0)
    return np.ascontiguousarray(stored[..., : pixels.shape[2]])
