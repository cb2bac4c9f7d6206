"""Haze removal learned from clean photographs and physics alone: makes the built-in dehazer.

Haze of any thickness, colour and unevenness over plausible distances of each photograph; some stay
clear and must come back as they were. From some the built-in derainer has removed rendered streaks.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ssl_restore.inference.fine_to_coarse import restore_values
from ssl_restore.inference.load import load_restorer
from ssl_restore.networks import dehazer
from ssl_restore.objectives.synthetic_haze import Shares, SyntheticHaze
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe


def build(
    *,
    width: int = 32,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int = 192,
    decay: float = 0.999,
    haze_free: float = 0.12,
    linear: float = 0.35,
    tinted: float = 0.15,
    dim: float = 0.08,
    noise: float = 0.4,
    jpeg: float = 0.6,
    scenes: float = 0.25,
    derained: float = 0.0,
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, shares of pictures that are `haze_free`, that mix `linear` light and not display
    values, with strongly `tinted` and with `dim` airlight, with `noise`, stored as `jpeg`, of
    drawn `scenes`, whose distances are known, and of `derained` pictures, most behind a veil."""
    keep_light = not derained  # a veil is to go as it is predicted
    restorer = dehazer.build(width=width, keep_light=keep_light)
    shares = Shares(
        haze_free=haze_free, linear=linear, tinted=tinted, dim=dim, noise=noise, jpeg=jpeg,
        scenes=scenes, derained=derained,
    )  # fmt: skip
    derainer = load_restorer(None, torch.device("cpu"), task="derain") if derained else None

    def derain(image: Tensor) -> Tensor:
        assert derainer is not None
        return restore_values(derainer.to(image.device), image, scale=None)

    objective = SyntheticHaze(restorer, shares, derain if derained else None)
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    weights = {"restore": 1.0, "transmission": 1.0, "airlight": 1.0}
    return Recipe(
        task="dehaze",
        network="dehazer",
        keywords={"width": width} if keep_light else {"width": width, "keep_light": False},
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=(Player(objective, weights, optimizer),),
        needs=frozenset({"clean"}),
        batch=batch,
        patch=patch,
    )
