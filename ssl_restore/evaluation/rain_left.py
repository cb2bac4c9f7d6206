"""How much rain and how much texture a restored picture has left, without its truth.

    rain left      Z(restored) / Z(rainy)        light in lines along the streaks
    texture left   T(restored) / T(rainy)        energy of lines and edges across them

Z and T are those of `streak_energy`, along the direction of what was removed. A restorer that blurs
lowers both.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssl_restore.calibration.rain_statistics import direction
from ssl_restore.evaluation.streak_energy import REACH, SIGMA_PX, streak_energy, texture_energy
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels

LEAST_RAIN = 0.02  # share of the rain of the picture that counts as more
LEAST_LOST = 0.05  # share of the texture that a result may lack, against the start
LOST_WITH_RAIN = 0.5  # and for each share of the rain that it has less: streaks have ends and edges


def rain_and_texture_left(rainy: Pixels, restored: Pixels) -> dict[str, float]:
    """`rain_left` and `texture_left`, shares of the rainy picture's; NaN where it has none, or is
    smaller than 49 pixels.

    Example:
        >>> import numpy as np
        >>> rainy = np.full((64, 64, 3), 90, np.uint8); rainy[:, 30:32] = 150
        >>> rain_and_texture_left(rainy, rainy)["rain_left"]
        1.0
    """
    if min(rainy.shape[:2]) <= 2 * REACH * SIGMA_PX:
        return {"rain_left": math.nan, "texture_left": math.nan}
    before, after = images.to_tensor(rainy), images.to_tensor(restored)
    angle, _ = direction((before - after).mean(dim=1, keepdim=True))

    def share(energy: Tensor, of: Tensor) -> float:
        return float(energy) / float(of) if float(of) > 0 else math.nan

    return {
        "rain_left": share(streak_energy(after, angle), streak_energy(before, angle)),
        "texture_left": share(texture_energy(after, angle), texture_energy(before, angle)),
    }


def rejected_reason(rainy: Pixels, before: Pixels, after: Pixels, angle_rad: float) -> str | None:
    """Why `after` restores a rainy picture worse than `before`; None where nothing says so.

    It has more light in lines along the streaks, or lacks more of the texture that `before` has
    than goes with the rain that it has less.
    """
    angle = torch.tensor([angle_rad])
    whole, first, second = (images.to_tensor(picture) for picture in (rainy, before, after))
    rain, *streaks = (streak_energy(picture, angle).item() for picture in (whole, first, second))
    texture = [texture_energy(picture, angle).item() for picture in (first, second)]
    if streaks[1] > streaks[0] + LEAST_RAIN * max(rain, 0):
        return "more light in lines along the rain than before"
    less = max(0.0, streaks[0] - streaks[1]) / rain if rain > 0 else 0.0
    if texture[1] < (1 - LEAST_LOST - LOST_WITH_RAIN * less) * texture[0]:
        return "texture was lost"
    return None
