"""What recipes with critics share: the critics' player, and contrast in a critic's features."""

from __future__ import annotations

import torch
from torch import nn

from ssl_restore.errors import UserError
from ssl_restore.networks.critic import Critic
from ssl_restore.objectives.physics_gan import PictureCritic
from ssl_restore.objectives.picture_contrast import KINDS, Judged
from ssl_restore.restorer import Restorer
from ssl_restore.types import Player

DEPTH = 4  # layers of a critic whose features are compared
PENALTY = 0.1


def critic_player(
    objective: nn.Module,
    *critics: Critic,
    lr: float,
    penalty: float,
    terms: tuple[str, ...] = ("critic",),
) -> Player:
    """The player of an objective with a term for each critic and a `penalty`."""
    parameters = [weight for critic in critics for weight in critic.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=lr, betas=(0.5, 0.99), fused=True)
    weights = {**dict.fromkeys(terms, 1.0), "penalty": penalty}
    return Player(objective, weights, optimizer, name="critic")


def in_turn(
    kind: str, restorer: Restorer, width: int, lr: float
) -> tuple[Judged | None, tuple[Player, ...]]:
    """What a recipe adds for a contrast of a kind, none for "": the critic, and its player.

    The critic tells clean pictures from restored ones; UserError for a kind that is unknown.
    """
    if not kind:
        return None, ()
    if kind not in KINDS:
        raise UserError(f"{kind!r} is unknown; use {' or '.join(KINDS)}", parameter="contrast")
    critic = Critic(3, width, depth=DEPTH)
    learned = PictureCritic(restorer, critic)
    return (critic, kind), (critic_player(learned, critic, lr=lr, penalty=PENALTY),)
