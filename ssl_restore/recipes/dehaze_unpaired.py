"""Haze removal from hazy pictures and unrelated clear ones, no pairs: what `fit` takes for haze.

Clear photographs get haze of the thickness and colour that was measured in the hazy pictures, and
of all kinds besides; the hazy pictures get their own haze again, thicker and thinner, and must come
back to the same scene.
"""

from __future__ import annotations

import copy
from pathlib import Path

from ssl_restore.calibration.haze import HazeCalibration
from ssl_restore.networks import dehazer
from ssl_restore.objectives.haze_transfer import HazeTransfer
from ssl_restore.objectives.synthetic_haze import Shares
from ssl_restore.recipes.critics import in_turn
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe


def build(
    *,
    width: int = 32,
    lr: float = 5e-4,
    weight_decay: float = 0.01,
    batch: int = 4,
    patch: int = 160,
    decay: float = 0.999,
    like: float = 0.5,
    rehaze: float = 0.5,
    smooth: float = 0.1,
    haze_free: float = 0.12,
    haze_calibration: str = "",
    contrast: str = "",
    alpha: float = 0.1,
    critic_width: int = 16,
    critic_lr: float = 1e-4,
) -> Recipe:
    """Settings: network `width`, `lr`, `weight_decay`, `batch`, `patch` px, `decay` of the
    average, share of the clear photographs with haze `like` that of the hazy pictures, weights of
    the `rehaze` consistency and of `smooth` distances, share of `haze_free` pictures, file of a
    `haze_calibration` of the hazy pictures; and of a `contrast` of what was restored with its truth
    (pcl, aecr or triplet) in the features of a critic that learns in turn, the weight `alpha`,
    `critic_width` and `critic_lr`."""
    restorer = dehazer.build(width=width)
    ema = copy.deepcopy(restorer)
    rows = HazeCalibration.read(Path(haze_calibration)).pictures if haze_calibration else ()
    judged, critics = in_turn(contrast, restorer, critic_width, critic_lr)
    objective = HazeTransfer(restorer, ema, rows, like, Shares(haze_free=haze_free), judged)
    weights = {
        "restore": 1.0, "transmission": 1.0, "airlight": 1.0, "rehaze": rehaze, "smooth": smooth
    }  # fmt: skip
    if judged:
        weights["contrast"] = alpha
    return Recipe(
        task="dehaze",
        network="dehazer",
        keywords={"width": width},
        restorer=restorer,
        averages=(Average(ema, restorer, decay),),
        players=(
            Player(
                objective, weights,
                adamw(restorer.parameters(), lr=lr, weight_decay=weight_decay),
            ),
            *critics,
        ),
        batch=batch,
        patch=patch,
    )  # fmt: skip
