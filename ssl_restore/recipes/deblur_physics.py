"""Deblurring learned from clean photographs and physics alone.

Blur of lens, defocus, straight motion and camera shake, then noise and JPEG; some photographs stay
sharp and must come back as they were.
"""

from __future__ import annotations

import copy

from degradations.blur import Blur
from degradations.chain import Chain
from degradations.noise import Noise
from degradations.shake import Shake
from ssl_restore.networks import denoiser
from ssl_restore.objectives.synthetic_noise import SyntheticNoise
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe

NOISE = Noise(gain=(0.0, 0.002), sigma=(0.0, 0.01))


def build(
    *,
    width: int = 32,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int = 96,
    decay: float = 0.999,
    blurred: float = 0.45,
    shaken: float = 0.45,
    jpeg: float = 0.3,
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, shares of pictures that are `blurred` evenly (lens, defocus, straight motion) and that
    are `shaken` along a winding way, and the share that is then stored as `jpeg`."""
    restorer = denoiser.build(width=width)
    sorts = ((Chain((Blur(), NOISE)), blurred), (Chain((Shake(), NOISE)), shaken))
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    return Recipe(
        task="deblur",
        network="denoiser",
        keywords={"width": width},
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=(Player(SyntheticNoise(restorer, sorts, jpeg), {"restore": 1.0}, optimizer),),
        needs=frozenset({"clean"}),
        batch=batch,
        patch=patch,
    )
