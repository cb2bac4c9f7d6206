"""The noise of pictures in numbers, estimated from them alone: `calibrate --noise`.

    I = J + n,   var n = gain J + sigma^2   (display values),   correlated to neighbouring pixels or
    not, and a share of the pixels broken

Broken pixels are detected by their neighbours and mended first. Then the DCT of every patch of
8 x 8 is split into two interleaved halves of coefficients: the patches that are flattest by one
half tell the noise in the other, so that the choice does not bias what is measured (noise is
independent from coefficient to coefficient, texture is not). The mean of these variances over all
coefficients is that of a pixel, their shape its correlation; gain and sigma are a line through the
variances of patches of like brightness. Patches at black or white are left out, because noise is
cut off there.

References: Ponomarenko et al., "An automatic approach to lossy compression of AVIRIS images",
IGARSS 2007, and Colom and Buades, IPOL 2013 (flattest DCT patches); Foi et al., IEEE TIP 2008,
eq. 3 (variance a y + b).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dctn

from ssl_restore.calibration.pictures import Measured, Rows, measure_each
from ssl_restore.errors import UserError
from ssl_restore.io import MAX_PIXELS

PATCH_PX = 8
FLAT_SHARE = 0.1  # of the patches of a brightness: the flattest, which are measured
LEVELS = 8  # of brightness, as many patches in each
LEAST_SIDE_PX = 64
WHITE_BELOW = 0.2  # correlation up to which noise counts as independent; texture adds to it
BROKEN = 5.0  # deviations from the median of its neighbours that make a pixel broken
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


class NoiseCalibration(Rows[PictureNoise]):
    """The noise of each picture of a folder."""

    kind, format, row = "noise", 1, PictureNoise


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
        paths, lambda name, pixels: measure(name, display_values(pixels)),
        limit=limit, on_read=on_read, max_pixels=max_pixels,
    )  # fmt: skip
    return Measured(NoiseCalibration(tuple(rows)), skipped)


def display_values(pixels: NDArray[Any]) -> Values:
    """Pixels of 8 or 16 bits as values in [0, 1], float32."""
    values: Values = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    return values


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
    levels, variances, spectra, shares = [], [], [], []
    for channel in range(picture.shape[2]):
        for level, spectrum, share in _by_level(*mend(picture[:, :, channel]), step):
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
    )


def mend(plane: Values) -> tuple[Values, Values]:
    """A plane (H, W) with its broken pixels replaced by the median around them; and the chance that
    each is broken: 0, or 1 and what is missed beside it, as values close to the true one are.

    What is missed is estimated for values of any size alike, none for broken pixels that are mostly
    black or white.
    """
    around = _median_around(plane)
    off = plane - around
    usual = np.empty_like(plane)
    edges = np.quantile(around, np.linspace(0, 1, LEVELS + 1)[1:-1])
    level = np.digitize(around, edges)
    for number in range(LEVELS):  # noise depends on the brightness
        here = level == number
        usual[here] = np.median(np.abs(off[here])) / 0.6745 if here.any() else 0
    limit = BROKEN * np.maximum(usual, 1 / 255)
    broken = np.abs(off) > limit
    missed = np.minimum(around + limit, 1) - np.maximum(around - limit, 0)
    extreme = ((plane <= 0) | (plane >= 1))[broken]
    if extreme.sum() > 0.5 * extreme.size:
        missed = np.zeros_like(plane)
    return np.where(broken, around, plane), broken / np.maximum(1 - missed, 0.1)


def _median_around(plane: Values) -> Values:
    """The median of the 8 neighbours: the mean of the 4th and 5th, without the pixel itself."""
    padded = np.pad(plane, 1, mode="reflect")
    height, width = plane.shape
    around = np.stack(
        [
            padded[row : row + height, column : column + width]
            for row in range(3)
            for column in range(3)
            if (row, column) != (1, 1)
        ]
    )
    around.partition((3, 4), axis=0)
    middle: Values = (around[3] + around[4]) / 2
    return middle


def _by_level(plane: Values, broken: Values, step: int) -> list[tuple[float, Values, float]]:
    """(mean, variance of each coefficient (8, 8), share of broken pixels) of flat patches of like
    brightness, darkest first; a level with too few patches is left out."""
    patches = _patches(plane, step)
    hits = _patches(broken, step).mean(axis=(1, 2))
    cut = ((patches <= 0) | (patches >= 1)).sum(axis=(1, 2)) > 0.05 * PATCH_PX**2
    patches, hits = patches[~cut], hits[~cut]
    if len(patches) < 100:
        return []
    order = np.argsort(patches.mean(axis=(1, 2)), kind="stable")
    levels = []
    for chosen in np.array_split(order, max(1, min(LEVELS, len(order) // 200))):
        spectrum, flat = flat_spectrum(patches[chosen])
        level = float(patches[chosen][flat].mean())
        levels.append((level, spectrum, float(hits[chosen][flat].mean())))
    return levels


def _patches(plane: Values, step: int) -> Values:
    windows = np.lib.stride_tricks.sliding_window_view(plane, (PATCH_PX, PATCH_PX))
    return windows[::step, ::step].reshape(-1, PATCH_PX, PATCH_PX)


def flat_spectrum(patches: Values) -> tuple[Values, NDArray[np.intp]]:
    """Variance of the noise in each DCT coefficient, (N, 8, 8) -> (8, 8), and the flat patches.

    Cross-fitted: coefficients whose numbers add up to an even one choose the patches in which the
    odd ones are measured, and the other way round. The mean of a patch and its two slopes, which
    are the light's rather than the noise's, take the variance of the coefficients next to them.
    """
    squares = dctn(patches, axes=(1, 2), norm="ortho") ** 2
    row, column = np.indices((PATCH_PX, PATCH_PX))
    even = (row + column) % 2 == 0
    slope = row + column < 2
    count = max(20, round(FLAT_SHARE * len(patches)))
    spectrum = np.zeros((PATCH_PX, PATCH_PX), np.float32)
    flat = []
    for chooser in (even, ~even):
        energy = squares[:, chooser & ~slope].sum(axis=1)
        chosen = np.argpartition(energy, min(count, len(energy) - 1))[:count]
        spectrum[~chooser] = np.median(squares[chosen][:, ~chooser], axis=0) / 0.45494
        flat.append(chosen)
    spectrum[slope] = (spectrum[0, 2] + spectrum[1, 1] + spectrum[2, 0]) / 3
    return spectrum, np.concatenate(flat)


def correlations(spectrum: Values) -> tuple[Values, Values]:
    """Correlation of noise with pixels 1 to 4 px across, and down, from its DCT spectrum (8, 8).

    cov(x, x') = sum_k s_k b_k(x) b_k(x'), averaged over all pairs of a distance; b_k the cosines.
    """
    basis = dctn(np.eye(PATCH_PX), axes=(1,), norm="ortho").T  # (coefficient, place)

    def along(power: Values) -> Values:
        covariance = basis.T @ (power[:, None] * basis)
        means = np.array([np.diagonal(covariance, lag).mean() for lag in range(5)])
        return np.asarray(means[1:] / max(means[0], 1e-12), np.float32)

    return along(spectrum.mean(axis=0)), along(spectrum.mean(axis=1))


def fit_line(levels: NDArray[np.float64], variances: NDArray[np.float64]) -> tuple[float, float]:
    """(gain, dark) of variance = gain level + dark, both at least 0, robust to texture.

    Least squares of the relative error, reweighted: texture only adds variance, so points above the
    line lose weight.
    """
    from scipy.optimize import nnls  # noqa: PLC0415

    weights = np.ones(len(levels))
    floor = max(float(np.median(variances)) * 1e-2, 1e-9)
    gain = dark = 0.0
    predicted = variances
    for _ in range(30):
        scale = np.sqrt(weights) / np.maximum(predicted, floor)
        (gain, dark), _ = nnls(np.stack([levels * scale, scale], axis=1), variances * scale)
        predicted = gain * levels + dark
        error = (variances - predicted) / np.maximum(predicted, floor)
        spread = max(float(np.median(np.abs(error))), 1e-3)
        weights = 1 / (1 + (error / (np.where(error > 0, 1, 2) * spread)) ** 2)
    return float(gain), float(dark)
