"""Removal of drops on the lens learned from photographs and physics alone.

Drops out of focus, from droplets to wide smears, are put on photographs; some pictures stay dry and
must come back as they were. The network is that of MemoryNet, without its memory: three stages, of
which each has to come near the truth.
"""

from __future__ import annotations

import copy
from typing import Any

from ssl_restore.networks import memorynet
from ssl_restore.objectives.memorynet import EDGE
from ssl_restore.objectives.synthetic_drops import Shares, SyntheticDrops
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe


def build(
    *,
    width: int = 32,
    lr: float = 3e-4,
    weight_decay: float = 0.01,
    batch: int = 4,
    patch: int = 160,
    decay: float = 0.999,
    recoloured: float = 0.4,
    graded: float = 0.3,
    patterns: float = 0.08,
    foliage: float = 0.05,
    shadow: float = 0.15,
    mist: float = 0.15,
    dry: float = 0.4,
    defocus: float = 0.3,
    lights: float = 0.2,
    noise: float = 0.3,
    resampled: float = 0.2,
    jpeg: float = 0.5,
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, shares of pictures that are `recoloured`, `graded` or `dry`, that have `patterns`,
    `foliage`, a `shadow` or `mist` in them, whose scene is out of focus (`defocus`) or has points
    of light that are (`lights`), with `noise`, `resampled`, and stored as `jpeg`."""
    keywords: dict[str, Any] = {"width": width, "memory": False}
    restorer = memorynet.build(**keywords)
    shares = Shares(
        recoloured=recoloured, graded=graded, patterns=patterns, foliage=foliage, shadow=shadow,
        mist=mist, dry=dry, defocus=defocus, lights=lights, noise=noise, resampled=resampled,
        jpeg=jpeg,
    )  # fmt: skip
    objective = SyntheticDrops(restorer, shares)
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    return Recipe(
        task="dedrop",
        network="memorynet",
        keywords=keywords,
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=(Player(objective, {"restore": 1.0, "edge": EDGE}, optimizer),),
        needs=frozenset({"clean"}),
        batch=batch,
        patch=patch,
    )
