"""RRCL, rain removal via contrastive learning: as published (`literal`) or repaired (default).

Needs rainy pictures; the repaired form also takes clean photographs of other scenes (those
installed with the package unless `--clean` is given).
"""

from __future__ import annotations

import copy

import torch
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
from ssl_restore.types import Player, Recipe


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
    restorer = unet.build(width=width)
    ema = copy.deepcopy(restorer)
    if reconstruction == "repaired":
        term: nn.Module = RepairedReconstruction(restorer, ema, label)
    elif reconstruction == "literal":
        term = LiteralReconstruction(restorer, Rain(rain_free=0.0))
    else:
        raise UserError(f"--set reconstruction={reconstruction}: must be repaired or literal")
    if contrast not in {"pictures", "layers"}:
        raise UserError(f"--set contrast={contrast}: must be pictures or layers")
    if contrast == "layers" and patch % TILE_PX:
        raise UserError(f"--set patch={patch}: must be a multiple of {TILE_PX} for contrast=layers")
    objectives, weights, parameters = [term], {"reconstruction": lambda_r}, [*restorer.parameters()]
    if lambda_c > 0:
        head = ProjectionHead(unet.deepest_channels(width), embedding)
        objectives.append(
            Contrast(restorer.encoder, head, temperature)
            if contrast == "pictures"
            else LayerContrast(restorer, head, temperature)
        )
        weights["contrast"] = lambda_c
        parameters += head.parameters()
    optimizer = torch.optim.AdamW(
        parameters, lr=lr, betas=(0.9, 0.95), weight_decay=weight_decay, fused=True
    )
    return Recipe(
        task="derain",
        network="unet",
        keywords={"width": width},
        restorer=restorer,
        ema=ema,
        players=(Player(Joined(*objectives), weights, optimizer),),
        needs=frozenset({"degraded"} | ({"clean"} if reconstruction == "repaired" else set())),
        batch=batch,
        patch=patch,
        decay=decay,
    )
