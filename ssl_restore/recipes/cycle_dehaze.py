"""Cycle-Dehaze: two generators between hazy and clear pictures that undo each other, two critics.

As published: cycle consistency, adversarial losses and a distance of features, with no physics; a
large picture is restored at a small size and keeps its details (Laplacian pyramid). The features
are those of the built-in denoiser, so that nothing has to be downloaded, or of VGG-16.
"""

from __future__ import annotations

import copy

from ssl_restore import weights
from ssl_restore.networks import pyramid
from ssl_restore.networks.critic import Critic
from ssl_restore.networks.features import features as features_of
from ssl_restore.objectives.cycle import Cycle, CycleCritics
from ssl_restore.recipes.critics import critic_player
from ssl_restore.training import checkpoint
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe


def build(
    *,
    width: int = 24,
    lr: float = 5e-4,
    weight_decay: float = 0.01,
    batch: int = 2,
    patch: int = 160,
    decay: float = 0.999,
    cycle: float = 10.0,
    perceptual: float = 1.0,
    prior: float = 1.0,
    identity: float = 2.0,
    penalty: float = 0.1,
    critic_width: int = 24,
    critic_lr: float = 5e-4,
    features: str = "denoiser",
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, weights of the `cycle`, of the `perceptual` distance, of the critics' `prior`, of the
    `identity` of clear pictures and of the critics' `penalty`, `critic_width`, `critic_lr`, and
    the `features` of the distance (denoiser or vgg)."""
    restorer, degrader = pyramid.build(width=width), pyramid.build(width=width)
    critics = Critic(3, critic_width, low=True), Critic(3, critic_width, low=True)
    denoiser, _ = checkpoint.load(weights.built_in("denoise"))
    objective = Cycle(restorer, degrader, critics, features_of(features, denoiser))
    moved = [*restorer.parameters(), *degrader.parameters()]
    judging = critic_player(
        CycleCritics(restorer, degrader, critics), *critics,
        lr=critic_lr, penalty=penalty, terms=("critic", "degraded_critic"),
    )  # fmt: skip
    terms = {"cycle": cycle, "features": perceptual, "prior": prior, "identity": identity}
    return Recipe(
        task="dehaze",
        network="pyramid",
        keywords={"width": width},
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=(
            Player(objective, terms, adamw(moved, lr=lr, weight_decay=weight_decay)),
            judging,
        ),
        batch=batch,
        patch=patch,
    )  # fmt: skip
