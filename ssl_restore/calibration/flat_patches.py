"""The spectrum of noise in the flattest patches of a picture, and what it tells.

The DCT of every patch of 8 x 8 is split into two interleaved halves of coefficients: the patches
that are flattest by one half tell the noise in the other, so that the choice does not bias what is
measured (noise is independent from coefficient to coefficient, texture is not). The mean of these
variances over all coefficients is that of a pixel, their shape its correlation.

References: Ponomarenko et al., "An automatic approach to lossy compression of AVIRIS images",
IGARSS 2007, and Colom and Buades, IPOL 2013 (flattest DCT patches).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PATCH_PX = 8
FLAT_SHARE = 0.1  # of the patches of a brightness: the flattest, which are measured
LEAST_PATCHES = 100
MOST_CUT = 0.05  # share of the pixels of a patch that may be black or white
MOST_CONSTANT = 0.99  # share of the patches of one value beyond which a picture is taken as it is
_OF_NORMAL = 0.45494  # median of the square of a standard normal value

Values = NDArray[np.float32]
_ROW, _COLUMN = np.indices((PATCH_PX, PATCH_PX))
_BASIS = np.cos(np.pi * (_COLUMN + 0.5) * _ROW / PATCH_PX) * np.sqrt(2 / PATCH_PX)
_BASIS[0] /= np.sqrt(2)  # (coefficient, place), orthonormal
_TRANSFORM = np.kron(_BASIS, _BASIS).T.astype(np.float32)  # of the 64 values of a patch
_EVEN = (_ROW + _COLUMN) % 2 == 0
_SLOPE = _ROW + _COLUMN < 2  # the mean and the two slopes, which are the light's


def patches(plane: Values, step: int) -> Values:
    """(H, W) -> (N, 8, 8), one every `step` pixels."""
    windows = np.lib.stride_tricks.sliding_window_view(plane, (PATCH_PX, PATCH_PX))
    return windows[::step, ::step].reshape(-1, PATCH_PX, PATCH_PX)


def spectra(given: Values) -> Values:
    """The DCT of patches, orthonormal, (N, 8, 8) -> the same shape."""
    first = given[:, :1, :1]  # without it, patches of one value have no waves to the last bit
    found: Values = ((given - first).reshape(-1, PATCH_PX**2) @ _TRANSFORM).reshape(given.shape)
    found[:, 0, 0] += PATCH_PX * first[:, 0, 0]
    return found


def usable(given: Values) -> NDArray[np.bool_]:
    """Which patches (N, 8, 8) tell of noise: those at black or white do not, where it is cut off,
    nor do those of one value, as margins have, unless all are."""
    inside = ((given <= 0) | (given >= 1)).sum(axis=(1, 2)) <= MOST_CUT * PATCH_PX**2
    constant = (given == given[:, :1, :1]).all(axis=(1, 2))
    varied: NDArray[np.bool_] = inside & ~constant
    few = max(LEAST_PATCHES, (1 - MOST_CONSTANT) * inside.sum())
    return varied if varied.sum() >= few else inside


def flat_spectrum(given: Values) -> tuple[Values, NDArray[np.intp]]:
    """Variance of the noise in each DCT coefficient, (N, 8, 8) -> (8, 8), and the flat patches.

    Cross-fitted: coefficients whose numbers add up to an even one choose the patches in which the
    odd ones are measured, and the other way round. The mean of a patch and its two slopes, which
    are the light's rather than the noise's, take the variance of the coefficients next to them.
    """
    squares = spectra(given) ** 2
    spectrum = np.zeros((PATCH_PX, PATCH_PX), np.float32)
    flat = []
    for chooser in (_EVEN, ~_EVEN):
        chosen = _flattest(squares[:, chooser & ~_SLOPE].sum(axis=1))
        spectrum[~chooser] = np.median(squares[chosen][:, ~chooser], axis=0) / _OF_NORMAL
        flat.append(chosen)
    spectrum[_SLOPE] = (spectrum[0, 2] + spectrum[1, 1] + spectrum[2, 0]) / 3
    return spectrum, np.concatenate(flat)


def _flattest(energy: Values) -> NDArray[np.intp]:
    count = max(20, round(FLAT_SHARE * len(energy)))
    return np.argpartition(energy, min(count, len(energy) - 1))[:count]


def correlations(spectrum: Values) -> tuple[Values, Values]:
    """Correlation of noise with pixels 1 to 4 px across, and down, from its DCT spectrum (8, 8).

    cov(x, x') = sum_k s_k b_k(x) b_k(x'), averaged over all pairs of a distance; b_k the cosines.
    """

    def along(power: Values) -> Values:
        covariance = _BASIS.T @ (power[:, None] * _BASIS)
        means = np.array([np.diagonal(covariance, lag).mean() for lag in range(5)])
        return np.asarray(means[1:] / max(means[0], 1e-12), np.float32)

    return along(spectrum.mean(axis=0)), along(spectrum.mean(axis=1))


def channel_correlation(planes: Sequence[Values], step: int) -> float:
    """Correlation of the noise of two or more channels (H, W), the mean over their pairs; 0 where
    there is no noise, or no patch.

    r = (var(a + b) - var(a - b)) / (var(a + b) + var(a - b)), a and b two channels of deviation 1,
    in patches that are flat in all channels.
    """
    stacked = [patches(plane, step) for plane in planes]
    kept = np.logical_and.reduce([usable(given) for given in stacked])
    if kept.sum() < LEAST_PATCHES:
        return 0.0
    waves = np.stack([spectra(given[kept]) for given in stacked])
    pairs = [(i, j) for i in range(len(planes)) for j in range(i)]
    sums, differences = np.zeros(len(pairs)), np.zeros(len(pairs))
    for chooser in (_EVEN, ~_EVEN):
        chosen = _flattest((waves[:, :, chooser & ~_SLOPE] ** 2).sum(axis=(0, 2)))
        told = waves[:, chosen][:, :, ~chooser & ~_SLOPE]
        deviation = np.sqrt(np.median(told**2, axis=1).sum(axis=1)).clip(1e-9)
        told = told / deviation[:, None, None]
        for pair, (i, j) in enumerate(pairs):
            sums[pair] += np.median((told[i] + told[j]) ** 2, axis=0).sum()
            differences[pair] += np.median((told[i] - told[j]) ** 2, axis=0).sum()
    return float(np.mean((sums - differences) / (sums + differences).clip(1e-9)))
