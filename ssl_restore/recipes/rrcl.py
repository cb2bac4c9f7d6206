"""RRCL, rain removal via contrastive learning: as published (`literal`) or repaired (default).

Needs rainy pictures; the repaired form also takes clean photographs of other scenes (those
installed with the package unless others are given).
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from degradations.rain import Rain
from ssl_restore.calibration.rain_file import wide_rain
from ssl_restore.errors import UserError
from ssl_restore.networks import unet
from ssl_restore.networks.projection import ProjectionHead
from ssl_restore.objectives.own_scenes import OwnScenes
from ssl_restore.objectives.picture_contrast import KINDS
from ssl_restore.objectives.rehearsal import Rehearsal
from ssl_restore.objectives.rrcl import (
    TILE_PX,
    Contrast,
    Joined,
    LayerContrast,
    LiteralReconstruction,
    RepairedReconstruction,
)
from ssl_restore.objectives.synthetic_rain import EXPOSURE, WIDE, SyntheticRain
from ssl_restore.recipes.critics import in_turn
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe

CONTRASTS = ("scenes", "pictures", "layers", *KINDS)


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
    lambda_c: float = 0.003,
    contrast: str = "",
    lambda_r: float = 1.0,
    rehearsal: float = 0.1,
    own: bool = True,
    temperature: float = 0.1,
    embedding: int = 64,
    critic_width: int = 16,
    critic_lr: float = 1e-4,
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, `reconstruction` (repaired or literal), weight of the opening's `label`, weights
    `lambda_c` of InfoNCE (0: none), `lambda_r` of the reconstruction, and after a warm start of the
    `rehearsal` of rain of all kinds by the repaired form (0: none), whether that is on the `own`
    scenes of the pictures and not on photographs, what `contrast` compares
    (scenes: places in other rain; pictures with one another, as published and for literal; layers:
    patches of what was restored with patches of the rain; pcl, aecr and triplet: the restored
    picture with its truth, in the features of a critic), `temperature`, size of the `embedding`,
    `critic_width`, `critic_lr`."""
    repaired = reconstruction == "repaired"
    contrast = contrast or ("scenes" if repaired else "pictures")
    _check(reconstruction, contrast, lambda_c, batch=batch, patch=patch, temperature=temperature)
    for name, weight in (("lambda_c", lambda_c), ("rehearsal", rehearsal), ("label", label)):
        if weight < 0:
            raise UserError(f"0 or more is expected, got {weight:g}", parameter=name)
    keywords: dict[str, Any] = {"width": width, **unet.LEARNED}
    restorer = unet.build(**keywords)
    ema = copy.deepcopy(restorer)
    contrast = contrast if lambda_c > 0 else ""
    head = ProjectionHead(unet.deepest_channels(width), embedding)
    heads = nn.ModuleList(
        ProjectionHead(width * 2**depth, embedding) for depth in range(len(unet.BLOCKS))
    )
    kind = contrast if contrast in KINDS else ""
    judged, critics = in_turn(kind, restorer, critic_width, critic_lr)
    objectives: list[nn.Module] = [
        RepairedReconstruction(
            restorer, ema, label, heads if contrast == "scenes" else None, temperature, judged
        )
        if repaired
        else LiteralReconstruction(restorer, Rain(rain_free=0.0))
    ]
    if contrast == "pictures":
        objectives.append(Contrast(restorer.encoder, head, temperature))
    elif contrast == "layers":
        objectives.append(LayerContrast(restorer, head, temperature))
    weights = {"reconstruction": lambda_r}
    if contrast:
        weights["contrast"] = lambda_c
    rehearses = repaired and rehearsal > 0
    start = copy.deepcopy(ema) if rehearses and own else None
    if rehearses:
        learned = (
            SyntheticRain(restorer, wide_rain(), EXPOSURE, WIDE)
            if start is None
            else OwnScenes(restorer, start, wide_rain())
        )
        objectives.append(Rehearsal(learned))
        weights |= {"restore": rehearsal, "veil": 0.1 * rehearsal}
    used = {"scenes": heads, "pictures": head, "layers": head}.get(contrast)
    parameters = [*restorer.parameters(), *(used.parameters() if used is not None else ())]
    optimizer = adamw(parameters, lr=lr, weight_decay=weight_decay)
    return Recipe(
        task="derain",
        network="unet",
        keywords=keywords,
        restorer=restorer,
        averages=(Average(ema, restorer, decay),),
        players=(Player(Joined(*objectives), weights, optimizer), *critics),
        needs=frozenset({"degraded", "clean"} if repaired else {"degraded"}),
        batch=batch,
        patch=patch,
        anchor=start,
        keeps_scales=rehearses,
    )


def _check(
    reconstruction: str,
    contrast: str,
    lambda_c: float,
    *,
    batch: int,
    patch: int,
    temperature: float,
) -> None:
    """UserError for settings that do not go together."""
    for name, value, known in (
        ("reconstruction", reconstruction, ("repaired", "literal")),
        ("contrast", contrast, CONTRASTS),
    ):
        if value not in known:
            raise UserError(f"{value!r} is unknown; use {' or '.join(known)}", parameter=name)
    if temperature <= 0:
        raise UserError(f"more than 0 is expected, got {temperature:g}", parameter="temperature")
    if contrast not in ("pictures", "layers") and reconstruction == "literal":
        raise UserError(
            f"{contrast} needs the backgrounds that the repaired reconstruction knows; use "
            "pictures or layers", parameter="contrast",
        )  # fmt: skip
    if contrast == "layers" and patch % TILE_PX:
        raise UserError(f"a multiple of {TILE_PX} is expected, got {patch}", parameter="patch")
    if lambda_c > 0 and contrast == "pictures" and batch < 2:
        raise UserError(
            f"{batch} picture has no other to be told from; use 2 or more, contrast=scenes, or "
            "lambda_c=0", parameter="batch",
        )  # fmt: skip
