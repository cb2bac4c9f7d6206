"""A calibration on one page: histograms of what was measured, real rain beside rendered rain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from degradations.rain import add_rain
from degradations.rain_like import RainLike, Uncertainty
from ssl_restore import rng, weights
from ssl_restore.calibration.rain_estimator import WINDOW_PX, windows
from ssl_restore.calibration.rain_file import PictureRain, RainCalibration
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.files import replacing
from ssl_restore.restorer import Restorer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PATCHES = 4
EIGHT_BIT = np.empty((1, 1, 3), np.uint8)  # an example of the pixels that are wanted
HISTOGRAMS = {
    "length_px": "length, px", "width_px": "width, px", "coverage": "coverage",
    "brightness": "brightness of a streak", "mean": "mean of the layer",
    "optical_depth": "veil, optical depth",
}  # fmt: skip


def write_sheet(
    path: Path, calibration: RainCalibration, sources: Mapping[str, Path], device: torch.device
) -> None:
    """A PNG. The rendered rain lies on the same pictures, restored by the built-in restorer."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(12, 10.5), dpi=100, layout="constrained")
    grid = figure.add_gridspec(4, 4, height_ratios=(1, 1, 1.6, 1.6))
    _rose(figure, grid[0:2, 0], calibration)
    for place, (name, title) in enumerate(HISTOGRAMS.items()):
        axes = figure.add_subplot(grid[place // 3, 1 + place % 3])
        axes.hist([_value(p, name) for p in calibration.pictures], bins=16, color="#4477aa")
        axes.set_title(title, fontsize=10)
        axes.set_ylabel("pictures", fontsize=8)
    restorer = load_restorer(weights.rain_layer(), device, task="derain")
    count = min(PATCHES, len(calibration.pictures))
    for column in range(count):
        picture = calibration.pictures[column * len(calibration.pictures) // count]
        real, rendered = _patches(picture, sources[picture.file], restorer)
        for row, (pixels, title) in enumerate(((real, picture.file), (rendered, "rendered"))):
            axes = figure.add_subplot(grid[2 + row, column])
            axes.imshow(pixels, interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(title[:30], fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _value(picture: PictureRain, name: str) -> float:
    value = getattr(picture, name) if hasattr(picture, name) else getattr(picture.rain, name)
    return float(value)


def _rose(figure: Figure, place: Any, calibration: RainCalibration) -> None:
    """Angles as seen in the picture: a vertical streak is at the bottom, a positive one right."""
    axes = figure.add_subplot(place, projection="polar")
    angles = [picture.rain.angle_rad for picture in calibration.pictures]
    counts, edges = np.histogram(angles, bins=36, range=(-math.pi / 2, math.pi / 2))
    middles = (edges[1:] + edges[:-1]) / 2
    axes.bar(middles, counts, width=math.pi / 36, color="#4477aa")
    axes.set(theta_zero_location="S", thetamin=-90, thetamax=90, yticks=[])
    axes.set_title(f"angle, {len(calibration.pictures)} pictures", fontsize=10)


def _patches(
    picture: PictureRain, source: Path, restorer: Restorer
) -> tuple[np.ndarray, np.ndarray]:
    """The window with most rain, 8 bits: as it is, and restored with rain rendered on it."""
    whole = images.to_tensor(images.read(source).pixels)[0]
    real = [images.to_pixels(part[None], EIGHT_BIT) for part in windows(whole)]
    without = [restore(restorer, pixels) for pixels in real]
    most = max(range(len(real)), key=lambda i: float(real[i].mean() - without[i].mean()))
    restored = images.to_tensor(without[most])
    prior = RainLike((picture.rain,), Uncertainty(0, 0, 0, 0, 0), rain_free=0)
    generator = rng.derive(0, f"sheet/{picture.file}", 0)
    rainy = add_rain(restored, prior.sample((1, 3, WINDOW_PX, WINDOW_PX), generator))
    return real[most], images.to_pixels(rainy, EIGHT_BIT)
