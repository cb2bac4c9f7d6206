"""Denoising from single noisy pictures with noise of known strength, Gaussian or Poisson-Gaussian.

More noise is added to make two observations of one. The strength is given (sigma=0.1, of
the range from black to white), or measured by `fit`; where neighbouring pixels share their noise,
every so many-th pixel is looked at.
"""

from __future__ import annotations

from ssl_restore.errors import UserError
from ssl_restore.objectives.recorrupted import Recorrupted
from ssl_restore.recipes.from_noisy import chosen_shuffle, chosen_strength, denoising
from ssl_restore.types import Recipe


def build(
    *,
    width: int = 64,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 16,
    patch: int = 48,
    decay: float = 0.999,
    gain: float = 0.0,
    sigma: float = 0.0,
    alpha: float = 0.5,
    anchor: float = 0.03,
    shuffle: int = 0,
    noise_calibration: str = "",
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the average,
    weight of the `anchor` where it starts from a trained restorer (it takes a tenth of `lr` then),
    variance `gain` J + `sigma`^2 of the noise (both 0: by the calibration, or else from each
    patch), share `alpha` of noise added to the input, distance `shuffle` of pixels with independent
    noise (0: by the calibration), file of a `noise_calibration`."""
    if alpha <= 0:
        raise UserError(f"more than 0 is expected, got {alpha}", parameter="alpha")
    shuffle, notes = chosen_shuffle(shuffle, noise_calibration, patch, 8)
    gain, sigma, measured = chosen_strength(gain, sigma, noise_calibration)
    return denoising(
        lambda restorer, ema: Recorrupted(restorer, gain, sigma, alpha, shuffle),
        {"recorrupted": 1.0},
        width=width, lr=lr, weight_decay=weight_decay, batch=batch, patch=patch, decay=decay,
        anchor=anchor, shuffle=shuffle, notes=notes + measured,
    )  # fmt: skip
