"""Restoration learned from clean photographs alone, and what a task's degradation makes of them.

A plain U-Net that tells what to take away, for any task that keeps the size of a picture: what more
elaborate recipes of a task are to be compared with.
"""

from __future__ import annotations

import copy
from typing import Any

from degradations.chain import Chain
from degradations.noise import Noise
from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.networks import denoiser
from ssl_restore.objectives.synthetic_noise import SyntheticNoise
from ssl_restore.restorer import UPRIGHT
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe

NOISE = Noise(gain=(0.0, 0.002), sigma=(0.0, 0.01))


def build(
    *,
    task: str = "deblur",
    width: int = 32,
    levels: int = 3,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int = 128,
    decay: float = 0.999,
    untouched: float = 0.1,
    jpeg: float = 0.5,
) -> Recipe:
    """Settings: the `task`, which says what the degradation is, network `width` and `levels` (each
    halves the size; more see farther), `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, share of `untouched` pictures, which must come back as they were, and of those stored
    as `jpeg`; the degraded ones get faint noise."""
    given = discover.task(task)
    if given.name == "upscale":
        raise UserError("upscale enlarges pictures; use the recipe pcl", parameter="task")
    if levels < 1:
        raise UserError(f"at least 1 is expected, got {levels}", parameter="levels")
    keywords: dict[str, Any] = {"width": width}
    if levels != 3:  # of the denoiser itself
        keywords["blocks"] = (2,) * (levels - 1) + (4,)
    restorer = denoiser.build(**keywords)
    degradation = Chain((given.prior(), NOISE))
    objective = SyntheticNoise(restorer, ((degradation, 1 - untouched),), jpeg)
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    return Recipe(
        task=given.name,
        network="denoiser",
        keywords=keywords,
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=(Player(objective, {"restore": 1.0}, optimizer),),
        needs=frozenset({"clean"}),
        batch=batch,
        patch=patch,
        upright=given.symmetry == UPRIGHT,
    )
