"""How near a restored picture is to the clean one: PSNR and SSIM, of RGB and of luma.

Values are 8-bit display values, 0 to 255, computed in float64; pictures are (H, W, C) arrays and
are not cropped.  A float64 array, such as a luma that is not rounded, is taken as it is.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_restore.errors import UserError

PEAK = 255.0
_TAPS, _SIGMA = 11, 1.5  # pixels
_C1, _C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
_BAND = 256  # rows at a time: a large picture needs no float64 copy of itself

Values = NDArray[Any]


def psnr(a: Values, b: Values) -> float:
    """10 log10(255^2 / mean (a - b)^2) in dB over all pixels and channels; inf where they agree."""
    _check(a, b)
    rows = range(0, len(a), _BAND)
    error = sum(
        float(((a[r : r + _BAND] - b[r : r + _BAND].astype(float)) ** 2).sum()) for r in rows
    )
    return 10.0 * math.log10(PEAK**2 * a.size / error) if error else math.inf


def ssim(a: Values, b: Values) -> float:
    """Structural similarity (Wang et al. 2004, eq. 13), mean over positions and channels.

    SSIM = (2 m_a m_b + C1) (2 c_ab + C2) / ((m_a^2 + m_b^2 + C1) (v_a + v_b + C2)) with
    C1 = (0.01 255)^2, C2 = (0.03 255)^2 and the means m, variances v and covariance c under an
    11 x 11 Gaussian of sigma 1.5 pixels that sums to 1 (population moments).  The border: only
    windows that lie wholly inside the picture count, (H - 10) (W - 10) of them; nothing is padded.
    It is the number that skimage's structural_similarity returns for gaussian_weights=True,
    sigma=1.5, use_sample_covariance=False, data_range=255.
    """
    _check(a, b)
    height, width, channels = a.shape
    margin = _TAPS - 1
    if min(height, width) <= margin:
        raise UserError(f"SSIM needs a picture of 11 x 11 pixels or more, got {width} x {height}")
    total = 0.0
    for top in range(0, height - margin, _BAND):
        rows = slice(top, top + _BAND + margin)
        for channel in range(channels):
            x, y = (values[rows, :, channel].astype(np.float64) for values in (a, b))
            total += _ssim_sum(x, y)
    return total / float((height - margin) * (width - margin) * channels)


def _ssim_sum(x: Values, y: Values) -> float:
    kernel = cv2.getGaussianKernel(_TAPS, _SIGMA, cv2.CV_64F)

    def mean(values: Values) -> Values:
        blurred: Values = cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel)
        return blurred[_TAPS // 2 : -(_TAPS // 2), _TAPS // 2 : -(_TAPS // 2)]

    mean_x, mean_y = mean(x), mean(y)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = mean(x * y) - product
    variances = mean(x**2 + y**2) - squares
    top = (2 * product + _C1) * (2 * covariance + _C2)
    return float((top / ((squares + _C1) * (variances + _C2))).sum())


def studio_luma(rgb: Values) -> Values:
    """ITU-R BT.601, studio range: Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255, in [16, 235].

    (H, W, 3) values of 0 to 255 -> (H, W, 1) float64, not rounded; grey (H, W, 1) is R = G = B.
    """
    weights = np.array([[65.481], [128.553], [24.966]]) / PEAK
    y: Values = rgb * weights.sum() if rgb.shape[2] == 1 else rgb @ weights
    return y + 16.0


def scores(restored: Values, clean: Values) -> dict[str, float]:
    """psnr_rgb, ssim_rgb, psnr_y and ssim_y of two pictures; the last two of `studio_luma`."""
    _check(restored, clean)
    pairs = {"rgb": (restored, clean), "y": (studio_luma(restored), studio_luma(clean))}
    return {f"{m.__name__}_{space}": m(*pairs[space]) for space in pairs for m in (psnr, ssim)}


def _check(a: Values, b: Values) -> None:
    if a.ndim != 3 or a.shape != b.shape:
        sizes = " and ".join(" x ".join(map(str, x.shape)) for x in (a, b))
        raise UserError(f"pictures to compare must be of one size (H x W x C), got {sizes}")
    for values in (a, b):
        if values.dtype not in (np.uint8, np.float64):
            raise UserError(f"metrics compare 8-bit values, got {values.dtype}; convert both first")
