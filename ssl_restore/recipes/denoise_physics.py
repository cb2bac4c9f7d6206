"""Noise removal learned from clean photographs and physics alone: makes the built-in denoiser.

Blind: Gaussian noise up to a standard deviation of 55 of 255, shot and read noise, and noise that
is correlated over neighbouring pixels as that of cameras; some pictures stay clean and must come
back as they were. With `noise=all` it is every kind of noise that people have
(`degradations.noise_kinds`): that of cameras, of luma and film, broken pixels, speckle; and a share
of the pictures is grey.
"""

from __future__ import annotations

import copy
from typing import Any

from degradations.noise import CorrelatedNoise, Noise
from degradations.noise_kinds import any_noise
from degradations.types import Degradation
from ssl_restore.errors import UserError
from ssl_restore.networks import denoiser
from ssl_restore.networks.denoiser import BLOCKS
from ssl_restore.objectives.synthetic_noise import SyntheticNoise
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe

NOISES = ("gaussian", "all")
GREY = 0.25


def build(
    *,
    width: int = 32,
    blocks: tuple[int, ...] = BLOCKS,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int = 64,
    decay: float = 0.999,
    noise: str = "gaussian",
    grey: float = GREY,
    gaussian: float = 0.6,
    photons: float = 0.2,
    correlated: float = 0.15,
    jpeg: float = 0.1,
) -> Recipe:
    """Settings: network `width` and residual `blocks` a level, finest first, `lr`, `weight_decay`,
    `batch`, `patch` px, `decay` of the average, `noise` of the three sorts below (`gaussian`) or of
    `all` kinds, share of `grey` pictures among those of all kinds, shares of pictures with
    `gaussian` noise, with that of counted `photons` (and of the read-out), and with `correlated`
    noise, share that is then stored as `jpeg`."""
    if noise not in NOISES:
        raise UserError(f"{' or '.join(NOISES)} is expected, got {noise!r}", parameter="noise")
    keywords: dict[str, Any] = {"width": width}
    if blocks != BLOCKS:
        keywords["blocks"] = blocks
    restorer = denoiser.build(**keywords)
    sorts: tuple[tuple[Degradation, float], ...] = (
        (Noise(gain=(0.0, 0.0), sigma=(0.0, 55 / 255)), gaussian),
        (Noise(gain=(0.0, 0.04), sigma=(0.0, 0.08)), photons),
        (CorrelatedNoise(sigma=(0.0, 0.12), width_px=(0.3, 1.2)), correlated),
    )
    if noise == "all":
        sorts = ((any_noise(), 1.0),)
    objective = SyntheticNoise(restorer, sorts, jpeg, grey if noise == "all" else 0.0)
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    return Recipe(
        task="denoise",
        network="denoiser",
        keywords=keywords,
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=(Player(objective, {"restore": 1.0}, optimizer),),
        needs=frozenset({"clean"}),
        batch=batch,
        patch=patch,
    )
