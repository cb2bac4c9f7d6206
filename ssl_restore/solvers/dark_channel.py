"""Dark channel prior: haze is what the darkest of the colours around a pixel has too much of.

The equations, and what is done about the sky, are those of `calibration.dark_channel`. Reference:
He, Sun and Tang, "Single image haze removal using dark channel prior", CVPR 2009 and PAMI 2011.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ssl_restore.calibration.dark_channel import dehazed

TASKS = ("dehaze",)
SKY_SHARE = 0.05  # of the picture, from which it is said
CLEAR = 0.8  # median transmission above which there is hardly any haze


def solve(
    image: Tensor,
    *,
    omega: float = 0.95,
    window: int = 15,
    scales: int = 3,
    least: float = 0.1,
    tolerance: float = 0.1,
    notify: Callable[[str], None] = lambda line: None,
) -> dict[str, Tensor]:
    """{"clean", "transmission", "airlight"} of an image (1, 3, H, W).  Settings: share `omega` of
    the haze that is removed, side of the `window` in pixels of a picture of 600, number of
    `scales`, windows each twice as wide as the one before (1: as published), `least` transmission
    t0, and `tolerance` for colours near the airlight.
    """
    values = image[0].cpu().numpy().astype(np.float32)
    found = dehazed(
        values, omega=omega, window=window, scales=scales, least=least, tolerance=tolerance
    )
    if found.median > CLEAR:
        notify("hardly any haze was found in it")
    elif found.sky > SKY_SHARE:
        notify(
            f"{found.sky:.0%} of it is as bright as the haze, such as sky; it is changed less there"
        )
    layers = {
        "clean": found.clean,
        "transmission": found.transmission[None],
        "airlight": np.broadcast_to(found.airlight[:, None, None], values.shape),
    }
    return {
        name: torch.from_numpy(np.array(layer))[None].to(image) for name, layer in layers.items()
    }
