"""Denoising from single noisy pictures: neighbouring pixels are two observations of one scene.

For noise without a mean. Where neighbouring pixels share their noise, as those of developed camera
pictures do, it would be learned as if it were texture: `fit` measures that first, and learns on
every so many-th pixel then. It restores likewise, unless it starts from a restorer of whole
pictures; to such a one it is held.
"""

from __future__ import annotations

from ssl_restore.objectives.neighbor2neighbor import Neighbor2Neighbor
from ssl_restore.recipes.from_noisy import chosen_shuffle, denoising
from ssl_restore.types import Recipe


def build(
    *,
    width: int = 64,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int = 96,
    decay: float = 0.999,
    gamma: float = 2.0,
    share: float = 1.0,
    anchor: float = 0.03,
    shuffle: int = 0,
    noise_calibration: str = "",
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the average,
    weight `gamma` of the regulariser at the end of the run and `share` of the patches that it looks
    at, weight of the `anchor` where it starts from a trained restorer (it takes a tenth of `lr`
    then), distance `shuffle` of pixels with independent noise (0: by the calibration), file of a
    `noise_calibration`."""
    shuffle, notes = chosen_shuffle(shuffle, noise_calibration, patch, 16)
    return denoising(
        lambda restorer, ema: Neighbor2Neighbor(restorer, ema, share, shuffle),
        {"observed": 1.0, "consistent": gamma},
        width=width, lr=lr, weight_decay=weight_decay, batch=batch, patch=patch, decay=decay,
        anchor=anchor, shuffle=shuffle, notes=notes,
    )  # fmt: skip
