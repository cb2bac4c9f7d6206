"""Super-resolution learned from photographs alone, with practical contrastive learning (PCL).

Photographs are made smaller by the library, as files of people are; the restorer lowers the L1
distance and alpha times the contrast, in the features of a critic of detail bands that learns in
turn with it.
"""

from __future__ import annotations

import copy
import math
from typing import Any

from ssl_restore.errors import UserError
from ssl_restore.networks import upscaler
from ssl_restore.networks.critic import Critic
from ssl_restore.objectives.pairs import PairsCritic
from ssl_restore.objectives.picture_contrast import KINDS, Contrasts
from ssl_restore.objectives.upscaling import Shares, Upscaling
from ssl_restore.recipes.critics import DEPTH, critic_player
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe

MULTIPLE = 8  # of the sides that a critic takes
LEVELS = 255  # that the published distance counts in, beside which alpha is 1


def build(
    *,
    scale: int = 2,
    width: int = 48,
    blocks: int = 8,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    batch: int = 16,
    patch: int = 96,
    decay: float = 0.999,
    contrast: str = "pcl",
    alpha: float = 0.1,
    positives: int = 4,
    negatives: int = 4,
    temperature: float = 0.1,
    prior: float = 0.0,
    critic_width: int = 16,
    critic_lr: float = 1e-4,
    penalty: float = 0.1,
    plain: float = 0.4,
    soft: float = 0.4,
    noise: float = 0.4,
    jpeg: float = 0.7,
    paired: bool = False,
) -> Recipe:
    """Settings: `scale` (2, 3 or 4), `width` and residual `blocks` of the network, `lr`,
    `weight_decay`, `batch`, `patch` px of the large pictures, `decay` of the average, what
    `contrast` compares with (pcl, aecr or triplet), its weight `alpha` (0: none; 1: as published,
    which harms short runs), of pcl the numbers of sharpened `positives` and blurred `negatives` and
    the `temperature`, weight of the critic's `prior` (0: none), `critic_width`, `critic_lr`, weight
    of the critic's `penalty`, share of `plain` cubic pictures, and of the others those that are
    `soft`, with `noise`, and stored as `jpeg`; `paired`: small pictures and their large originals
    are given, none is made smaller."""
    if scale not in upscaler.SCALES:
        raise UserError(f"2, 3 or 4 is expected, got {scale}", parameter="scale")
    multiple = math.lcm(MULTIPLE, scale)
    if patch % multiple:
        raise UserError(f"a multiple of {multiple} is expected, got {patch}", parameter="patch")
    for name, value in (("positives", positives), ("negatives", negatives)):
        if value < 1:
            raise UserError(f"at least 1 is expected, got {value}", parameter=name)
    if contrast not in KINDS:
        raise UserError(f"{contrast!r} is unknown; use {' or '.join(KINDS)}", parameter="contrast")
    if temperature <= 0:
        raise UserError(f"more than 0 is expected, got {temperature:g}", parameter="temperature")
    for name, weight in (("alpha", alpha), ("prior", prior)):
        if weight < 0:
            raise UserError(f"0 or more is expected, got {weight:g}", parameter=name)
    keywords: dict[str, Any] = {"width": width, "blocks": blocks, "scale": scale}
    restorer, critic = upscaler.build(**keywords), Critic(3, critic_width, depth=DEPTH)
    shares = None if paired else Shares(plain=plain, soft=soft, noise=noise, jpeg=jpeg)
    kind, contrasts = contrast if alpha else "", Contrasts(positives, negatives, temperature)
    terms = {"restore": 1.0}
    terms |= {"contrast": alpha / LEVELS} if alpha else {}
    terms |= {"prior": prior} if prior else {}
    objective = Upscaling(restorer, critic, shares, kind, contrasts, adversarial=prior > 0)
    players = [
        Player(objective, terms, adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay))
    ]
    if alpha or prior:
        judging = PairsCritic(restorer, critic, objective.make)
        players.append(critic_player(judging, critic, lr=critic_lr, penalty=penalty))
    return Recipe(
        task="upscale",
        network="upscaler",
        keywords=keywords,
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=tuple(players),
        needs=frozenset({"clean", "degraded"} if paired else {"clean"}),
        batch=batch,
        patch=patch,
        upright=False,
        paired=paired,
    )
