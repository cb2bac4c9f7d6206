"""Denoising from two or more noisy pictures of each scene, one the target of the other.

A sub-folder is a scene; pictures in the folder itself belong together where their names differ only
after the last underscore (`cat_a.png`, `cat_b.png`). The kind of noise chooses the loss: L2 for
`gaussian` and `poisson`, L1 for `bernoulli` (less than half of the pixels lost, black), annealed L0
for `impulse` (pixels that show any value).
"""

from __future__ import annotations

from ssl_restore.errors import UserError
from ssl_restore.objectives.noise2noise import LOSS_FOR, Noise2Noise
from ssl_restore.recipes.from_noisy import denoising
from ssl_restore.types import Recipe


def build(
    *,
    width: int = 64,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int = 64,
    decay: float = 0.999,
    noise: str = "gaussian",
    loss: str = "",
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, kind of `noise` (gaussian, poisson, bernoulli or impulse), another `loss` than the one
    for it (l2, l1 or l0)."""
    if noise not in LOSS_FOR:
        raise UserError(
            f"{noise!r} is unknown; use one of {', '.join(LOSS_FOR)}", parameter="noise"
        )
    if loss and loss not in LOSS_FOR.values():
        raise UserError(f"{loss!r} is unknown; use one of l2, l1, l0", parameter="loss")
    return denoising(
        lambda restorer, ema: Noise2Noise(restorer, loss or LOSS_FOR[noise]),
        {"observed": 1.0},
        width=width, lr=lr, weight_decay=weight_decay, batch=batch, patch=patch, decay=decay,
        needs=frozenset({"observations"}),
    )  # fmt: skip
