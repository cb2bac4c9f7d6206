"""Denoising from single noisy pictures: hidden pixels are told from what surrounds them.

For noise without a mean, independent from pixel to pixel; where `fit` measures that it is not,
every so many-th pixel is looked at.
"""

from __future__ import annotations

from ssl_restore.objectives.noise2void import Noise2Void
from ssl_restore.recipes.from_noisy import chosen_shuffle, denoising
from ssl_restore.types import Recipe


def build(
    *,
    width: int = 64,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 16,
    patch: int = 48,
    decay: float = 0.999,
    anchor: float = 0.03,
    shuffle: int = 0,
    noise_calibration: str = "",
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the average,
    weight of the `anchor` where it starts from a trained restorer (it takes a tenth of `lr` then),
    distance `shuffle` of pixels with independent noise (0: by the calibration), file of a
    `noise_calibration`."""
    shuffle, notes = chosen_shuffle(shuffle, noise_calibration, patch, 8)
    return denoising(
        lambda restorer, ema: Noise2Void(restorer, shuffle),
        {"hidden": 1.0},
        width=width, lr=lr, weight_decay=weight_decay, batch=batch, patch=patch, decay=decay,
        anchor=anchor, shuffle=shuffle, notes=notes,
    )  # fmt: skip
