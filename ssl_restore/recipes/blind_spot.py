"""Denoising from single noisy pictures whose pixels share their noise, as those of cameras do.

AP-BSN: pixels so far apart that their noise is independent predict each other, without the one that
is predicted; how far is measured by `fit`. From scratch that is learned by a blind-spot network,
which restores on every second pixel and refines. From a trained denoiser, which is the default,
pixels are hidden from it instead; it goes on restoring whole pictures, and is held to its start.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from ssl_restore.networks import blind_spot
from ssl_restore.objectives.blind_spot import BlindSpotLoss
from ssl_restore.objectives.noise2void import Noise2Void
from ssl_restore.recipes.from_noisy import chosen_shuffle, denoising
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe

MOST_SHUFFLE = 4  # five are published; a calibration hardly tells so far
MULTIPLE = 8  # of the denoiser, in pixels of a smaller picture


def build(
    *,
    width: int = 64,
    channels: int = 32,
    blocks: int = 6,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int = 96,
    decay: float = 0.999,
    anchor: float = 0.03,
    shuffle: int = 0,
    coarse: int = 2,
    refinements: int = 4,
    noise_calibration: str = "",
) -> Recipe:
    """Settings: `width` of the denoiser that it may start from, `channels` and `blocks` of the
    blind-spot network from scratch, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, weight of the `anchor` where it starts from a trained restorer (it takes a tenth of
    `lr` then), distance `shuffle` of pixels with independent noise (0: by the calibration, up to
    4), distance `coarse` of those that the blind-spot network restores together and number of its
    `refinements`, file of a `noise_calibration`."""
    shuffle, notes = chosen_shuffle(shuffle, noise_calibration, patch, MULTIPLE, MOST_SHUFFLE)
    warm = denoising(
        lambda restorer, ema: Noise2Void(restorer, shuffle),
        {"hidden": 1.0},
        width=width, lr=lr, weight_decay=weight_decay, batch=batch, patch=patch, decay=decay,
        anchor=anchor, notes=notes,
    )  # fmt: skip
    keywords: dict[str, Any] = {
        "width": channels, "blocks": blocks, "shuffle": coarse, "refinements": refinements,
    }  # fmt: skip
    restorer = blind_spot.build(**keywords)
    restorer.learned.fill_(1.0)
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    ema = copy.deepcopy(restorer)
    return replace(
        warm,
        network="blind_spot",
        keywords=keywords,
        restorer=restorer,
        averages=(Average(ema, restorer, decay),),
        players=(Player(BlindSpotLoss(restorer, shuffle), {"blind": 1.0}, optimizer),),
        anchor=None,
        warm_rate=1.0,
        forms=(warm,),
    )
