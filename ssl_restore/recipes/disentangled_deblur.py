"""Deblurring by disentangled representations, from blurred and sharp pictures of other scenes.

As published: a code of the blur that a divergence keeps free of content, a blurring decoder that
takes it, cycle consistency, critics of both folders and a distance of features between the blurred
and the deblurred picture. The blurring decoder is a network as published (setting decoder=network),
or by default a camera, whose shake, defocus and noise are read from the code: a network learns what
blur is in hours, the camera has the folder's in minutes. The features are those of the built-in
denoiser, so that nothing has to be downloaded, or of VGG-16.

Norms rest from the start: by the statistics of a batch the networks of such a game drift to where
those that are kept do not follow.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from ssl_restore import weights
from ssl_restore.errors import UserError
from ssl_restore.networks import denoiser
from ssl_restore.networks.blurrer import BlurEncoder, CameraBlurrer, NetworkBlurrer
from ssl_restore.networks.critic import Critic
from ssl_restore.networks.features import MULTIPLE
from ssl_restore.networks.features import features as features_of
from ssl_restore.objectives.disentangled import Disentangled, DisentangledCritics
from ssl_restore.recipes.critics import critic_player
from ssl_restore.training import checkpoint
from ssl_restore.training.fit import freeze_batchnorm
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe

FASTER = 3.0  # learning rate of the camera and its codes, over that of the restorer
DECODERS = ("camera", "network")


def build(
    *,
    width: int = 32,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 4,
    patch: int = 64,
    decay: float = 0.999,
    decoder: str = "camera",
    cycle: float = 10.0,
    kl: float = 0.01,
    perceptual: float = 0.1,
    prior: float = 1.0,
    identity: float = 2.0,
    penalty: float = 0.01,
    code_width: int = 16,
    critic_width: int = 24,
    critic_lr: float = 1e-3,
    features: str = "denoiser",
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, what the blurring `decoder` is (camera or network), weights of the `cycle`, of the
    divergence of the blur code (`kl`), of the `perceptual` distance, of the critics' `prior`, of
    the `identity` of sharp pictures and of the critics' `penalty`, `code_width` of the blur
    encoder, `critic_width`, `critic_lr`, and the `features` of the distance (denoiser or vgg)."""
    if patch % MULTIPLE:
        raise UserError(f"a multiple of {MULTIPLE} is expected, got {patch}", parameter="patch")
    if decoder not in DECODERS:
        raise UserError(f"{decoder!r} is unknown; use camera or network", parameter="decoder")
    restorer, blur_encoder = denoiser.build(width=width), BlurEncoder(code_width)
    camera = decoder == "camera"
    blurrer = CameraBlurrer() if camera else NetworkBlurrer(restorer.encoder)
    freeze_batchnorm(nn.ModuleList([blurrer, blur_encoder]))
    critics = Critic(3, critic_width), Critic(3, critic_width)
    known, _ = checkpoint.load(weights.built_in("denoise"))
    nets = restorer, blurrer, blur_encoder
    objective = Disentangled(*nets, critics, features_of(features, known))
    own = dict.fromkeys(restorer.parameters())  # of which the blurrer may share some
    others = [w for w in nn.ModuleList(nets[1:]).parameters() if w not in own]
    moved: list[dict[str, Any]] = [
        {"params": list(own)}, {"params": others, "lr": FASTER * lr if camera else lr}
    ]  # fmt: skip
    terms = {"cycle": cycle, "kl": kl, "features": perceptual, "prior": prior, "identity": identity}
    judging = critic_player(
        DisentangledCritics(*nets, critics), *critics,
        lr=critic_lr, penalty=penalty, terms=("critic", "degraded_critic"),
    )  # fmt: skip
    return Recipe(
        task="deblur",
        network="denoiser",
        keywords={"width": width},
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=(
            Player(objective, terms, adamw(moved, lr=lr, weight_decay=weight_decay)),
            judging,
        ),
        batch=batch,
        patch=patch,
        upright=False,
        shrink=1,
        frozen_batchnorm=True,
    )  # fmt: skip
