"""From a folder of rainy pictures to the numbers of their rain: what `ssl-restore calibrate` does.

picture -> windows -> what two restorers remove -> estimator -> PictureRain -> Calibration
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from degradations.rain_like import MeasuredRain, Uncertainty
from degradations.rainfall import implied_rate
from ssl_restore import weights
from ssl_restore.calibration import rain_estimator
from ssl_restore.calibration.pictures import Measured, measure_each
from ssl_restore.calibration.rain_estimator import (
    NAMES,
    WINDOW_PX,
    RainEstimator,
    from_scale,
    observe,
    windows,
)
from ssl_restore.calibration.rain_file import PictureRain, RainCalibration
from ssl_restore.errors import UserError
from ssl_restore.inference.load import load_restorer
from ssl_restore.io import MAX_PIXELS, images
from ssl_restore.io.picture import Pixels
from ssl_restore.restorer import Restorer

RAINY_FROM = 0.5  # probability, at even odds, from which a picture counts as rainy
MISTAKEN_SHARE = 0.15  # of rain-free pictures about so many count as rainy, too
LIMITS = {  # what the renderer and the prior can bear
    "length_px": (2.0, 400.0), "width_px": (0.3, 12.0), "length_spread": (0.02, 1.2),
    "width_spread": (0.02, 1.0), "brightness": (0.01, 1.5), "brightness_spread": (0.02, 1.5),
    "coverage": (0.001, 2.0), "angle_spread_rad": (0.002, 0.6), "taper": (0.05, 1.0),
    "depth_share": (0.0, 1.0), "ripple": (0.0, 1.0), "ripple_px": (4.0, 100.0),
    "ceiling": (0.2, 10.0), "optical_depth": (0.0, 2.0),
}  # fmt: skip


def calibrate(
    paths: Sequence[Path],
    device: torch.device,
    *,
    limit: int | None = None,
    on_read: Callable[[Path], None] = lambda path: None,
    max_pixels: int = MAX_PIXELS,
) -> Measured[RainCalibration]:
    """Measure the rain of pictures (`limit` of them, spread over the list).

    UserError when none can be used, and when none has rain: it says how sure that is.
    """
    restorer = load_restorer(weights.rain_layer(), device, task="derain")
    estimator = rain_estimator.load(weights.rain_estimator()).to(device)

    def measure_one(name: str, pixels: Pixels) -> PictureRain:
        return measure(name, images.to_tensor(pixels)[0].to(device), restorer, estimator)

    rows, skipped = measure_each(
        paths, measure_one, limit=limit, on_read=on_read, max_pixels=max_pixels
    )
    rainy = tuple(picture for picture in rows if picture.probability >= RAINY_FROM)
    if len(rainy) <= MISTAKEN_SHARE * len(rows):
        likeliest = max(rows, key=lambda picture: picture.probability)
        raise UserError(
            f"no rain found in {len(rows)} pictures: {len(rainy)} look rainy, no more than by "
            f"mistake (the likeliest, {likeliest.file}, with a probability of "
            f"{likeliest.probability:.0%}); give pictures with visible rain"
        )
    rain_free = tuple(picture.file for picture in rows if picture.probability < RAINY_FROM)
    return Measured(RainCalibration(rainy, rain_free, uncertainty(estimator)), skipped)


@torch.inference_mode()
def measure(
    name: str, picture: Tensor, restorer: Restorer, estimator: RainEstimator
) -> PictureRain:
    """The rain of one picture (3, H, W), display values; UserError for a side below 160 px."""
    height, width = picture.shape[1:]
    if min(height, width) < WINDOW_PX:
        raise UserError(f"{name}: {width}x{height} is too small; {WINDOW_PX} pixels are needed")
    parts = windows(picture.expand(3, -1, -1))
    angle, features = observe(parts, restorer)
    predicted = estimator(features)
    values = dict(zip(NAMES, from_scale(predicted)[0].tolist(), strict=True))
    for key, (low, high) in LIMITS.items():
        values[key] = min(max(values[key], low), high)
    rain = MeasuredRain(
        angle_rad=float(angle),
        airlight=float(parts.amin(dim=1).quantile(0.99).clamp(0.3, 1.0)),
        **{key: values[key] for key in LIMITS},
    )
    return PictureRain(
        file=name,
        probability=1 - 1 / (1 + math.exp(-values["rain_free"])),
        rain=rain,
        **{key: values[key] for key in ("populations", "mean", "tail", "visible_share")},
    )


def with_camera(
    calibration: RainCalibration, focal_px: float, exposure_s: float
) -> RainCalibration:
    """Add the rain rate that the median coverage implies for a camera."""
    coverage = calibration.summary()["coverage"][1]
    try:
        rate = implied_rate(coverage, focal_px=focal_px, exposure_s=exposure_s)
    except ValueError as error:
        raise UserError(str(error)) from error
    camera = {"focal_px": focal_px, "exposure_s": exposure_s, "rate_mm_per_h": rate}
    return replace(calibration, camera=camera)


def uncertainty(estimator: RainEstimator) -> Uncertainty:
    error = dict(zip(NAMES, estimator.error.tolist(), strict=True))
    return Uncertainty(
        length=error["length_px"], width=error["width_px"], brightness=error["brightness"],
        light=error["mean"],
    )  # fmt: skip
