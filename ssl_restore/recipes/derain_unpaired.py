"""Rain removal from rainy pictures and unrelated clean ones, no pairs: the default of `fit`.

A share of every batch carries the rain that the averaged restorer finds in the user's pictures,
moved onto clean photographs; the rest carries physics rain, which does not depend on the restorer
and keeps the loop from teaching itself: rain like that of the pictures, and for those in which none
could be measured rain of all kinds, after a warm start on scenes of their own.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from ssl_restore.calibration import rain_file
from ssl_restore.networks import unet
from ssl_restore.objectives.own_scenes import OwnScenes
from ssl_restore.objectives.rain_transfer import RainTransfer
from ssl_restore.objectives.synthetic_rain import COARSE_FROM, EXPOSURE, WIDE, SyntheticRain
from ssl_restore.recipes.critics import in_turn
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe

PATCH, WIDE_PATCH = 64, 128  # pixels; drops near the camera are long and wide
WARM_RATE = 0.3  # where rain is rare in the pictures: a step at the full rate ended in one answer


def build(
    *,
    width: int = 32,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int | None = None,
    decay: float = 0.999,
    share: float = 0.5,
    gain: tuple[float, float] = (0.9, 1.6),
    threshold: float = 0.01,
    coarse: float = 0.5,
    rain_free: float = 0.06,
    calibration: str = "",
    varied: float = 0.0,
    wide: float = 1.0,
    own: float = 1.0,
    rain_layers: str = "",
    contrast: str = "",
    alpha: float = 0.1,
    critic_width: int = 16,
    critic_lr: float = 1e-4,
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px (unsaid 128 where rain
    could not be measured in some pictures, else 64), `decay` of the average, `share` of transferred
    rain, range of its `gain`, `threshold` of a rain layer, share of `coarse` layers at the start of
    a run from scratch, share of `rain_free` pictures in the physics rain, file of a `calibration`
    that it is like, share of `varied` rain of all kinds besides, factor on the share that gets as
    `wide` a range of rain as the built-in restorer has learned from, which is that of the pictures
    in which the calibration found none, share of that on scenes of the user's `own` pictures after
    a warm start, folder of harvested `rain_layers`; and of a `contrast` of what was restored with
    its truth (pcl, aecr or triplet) in the features of a critic that learns in turn, the weight
    `alpha`, `critic_width` and `critic_lr`."""
    keywords: dict[str, Any] = {"width": width, **unet.LEARNED}
    restorer = unet.build(**keywords)
    ema = copy.deepcopy(restorer)
    rain = rain_file.rain_prior(calibration, rain_free=rain_free, varied=varied, layers=rain_layers)
    unmeasured = rain_file.read(Path(calibration)).unmeasured if calibration else 1.0
    wide_share = min(1.0, wide * unmeasured)
    rare = round(wide_share * batch) > 0
    start = copy.deepcopy(restorer) if rare and own else None
    scenes = OwnScenes(restorer, start, rain_file.wide_rain()) if start is not None else None
    judged, critics = in_turn(contrast, restorer, critic_width, critic_lr)
    objective = RainTransfer(
        restorer, ema, rain,
        share=share, gain=gain, threshold=threshold, coarse=coarse,
        wide=SyntheticRain(restorer, rain_file.wide_rain(), EXPOSURE, WIDE),
        wide_share=wide_share, judged=judged, own=scenes, own_share=own,
    )  # fmt: skip
    weights = {"restore": 1.0, "veil": 0.1} | ({"contrast": alpha} if judged else {})
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    return Recipe(
        task="derain",
        network="unet",
        keywords=keywords,
        restorer=restorer,
        averages=(Average(ema, restorer, decay),),
        players=(Player(objective, weights, optimizer), *critics),
        anchor=start,
        batch=batch,
        patch=(WIDE_PATCH if rare else PATCH) if patch is None else patch,
        warm_rate=WARM_RATE if rare else 1.0,
        coarse_from=COARSE_FROM if rare else None,
    )
