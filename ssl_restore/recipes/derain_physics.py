"""Rain removal learned from clean photographs and physics alone: makes the built-in restorer.

Varied synthetic rain carries over to rain that was never seen (training on heavy, varied rain
restores light rain; the reverse fails), so the prior is wide: drizzle to storm, thin lines to
drops close to the camera, with a share of rain-free pictures that must come back as they were, and
shares of pictures with what is bright and no rain: regular patterns, the sky between leaves. Of the
rainy ones a share lies behind a veil; some pictures have noise or were stored as JPEG, with and
without rain alike.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from ssl_restore.calibration.rain_file import KINDS, NEAR, RAIN_FREE, rain_prior
from ssl_restore.networks import unet
from ssl_restore.objectives import stored_pairs
from ssl_restore.objectives.synthetic_rain import (
    COARSE_FROM,
    EXPOSURE,
    WIDE,
    Shares,
    SyntheticRain,
)
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe


def build(
    *,
    width: int = 32,
    blocks: tuple[int, ...] = unet.BLOCKS,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int = 128,
    decay: float = 0.999,
    rain_free: float = RAIN_FREE,
    patterns: float = WIDE.patterns,
    foliage: float = WIDE.foliage,
    veil: float = WIDE.veil,
    noise: float = WIDE.noise,
    jpeg: float = WIDE.jpeg,
    defocus: float = WIDE.defocus,
    mist: float = WIDE.mist,
    blocky: float = WIDE.blocky,
    resampled: float = WIDE.resampled,
    near: float = NEAR,
    kinds: float = KINDS,
    calibration: str = "",
    varied: float = 0.0,
    rain_layers: str = "",
    pairs: str = "",
    pairs_share: float = WIDE.pairs,
) -> Recipe:
    """Settings: network `width` and residual `blocks` a level, finest first, `lr`, `weight_decay`,
    `batch`, `patch` px, `decay` of the average, share of `rain_free` pictures, shares of pictures
    with regular `patterns`, with `foliage` before the sky, with a `veil`, with `noise` and stored
    as `jpeg`, of scenes out of focus (`defocus`), in `mist`, compressed before (`blocky`) and
    `resampled` ones, share of populations of drops `near` to the camera, of pictures with the
    `kinds` of rain that cameras see, file of a `calibration` that the rain shall be like in place
    of all kinds, share of `varied` rain of all kinds besides, folder of harvested `rain_layers`, of
    `pairs` (rainy/ and clean/) that were stored as no rendering does, and their `pairs_share`."""
    keywords: dict[str, Any] = {"width": width, **unet.LEARNED}
    if blocks != unet.BLOCKS:
        keywords["blocks"] = blocks
    restorer = unet.build(**keywords)
    objective = SyntheticRain(
        restorer,
        rain_prior(
            calibration,
            rain_free=rain_free,
            varied=varied,
            layers=rain_layers,
            near=near,
            kinds=kinds,
        ),
        EXPOSURE,
        Shares(
            patterns=patterns,
            foliage=foliage,
            veil=veil,
            noise=noise,
            jpeg=jpeg,
            defocus=defocus,
            mist=mist,
            blocky=blocky,
            resampled=resampled,
            pairs=pairs_share,
        ),
        stored_pairs.read(Path(pairs), least=patch) if pairs else None,
    )
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    return Recipe(
        task="derain",
        network="unet",
        keywords=keywords,
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=(Player(objective, {"restore": 1.0, "veil": 0.1}, optimizer),),
        needs=frozenset({"clean"}),
        batch=batch,
        patch=patch,
        coarse_from=COARSE_FROM,
    )
