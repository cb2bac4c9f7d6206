"""Shadow removal learned from photographs and physics alone.

Shadows of walls, signs, poles, limbs and foliage are cast on photographs and on drawn scenes; some
pictures get none and must come back as they were.
"""

from __future__ import annotations

import copy

from ssl_restore.networks import deshadower
from ssl_restore.objectives.synthetic_shadow import Shares, SyntheticShadow
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe


def build(
    *,
    width: int = 32,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int = 192,
    decay: float = 0.999,
    shadow_free: float = 0.15,
    scenes: float = 0.4,
    noise: float = 0.4,
    jpeg: float = 0.6,
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, shares of pictures that are `shadow_free`, drawn `scenes`, with `noise`, and stored as
    `jpeg`."""
    restorer = deshadower.build(width=width)
    shares = Shares(shadow_free=shadow_free, scenes=scenes, noise=noise, jpeg=jpeg)
    objective = SyntheticShadow(restorer, shares=shares)
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    return Recipe(
        task="deshadow",
        network="deshadower",
        keywords={"width": width},
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=(Player(objective, {"restore": 1.0, "light": 1.0}, optimizer),),
        needs=frozenset({"clean"}),
        batch=batch,
        patch=patch,
    )
