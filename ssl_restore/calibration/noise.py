"""The noise of pictures in numbers, estimated from them alone: `calibrate --noise`.

    I = J + n,   var n = gain J + sigma^2,   correlated to neighbouring pixels and between channels
    or not, and a share of the pixels broken

Display values from black to the white that the picture uses (`io.used_range`). Broken pixels are
detected by their neighbours and mended first. Then the flattest patches tell the spectrum of the
noise (`flat_patches`): its mean is the variance of a pixel, its shape the correlation of
neighbours. gain and sigma are a line through the variances of patches of like brightness. Patches
at black or white are left out, because noise is cut off there, and those of one value, as margins
have.

Reference: Foi et al., IEEE TIP 2008, eq. 3 (variance a y + b).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_restore.calibration.broken_pixels import LEVELS, mend
from ssl_restore.calibration.flat_patches import (
    LEAST_PATCHES,
    PATCH_PX,
    channel_correlation,
    correlations,
    flat_spectrum,
    patches,
    usable,
)
from ssl_restore.calibration.pictures import Measured, Rows, measure_each
from ssl_restore.errors import UserError
from ssl_restore.io import MAX_PIXELS
from ssl_restore.io.picture import Pixels, peak, to_whole_numbers, within_range
from ssl_restore.io.used_range import used_white

LEAST_SIDE_PX = 64
WHITE_BELOW = 0.2  # correlation up to which noise counts as independent; texture adds to it
_MOST_PATCHES = 60_000

Values = NDArray[np.float32]


@dataclass(frozen=True)
class PictureNoise:
    """What was estimated of one picture."""

    file: str
    gain: float  # display units: the variance rises by so much from black to white
    sigma: float  # display units: deviation in the dark
    level: float  # deviation of a pixel at mid grey, sqrt(gain / 2 + sigma^2)
    correlation: float  # with the next pixel, the larger of across and down
    length_px: float  # least whole distance from which pixels are independent; 1: white
    impulse_share: float  # of the pixels that are broken
    channel_correlation: float = 0.0  # of the noise of two channels; 1: they share it, or are one
    white: float = 1.0  # that the picture uses, share of the file's: all numbers are relative to it


class NoiseCalibration(Rows[PictureNoise]):
    """The noise of each picture of a folder."""

    kind, format, row = "noise", 2, PictureNoise
    older = frozenset({1})  # in which the last two numbers are missing


def read(path: Path) -> NoiseCalibration:
    """The calibration in a file; UserError when it is none, damaged, or of another version."""
    return NoiseCalibration.read(path)


def calibrate(
    paths: Sequence[Path],
    device: torch.device | None = None,
    *,
    limit: int | None = None,
    on_read: Callable[[Path], None] = lambda path: None,
    max_pixels: int = MAX_PIXELS,
) -> Measured[NoiseCalibration]:
    """Measure the noise of pictures (`limit` of them, spread over the list), on any device.

    UserError when none can be measured.
    """
    rows, skipped = measure_each(
        paths, measure_pixels, limit=limit, on_read=on_read, max_pixels=max_pixels,
    )  # fmt: skip
    return Measured(NoiseCalibration(tuple(rows)), skipped)


def display_values(pixels: Pixels, white: int | None = None) -> Values:
    """Pixels as float32, 1 at `white`; None: the largest value of the type."""
    most = np.float32(white or peak(pixels.dtype))
    values: Values = within_range(pixels).astype(np.float32) / most
    return values


def measure_pixels(name: str, pixels: Pixels) -> PictureNoise:
    """The noise of a picture (H, W, C) of any type, relative to the white that it uses."""
    pixels = to_whole_numbers(pixels)
    white = used_white(pixels)
    measured = measure(name, display_values(pixels, white))
    return replace(measured, white=white / np.iinfo(pixels.dtype).max)


def measure(name: str, picture: Values) -> PictureNoise:
    """The noise of a picture (H, W, C), display values, which may go beyond black and white.

    UserError for a side below 64 px and for a picture with hardly a patch without black and white.
    Medians over 13 photographs: `level` is estimated 6, 4 and 2 % too high for white noise of 15,
    25 and 50 of 255. At 5 it is 12 %, and texture makes it look correlated (0.29); without noise
    texture passes for 1.7. Noise coarser than a patch is estimated too low, by about half on camera
    JPEGs.
    """
    height, width = picture.shape[:2]
    if min(height, width) < LEAST_SIDE_PX:
        raise UserError(f"{name}: {width}x{height} is too small; {LEAST_SIDE_PX} pixels are needed")
    step = max(PATCH_PX // 2, int((height * width / _MOST_PATCHES) ** 0.5))
    alike = all(np.array_equal(picture[:, :, 0], picture[:, :, c]) for c in range(picture.shape[2]))
    mended = [mend(picture[:, :, c]) for c in range(1 if alike else picture.shape[2])]
    levels, variances, spectra, shares = [], [], [], []
    for plane, broken in mended:
        for level, spectrum, share in _by_level(plane, broken, step):
            levels.append(level)
            variances.append(float(spectrum.mean()))
            spectra.append(spectrum)
            shares.append(share)
    if not levels:
        raise UserError(
            f"{name}: black or white pixels nearly everywhere, at which noise is cut off; give a "
            "picture that is exposed between them"
        )
    gain, dark = fit_line(np.array(levels), np.array(variances))
    across, down = correlations(np.sum(spectra, axis=0))
    worst = np.maximum(np.abs(across), np.abs(down))
    white = np.flatnonzero(worst < WHITE_BELOW)
    return PictureNoise(
        file=name,
        gain=gain,
        sigma=dark**0.5,
        level=(gain / 2 + dark) ** 0.5,
        correlation=float(worst[0]),
        length_px=float(white[0] + 1 if len(white) else len(worst) + 1),
        impulse_share=float(np.median(shares)),
        channel_correlation=(
            float(picture.shape[2] > 1) if alike
            else channel_correlation([plane for plane, _ in mended], step)
        ),
    )  # fmt: skip


def _by_level(plane: Values, broken: Values, step: int) -> list[tuple[float, Values, float]]:
    """(mean, variance of each coefficient (8, 8), share of broken pixels) of flat patches of like
    brightness, darkest first; a level with too few patches is left out."""
    given, hits = patches(plane, step), patches(broken, step).mean(axis=(1, 2))
    kept = usable(given)
    given, hits = given[kept], hits[kept]
    if len(given) < LEAST_PATCHES:
        return []
    order = np.argsort(given.mean(axis=(1, 2)), kind="stable")
    levels = []
    for chosen in np.array_split(order, max(1, min(LEVELS, len(order) // 200))):
        spectrum, flat = flat_spectrum(given[chosen])
        level = float(given[chosen][flat].mean())
        levels.append((level, spectrum, float(hits[chosen][flat].mean())))
    return levels


def fit_line(levels: NDArray[np.float64], variances: NDArray[np.float64]) -> tuple[float, float]:
    """(gain, dark) of variance = gain level + dark, both at least 0, robust to texture.

    Least squares of the relative error, reweighted: texture only adds variance, so points above the
    line lose weight.
    """
    weights = np.ones(len(levels))
    floor = max(float(np.median(variances)) * 1e-2, 1e-9)
    gain = dark = 0.0
    predicted = variances
    for _ in range(30):
        scale = np.sqrt(weights) / np.maximum(predicted, floor)
        gain, dark = _at_least_0(levels * scale, scale, variances * scale)
        predicted = gain * levels + dark
        error = (variances - predicted) / np.maximum(predicted, floor)
        spread = max(float(np.median(np.abs(error))), 1e-3)
        weights = 1 / (1 + (error / (np.where(error > 0, 1, 2) * spread)) ** 2)
    return float(gain), float(dark)


def _at_least_0(
    one: NDArray[np.float64], other: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[float, float]:
    """a and b, both at least 0, with the least |a one + b other - target|^2."""
    columns = np.stack([one, other], axis=1)
    a, b = np.linalg.lstsq(columns, target, rcond=None)[0]
    if a >= 0 and b >= 0:
        return float(a), float(b)
    a, b = (max(0.0, float(c @ target) / max(float(c @ c), 1e-30)) for c in (one, other))
    one_alone, other_alone = (np.square(e).sum() for e in (a * one - target, b * other - target))
    return (a, 0.0) if one_alone <= other_alone else (0.0, b)
