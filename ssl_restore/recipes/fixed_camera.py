"""Rain removal for one camera, from a clip of it: what `fit` takes for clips.

The median of a pixel's neighbours in time is what was behind the rain. The restorer learns from
frames and those backgrounds, and from the clip's rain on clean photographs; then it restores single
frames of this camera, without delay. A camera that moves has its frames aligned by optical flow.
"""

from __future__ import annotations

import copy
from typing import Any

from ssl_restore.calibration.rain_file import rain_prior
from ssl_restore.networks import unet
from ssl_restore.objectives.fixed_camera import FixedCamera
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe


def build(
    *,
    width: int = 32,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch: int = 8,
    patch: int = 96,
    decay: float = 0.995,
    moved: float = 0.5,
    rendered: float = 0.3,
    gain: tuple[float, float] = (0.7, 1.4),
    jpeg: float = 0.5,
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`,
    `patch` px, `decay` of the average, weight of the rain `moved` onto photographs, share of them
    with `rendered` rain instead, range of its `gain`, share stored as `jpeg`."""
    keywords: dict[str, Any] = {"width": width, **unet.LEARNED}
    restorer = unet.build(**keywords)
    rain = rain_prior("", rain_free=0.3, varied=0.0, kinds=0.5)
    objective = FixedCamera(restorer, rain, rendered=rendered, gain=gain, jpeg=jpeg)
    optimizer = adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay)
    return Recipe(
        task="derain",
        network="unet",
        keywords=keywords,
        restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, decay),),
        players=(Player(objective, {"known": 1.0, "moved": moved}, optimizer),),
        needs=frozenset({"clean", "places"}),
        batch=batch,
        patch=patch,
        shrink=1,
    )
