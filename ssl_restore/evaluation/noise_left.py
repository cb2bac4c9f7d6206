"""How much noise and how much texture a restored picture has left, without its truth."""

from __future__ import annotations

import math

import numpy as np

from ssl_restore.calibration.noise import display_values, measure
from ssl_restore.errors import UserError
from ssl_restore.io.picture import Pixels
from ssl_restore.io.used_range import used_white

DIFFERENCE = 0.02  # share of the noisy picture's from which more or less is left than before

Values = np.ndarray


def noise_and_texture_left(noisy: Pixels, restored: Pixels) -> dict[str, float]:
    """`noise_left` and `texture_left`, shares of the noisy picture's; NaN where it has none.

    noise left is the ratio of the deviations that `calibration.noise` estimates; texture left the
    share of the variance of a picture reduced by four, where hardly any noise is left, that the
    restored picture still has.

    Example:
        >>> flat = np.full((96, 96, 3), 120, np.uint8)
        >>> noisy = flat + np.random.default_rng(0).integers(0, 60, flat.shape, np.uint8)
        >>> round(noise_and_texture_left(noisy, noisy)["noise_left"], 3)
        1.0
    """
    white = used_white(noisy)
    try:
        levels = [measure("", display_values(p, white)).level for p in (noisy, restored)]
    except UserError:  # too small
        levels = [0.0, 0.0]
    coarse = [float(_reduced(picture).var(axis=(0, 1)).sum()) for picture in (noisy, restored)]

    def share(pair: list[float]) -> float:
        return pair[1] / pair[0] if pair[0] > 0 else math.nan

    return {"noise_left": share(levels), "texture_left": share(coarse)}


def rejected_reason(noisy: Pixels, before: Pixels, after: Pixels) -> str | None:
    """Why `after` restores a picture worse than `before`: more noise is left and not more texture,
    or less texture and not less noise; None where nothing says so."""
    first, second = (noise_and_texture_left(noisy, restored) for restored in (before, after))
    noise = second["noise_left"] - first["noise_left"]
    texture = second["texture_left"] - first["texture_left"]
    if noise > DIFFERENCE and texture < DIFFERENCE:
        return "more of the noise is left"
    if texture < -DIFFERENCE and noise > -DIFFERENCE:
        return "less of the texture is left"
    return None


def _reduced(picture: Pixels) -> Values:
    """(H / 4, W / 4, C) means of 4 x 4 pixels less their own mean over 2 x 2 of these."""
    height, width, channels = picture.shape
    rows, columns = max(1, height // 8) * 8, max(1, width // 8) * 8
    values = display_values(picture)[:rows, :columns]
    if min(height, width) < 8:
        return np.zeros((1, 1, channels), np.float32)
    quarter = values.reshape(rows // 4, 4, columns // 4, 4, channels).mean(axis=(1, 3))
    eighth = quarter.reshape(rows // 8, 2, columns // 8, 2, channels).mean(axis=(1, 3))
    return quarter - eighth.repeat(2, axis=0).repeat(2, axis=1)
