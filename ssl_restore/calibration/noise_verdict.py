"""What a sample of a picture tells of its noise, and what is to be said of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ssl_restore.calibration.broken_pixels import Limits, limits_of, median_around
from ssl_restore.calibration.noise import WHITE_BELOW, PictureNoise, display_values, measure
from ssl_restore.errors import UserError
from ssl_restore.io.picture import Pixels

NO_NOISE = 0.02 / 255  # deviation below which there is none
BROKEN_SHARE = 0.01  # of the pixels, from which broken ones are mended
BROKEN_OFTEN = 0.02  # share from which three neighbours make a pixel detail, below two do
ONE_SIDED = 0.3  # share of the broken pixels that must be brighter, and darker: writing is not
MUCH_LEFT = 0.5  # share of the noise
SURELY_NOISE = 4 / 255  # deviation from which what pixels do not share is noise, not texture
MAYBE_TEXTURE = 16 / 255  # the same of what they share
WHITE_ONES = 0.35  # correlation up to which they do not share it


def measured_noise(sample: Pixels, white: int) -> tuple[PictureNoise | None, str]:
    """The noise of the middle channel of a sample, or None and why it cannot be measured."""
    middle = sample.shape[2] // 2
    try:
        return measure("", display_values(sample[:, :, middle : middle + 1], white)), ""
    except UserError as error:
        return None, str(error).removeprefix(": ").partition(";")[0]


def described(measured: PictureNoise | None, reason: str) -> str:
    """What was measured, in words."""
    if measured is None:
        return f"noise not measured ({reason})"
    if measured.level < NO_NOISE:
        return "no noise"
    shared = measured.correlation
    kind = "independent" if shared < WHITE_BELOW else f"correlation {shared:.2f}"
    words = f"noise of {255 * measured.level:.1f} of 255, {kind}"
    broken = measured.impulse_share
    return words if broken < BROKEN_SHARE else f"{words}, {100 * broken:.1f} % of the pixels broken"


def remark(before: PictureNoise, after: PictureNoise) -> str | None:
    """What the user should know of the noise that is left; None: nothing."""
    if before.impulse_share >= BROKEN_SHARE <= after.impulse_share >= before.impulse_share / 2:
        return f"{100 * after.impulse_share:.1f} % of the pixels are still broken"
    least = SURELY_NOISE if after.correlation < WHITE_ONES else MAYBE_TEXTURE
    if before.level < NO_NOISE or after.level < max(least, MUCH_LEFT * before.level):
        return None
    share = 100 * min(1.0, after.level / before.level)
    return (
        f"{share:.0f} % of the noise is left: `grain=2` takes coarse noise, `zero_shot` learns "
        "from the picture, `ssl-restore fit` from a folder of its kind"
    )


def limits_of_sample(values: np.ndarray, measured: PictureNoise | None) -> Limits | None:
    """Of the pixels that are not broken in a sample (H, W, C), all channels alike; None where few
    are broken, or hardly any but brighter or darker ones, as of writing and of stars."""
    if measured is None or measured.impulse_share < BROKEN_SHARE:
        return None
    planes = np.moveaxis(values, 2, 0)
    around = np.stack([median_around(plane) for plane in planes])
    off = planes - around
    limits = limits_of(off, around)
    broken = off[np.abs(off) > limits.at(around)]
    if not ONE_SIDED * broken.size < (broken > 0).sum() < (1 - ONE_SIDED) * broken.size:
        return None
    return replace(limits, alike=3 if measured.impulse_share >= BROKEN_OFTEN else 2)


def level_at_half(values: np.ndarray) -> float | None:
    """Deviation of the noise in means of 2 x 2 pixels; None where it cannot be measured."""
    rows, columns = (side // 2 * 2 for side in values.shape[:2])
    middle = values.shape[2] // 2
    plane = values[:rows, :columns, middle].reshape(rows // 2, 2, columns // 2, 2)
    try:
        return measure("", plane.mean(axis=(1, 3))[:, :, None]).level
    except UserError:
        return None
