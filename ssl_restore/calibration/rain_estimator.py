"""Numbers of the rain in a picture, from what two restorers remove of it.

A restorer sees less rain than there is: the built-in one about two thirds of the light. So its
layer is not measured but read: on rain rendered over photographs, where the truth is known, a small
network learned to tell the parameters of the rain from statistics of the layer that the built-in
restorer removes, of the layer that a morphological opening removes, and of the picture
(`benchmarks/calibration.py` made it and measures it). Windows of a picture are pooled, each with a
weight of its own, so that one full of texture counts less.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from degradations.populations import Populations
from degradations.sensor import quantise
from degradations.streaks import RainParams
from ssl_restore.calibration.rain_statistics import direction, statistics
from ssl_restore.device import autocast
from ssl_restore.networks import named
from ssl_restore.objectives.opening import opening

FORMAT = 1
WINDOW_PX = 160
MOST_WINDOWS = (4, 3)  # along the longer side and the shorter one
LIGHT_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95)
DARK_SIDE_PX = 15
TAIL = 0.99  # quantile of the layer
VISIBLE = 0.02  # display units
RIPPLED = 0.15  # from which the distance of crests is estimated
NAMES = (
    "length_px", "length_spread", "width_px", "width_spread", "brightness", "brightness_spread",
    "coverage", "angle_spread_rad", "taper", "depth_share", "ripple", "ripple_px",
    "ceiling",
    "populations", "optical_depth",
    "mean", "tail", "visible_share", "rain_free",
)  # fmt: skip
LOGARITHMIC = {
    "length_px": 0.0, "length_spread": 0.02, "width_px": 0.0, "width_spread": 0.02,
    "brightness": 0.0, "brightness_spread": 0.02, "coverage": 1e-4, "angle_spread_rad": 0.005,
    "ripple_px": 0.0, "ceiling": 0.0, "optical_depth": 0.02, "mean": 1e-4, "tail": 1e-3,
    "visible_share": 1e-3,
}  # fmt: skip  # what is added before the logarithm: below it, differences do not matter


def windows(picture: Tensor) -> Tensor:
    """(3, H, W) -> (K, 3, 160, 160): evenly spread over the picture, at its own resolution."""

    def places(side: int, most: int) -> list[int]:
        count = min(most, math.ceil(side / WINDOW_PX))
        room = side - WINDOW_PX
        return [round(room * i / max(1, count - 1)) for i in range(count)]

    height, width = picture.shape[1:]
    across, down = MOST_WINDOWS if width >= height else MOST_WINDOWS[::-1]
    return torch.stack(
        [
            picture[:, top : top + WINDOW_PX, left : left + WINDOW_PX]
            for top in places(height, down)
            for left in places(width, across)
        ]
    )


@torch.inference_mode()
def observe(rainy: Tensor, restorer: nn.Module, pictures: int = 1) -> tuple[Tensor, Tensor]:
    """Windows (pictures * K, 3, S, S), picture by picture: angle (pictures,) and what is seen.

    The second is (pictures, K, F): statistics of both layers along the angle of the picture, and of
    the light.
    """
    with autocast(rainy.device):
        restored = restorer(rainy.contiguous(memory_format=torch.channels_last)).float()
    features, coarse = (
        (rainy - other).mean(dim=1, keepdim=True).clamp_min(0)
        for other in (quantise(restored), opening(rainy))
    )
    angle = common_angle(features, pictures)
    each = angle.repeat_interleave(len(rainy) // pictures)
    features = torch.cat(
        [statistics(features, each).features(), statistics(coarse, each).features(), _light(rainy)],
        dim=1,
    )
    return angle, features.unflatten(0, (pictures, -1))


def common_angle(layers: Tensor, pictures: int) -> Tensor:
    """Angle (pictures,) of all windows of a picture; those of one direction count for more."""
    angle, coherence = (t.unflatten(0, (pictures, -1)) for t in direction(layers))
    light = layers.mean(dim=(1, 2, 3)).unflatten(0, (pictures, -1))
    weight = coherence.square() * light.sqrt()
    x, y = ((weight * part).sum(1) for part in ((2 * angle).cos(), (2 * angle).sin()))
    return torch.atan2(y, x) / 2


def _light(rainy: Tensor) -> Tensor:
    """(B, 2 Q + 1) quantiles of luma and of the dark channel, and the mean saturation."""
    levels = rainy.new_tensor(LIGHT_QUANTILES)
    luma = F.avg_pool2d(rainy.mean(dim=1), 2).flatten(1).quantile(levels, dim=1).T
    least = rainy.amin(dim=1, keepdim=True)
    dark = -F.max_pool2d(-least, DARK_SIDE_PX, stride=DARK_SIDE_PX // 2)
    most = rainy.amax(dim=1, keepdim=True)
    colour = ((most - least) / most.clamp_min(0.02)).mean(dim=(1, 2, 3))[:, None]
    return torch.cat([luma, dark.flatten(1).quantile(levels, dim=1).T, colour], dim=1)


def numbers(drawn: Populations, params: RainParams, layer: Tensor) -> Tensor:
    """(B, NAMES) of rain that is known with its `layer` (B, 1, H, W): what is to be estimated.

    Lengths, widths and brightnesses are geometric means over streaks, weighted by their area, and
    standard deviations of the logarithm about them, of widths within a population. NaN for images
    without streaks, but for `mean`, `tail`, `visible_share` and `coverage`, and `ripple_px` where
    they hardly ripple.
    `populations` are those with at least 15 % of the light of the strongest.
    """
    height, width = layer.shape[-2:]
    inside = (params.x_px > 0) & (params.x_px < width) & (params.y_px > 0) & (params.y_px < height)
    area = params.length_px * params.width_px * (params.present & inside)
    weight = area / area.sum(1, keepdim=True)

    def mean(values: Tensor) -> Tensor:
        return (weight * values).sum(1)

    def spread(values: Tensor) -> Tensor:
        return mean((values - mean(values)[:, None]).square()).sqrt()

    def geometric_mean(logarithm: Tensor) -> Tensor:
        return mean(logarithm).exp()

    length, width_, brightness, crests = (
        values.clamp_min(1e-6).log()
        for values in (params.length_px, params.width_px, params.brightness, params.ripple_px)
    )
    ripple = mean(params.ripple)
    layer = layer.flatten(1)
    light = drawn.coverage * drawn.brightness
    share = drawn.coverage / drawn.coverage.sum(1, keepdim=True)

    def within(population: Tensor) -> Tensor:
        return (share * population).sum(1)

    columns = {
        "length_px": geometric_mean(length), "length_spread": spread(length),
        "width_px": geometric_mean(width_), "width_spread": within(drawn.width_spread),
        "brightness": geometric_mean(brightness), "brightness_spread": spread(brightness),
        "coverage": area.sum(1) / (height * width),
        "angle_spread_rad": spread(params.angle_rad),
        "taper": mean(params.taper),
        "ceiling": params.ceiling,
        "depth_share": within(drawn.depth_share),
        "ripple": ripple,
        "ripple_px": torch.where(ripple > RIPPLED, geometric_mean(crests), math.nan),
        "populations": (light > 0.15 * light.amax(1, keepdim=True)).float().sum(1),
        "optical_depth": -params.transmission.log(),
        "mean": layer.mean(1), "tail": layer.quantile(TAIL, dim=1),
        "visible_share": (layer > VISIBLE).float().mean(1),
        "rain_free": (layer.mean(1) < 1e-4).float(),
    }  # fmt: skip
    return torch.stack([columns[name] for name in NAMES], dim=1)


class RainEstimator(nn.Module):
    """What is seen in K windows of a picture -> NAMES, as `to_scale` has them."""

    feature_mean: Tensor
    feature_spread: Tensor
    predicted_mean: Tensor
    predicted_spread: Tensor
    error: Tensor  # on photographs kept aside

    def __init__(self, features: int, width: int = 128) -> None:
        super().__init__()
        self.keywords = {"features": features, "width": width}
        self.embed = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, width))
        self.trust = nn.Linear(width, 1)  # in a window, against the others of the picture
        self.tell = nn.Sequential(
            nn.GELU(), nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, len(NAMES))
        )
        for name, size in (("feature", features), ("predicted", len(NAMES))):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_spread", torch.ones(size))
        self.register_buffer("error", torch.zeros(len(NAMES)))

    def forward(self, features: Tensor) -> Tensor:
        """(B, K, F) -> (B, NAMES)."""
        inside = self.embed((features - self.feature_mean) / self.feature_spread)
        share = self.trust(inside).softmax(dim=1)
        pooled = torch.cat([(share * inside).sum(dim=1), inside.mean(dim=1)], dim=1)
        predicted: Tensor = self.tell(pooled) * self.predicted_spread + self.predicted_mean
        return predicted

    def save(self, path: Path) -> None:
        named.save(self, path, keywords=self.keywords, names=NAMES, version=FORMAT)


def to_scale(values: Tensor) -> Tensor:
    """(B, NAMES) on the scale of the regression: logarithms of LOGARITHMIC."""
    columns = [
        (values[:, i] + LOGARITHMIC[name]).log() if name in LOGARITHMIC else values[:, i]
        for i, name in enumerate(NAMES)
    ]
    return torch.stack(columns, dim=1)


def from_scale(predicted: Tensor) -> Tensor:
    """The inverse of `to_scale`; what cannot be negative is not."""
    columns = [
        (predicted[:, i].exp() - LOGARITHMIC[name]).clamp_min(0)
        if name in LOGARITHMIC
        else predicted[:, i]
        for i, name in enumerate(NAMES)
    ]
    return torch.stack(columns, dim=1)


def load(path: Path) -> RainEstimator:
    """The estimator in a safetensors file; UserError for one of another version."""
    return named.load(RainEstimator, path, what="an estimator", names=NAMES, version=FORMAT)
