"""AECR-Net: haze removal by a compact auto-encoder, with contrast against the hazy picture.

As published but for the features, which are those of a critic that learns in turn, so that nothing
has to be downloaded. The pairs are given, or are clean photographs and the library's haze on them.
"""

from __future__ import annotations

import copy

from ssl_restore.errors import UserError
from ssl_restore.networks import aecr
from ssl_restore.networks.critic import Critic
from ssl_restore.objectives.haze_pairs import Dehazing
from ssl_restore.objectives.pairs import PairsCritic
from ssl_restore.objectives.synthetic_haze import Shares
from ssl_restore.recipes.critics import DEPTH, critic_player
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe

MULTIPLE = 8  # of the sides that a critic takes


def build(
    *,
    width: int = 64,
    lr: float = 5e-4,
    weight_decay: float = 0.0,
    batch: int = 4,
    patch: int = 128,
    decay: float = 0.999,
    alpha: float = 0.1,
    critic_width: int = 16,
    critic_lr: float = 1e-4,
    penalty: float = 0.1,
    haze_free: float = 0.12,
    paired: bool = False,
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, weight `alpha` of the contrast (0: none), `critic_width`, `critic_lr`, weight of the
    critic's `penalty`, share of `haze_free` pictures; `paired`: hazy pictures and the same without
    haze are given, and none is made."""
    if alpha < 0:
        raise UserError(f"0 or more is expected, got {alpha:g}", parameter="alpha")
    if patch % MULTIPLE:
        raise UserError(f"a multiple of {MULTIPLE} is expected, got {patch}", parameter="patch")
    restorer = aecr.build(width=width)
    shares = None if paired else Shares(haze_free=haze_free)
    critic = Critic(3, critic_width, low=True, depth=DEPTH) if alpha else None
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    terms = {"restore": 1.0} | ({"contrast": alpha} if alpha else {})
    objective = Dehazing(restorer, critic, shares)
    players = [Player(objective, terms, optimizer)]
    if critic is not None:
        judging = PairsCritic(restorer, critic, objective.make)
        players.append(critic_player(judging, critic, lr=critic_lr, penalty=penalty))
    return Recipe(
        task="dehaze",
        network="aecr",
        keywords={"width": width},
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=tuple(players),
        needs=frozenset({"clean", "degraded"} if paired else {"clean"}),
        batch=batch,
        patch=patch,
        paired=paired,
    )
