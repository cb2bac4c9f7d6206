"""MemoryNet: three stages and a memory of clean pictures, for any task that keeps the size.

The pairs are given, or are clean photographs and what the task's degradation makes of them. As
published but for the features that contrast compares, which are those of its own encoder, so that
nothing has to be downloaded.
"""

from __future__ import annotations

import copy
from typing import Any

from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.networks import memorynet
from ssl_restore.networks.memory import SHRINKAGE
from ssl_restore.objectives.memorynet import EDGE, Remembering
from ssl_restore.restorer import UPRIGHT
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe


def build(
    *,
    task: str = "derain",
    width: int = 32,
    lr: float = 5e-4,
    weight_decay: float = 0.0,
    batch: int = 4,
    patch: int = 128,
    decay: float = 0.999,
    alpha: float = 0.1,
    memory: bool = True,
    memory_first: float = 0.2,
    beta: float = 0.1,
    shrinkage: float = SHRINKAGE,
    paired: bool = False,
) -> Recipe:
    """Settings: the `task`, which says what the degradation is, network `width`, `lr`,
    `weight_decay`, `batch`, `patch` px, `decay` of the average, weight `alpha` of the contrast (0:
    none), whether there is a `memory`, the share of the run in which it is learned first
    (`memory_first`), weight `beta` of the memory-reconstruction loss, `shrinkage` of small weights;
    `paired`: degraded pictures and the same without are given, and none is made."""
    given = discover.task(task)
    if given.name == "upscale":
        raise UserError("upscale enlarges pictures; use the recipe pcl", parameter="task")
    for name, weight in (("alpha", alpha), ("beta", beta)):
        if weight < 0:
            raise UserError(f"0 or more is expected, got {weight:g}", parameter=name)
    if not 0 <= memory_first < 1:
        raise UserError(
            f"at least 0 and below 1 is expected, got {memory_first:g}", parameter="memory_first"
        )
    keywords: dict[str, Any] = {"width": width, "shrinkage": shrinkage, "memory": memory}
    restorer = memorynet.build(**keywords)
    degradation = None if paired else given.prior()
    objective = Remembering(restorer, degradation, memory_first, contrast=alpha > 0)
    terms = {"restore": 1.0, "edge": EDGE}
    terms |= {"contrast": alpha} if alpha else {}
    terms |= {"memory": beta, "rebuild": 1.0} if memory else {}
    optimizer = adamw(objective.parameters(), lr=lr, weight_decay=weight_decay)
    return Recipe(
        task=given.name,
        network="memorynet",
        keywords=keywords,
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=(Player(objective, terms, optimizer),),
        needs=frozenset({"clean", "degraded"} if paired else {"clean"}),
        batch=batch,
        patch=patch,
        upright=given.symmetry == UPRIGHT,
        paired=paired,
    )
