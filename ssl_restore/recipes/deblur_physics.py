"""Deblurring learned from clean photographs and physics alone.

Shaken cameras, lenses out of focus, and single layers that move or are out of focus, then noise and
JPEG; some photographs stay sharp and must come back as they were.
"""

from __future__ import annotations

import copy

from degradations.camera_blur import camera_blur
from ssl_restore.networks import denoiser
from ssl_restore.objectives.synthetic_noise import SyntheticNoise
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe


def build(
    *,
    width: int = 32,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int = 96,
    decay: float = 0.999,
    sharp: float = 0.1,
    shaken: float = 0.4,
    defocused: float = 0.3,
    layered: float = 0.3,
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, share of pictures that stay `sharp`, and weights of those that are `shaken`,
    `defocused`, and in which one layer moves or is out of focus (`layered`)."""
    restorer = denoiser.build(width=width)
    blur = camera_blur(shaken=shaken, defocused=defocused, layered=layered)
    objective = SyntheticNoise(restorer, ((blur, 1 - sharp),), jpeg=0.0)
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    return Recipe(
        task="deblur",
        network="denoiser",
        keywords={"width": width},
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=(Player(objective, {"restore": 1.0}, optimizer),),
        needs=frozenset({"clean"}),
        batch=batch,
        patch=patch,
    )
