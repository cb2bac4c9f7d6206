"""Physics GAN from unpaired folders: a critic is the prior, raining on the result the likelihood.

The published form (setting form=literal) has these two terms only, with H(x) = x + rain drawn at
random. It cannot learn to remove rain: such a likelihood is best for the rainy picture itself, and
the critic alone does not say what to remove. By default the layer that is added back must be one
that rain can make, a second critic compares it with rendered rain, and rendered rain on clean
photographs is most of each batch, as in `derain_physics`. What both forms are worth was measured
in few steps only: benchmarks/EXPERIMENTS.md.
"""

from __future__ import annotations

import copy
from typing import Any

from ssl_restore.calibration.rain_file import rain_prior
from ssl_restore.errors import UserError
from ssl_restore.networks import unet
from ssl_restore.networks.critic import Critic
from ssl_restore.objectives.physics_gan import (
    BothCritics,
    LiteralPhysicsGan,
    PhysicsGan,
    PictureCritic,
)
from ssl_restore.recipes.critics import critic_player
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe


def build(
    *,
    width: int = 32,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int = 64,
    decay: float = 0.999,
    form: str = "anchored",
    likelihood: float = 1.0,
    prior: float = 0.2,
    layer: float = 0.2,
    penalty: float = 0.01,
    share: float = 0.25,
    critic_width: int = 16,
    critic_lr: float = 2e-3,
    rain_free: float = 0.06,
    calibration: str = "",
    varied: float = 0.0,
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, `form` (anchored or literal: likelihood and critic only), weights of the `likelihood`,
    of the critic's `prior`, of the critic of the removed `layer` and of the critics' `penalty`,
    `share` of restored pictures that it rains on again, `critic_width`, `critic_lr`, share of
    `rain_free` pictures in the rendered rain, file of a `calibration` that it is like, share of
    `varied` rain of all kinds besides."""
    keywords: dict[str, Any] = {"width": width, **unet.LEARNED}
    restorer = unet.build(**keywords)
    ema = copy.deepcopy(restorer)
    rain = rain_prior(calibration, rain_free=rain_free, varied=varied)
    pictures, layers = Critic(3, critic_width), Critic(1, critic_width)
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    if form == "anchored":
        players = (
            Player(
                PhysicsGan(restorer, ema, pictures, layers, rain, share=share),
                {"restore": 1.0, "veil": 0.5, "likelihood": likelihood, "prior": prior,
                 "layer": layer},
                optimizer,
            ),
            critic_player(
                BothCritics(restorer, pictures, layers, rain), pictures, layers,
                lr=critic_lr, penalty=penalty, terms=("critic", "layer_critic"),
            ),
        )  # fmt: skip
    elif form == "literal":
        weights = {"likelihood": likelihood, "prior": prior}
        judging = PictureCritic(restorer, pictures)
        players = (
            Player(LiteralPhysicsGan(restorer, pictures, rain), weights, optimizer),
            critic_player(judging, pictures, lr=critic_lr, penalty=penalty),
        )
    else:
        raise UserError(f"{form!r} is unknown; use anchored or literal", parameter="form")
    return Recipe(
        task="derain",
        network="unet",
        keywords=keywords,
        restorer=restorer,
        averages=(Average(ema, restorer, decay),),
        players=players,
        batch=batch,
        patch=patch,
    )
