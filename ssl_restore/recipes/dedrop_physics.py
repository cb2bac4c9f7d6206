"""Removal of drops on the lens learned from photographs and physics alone.

Drops out of focus, from droplets to wide smears, are put on photographs; some pictures stay dry and
must come back as they were.
"""

from __future__ import annotations

import copy

from ssl_restore.networks import dedropper
from ssl_restore.objectives.synthetic_drops import Shares, SyntheticDrops
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
    dry: float = 0.12,
    noise: float = 0.3,
    jpeg: float = 0.5,
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, shares of pictures that are `dry`, with `noise`, and stored as `jpeg`."""
    restorer = dedropper.build(width=width)
    objective = SyntheticDrops(restorer, Shares(dry=dry, noise=noise, jpeg=jpeg))
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    weights = {"restore": 1.0, "covered": 1.0, "added": 2.0}
    return Recipe(
        task="dedrop",
        network="dedropper",
        keywords={"width": width},
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=(Player(objective, weights, optimizer),),
        needs=frozenset({"clean"}),
        batch=batch,
        patch=patch,
    )
