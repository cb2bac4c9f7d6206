"""RRCL, rain removal via contrastive learning: as published (`literal`) or repaired (default).

Needs rainy pictures; the repaired form also takes clean photographs of other scenes (those
installed with the package unless others are given).
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from degradations.rain import Rain
from ssl_restore.errors import UserError
from ssl_restore.networks import unet
from ssl_restore.networks.projection import ProjectionHead
from ssl_restore.objectives.rrcl import (
    TILE_PX,
    Contrast,
    Joined,
    LayerContrast,
    LiteralReconstruction,
    RepairedReconstruction,
)
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe


def build(
    *,
    width: int = 32,
    lr: float = 5e-4,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int = 64,
    decay: float = 0.999,
    reconstruction: str = "repaired",
    label: float = 0.5,
    lambda_c: float = 0.1,
    contrast: str = "pictures",
    lambda_r: float = 1.0,
    temperature: float = 0.1,
    embedding: int = 64,
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, `reconstruction` (repaired or literal), weight of the opening's `label`, weights
    `lambda_c` of InfoNCE (0: none) and `lambda_r` of the reconstruction, what `contrast` compares
    (pictures with one another, or layers: patches of what was restored with patches of the rain),
    `temperature`, size of the `embedding`."""
    for name, value, known in (
        ("reconstruction", reconstruction, ("repaired", "literal")),
        ("contrast", contrast, ("pictures", "layers")),
    ):
        if value not in known:
            raise UserError(f"{value!r} is unknown; use {' or '.join(known)}", parameter=name)
    if contrast == "layers" and patch % TILE_PX:
        raise UserError(f"{patch} is no multiple of {TILE_PX}", parameter="patch")
    keywords: dict[str, Any] = {"width": width, **unet.LEARNED}
    restorer = unet.build(**keywords)
    ema = copy.deepcopy(restorer)
    repaired = reconstruction == "repaired"
    objectives: list[nn.Module] = [
        RepairedReconstruction(restorer, ema, label)
        if repaired
        else LiteralReconstruction(restorer, Rain(rain_free=0.0))
    ]
    weights, parameters = {"reconstruction": lambda_r}, [*restorer.parameters()]
    if lambda_c > 0:
        head = ProjectionHead(unet.deepest_channels(width), embedding)
        objectives.append(
            Contrast(restorer.encoder, head, temperature)
            if contrast == "pictures"
            else LayerContrast(restorer, head, temperature)
        )
        weights["contrast"] = lambda_c
        parameters += head.parameters()
    optimizer = adamw(parameters, lr=lr, weight_decay=weight_decay)
    return Recipe(
        task="derain",
        network="unet",
        keywords=keywords,
        restorer=restorer,
        averages=(Average(ema, restorer, decay),),
        players=(Player(Joined(*objectives), weights, optimizer),),
        needs=frozenset({"degraded", "clean"} if repaired else {"degraded"}),
        batch=batch,
        patch=patch,
    )
