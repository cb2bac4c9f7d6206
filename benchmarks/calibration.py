"""How well the numbers of an estimated rain layer tell the rain: a study for calibration.

    python benchmarks/calibration.py ./photos/ --images 2048

Renders known rain on patches of photographs, takes the layer that the built-in restorer removes
(it sees about two thirds of the light) and that of a morphological opening, and regresses the
parameters of the rain on their statistics. Prints the errors on photographs kept aside.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from degradations.rain import Rain, RainParams, add_rain, streak_layer
from degradations.sensor import quantise
from ssl_restore import data, images
from ssl_restore.device import autocast
from ssl_restore.folders import open_restorer
from ssl_restore.objectives.opening import opening
from ssl_restore.rain_statistics import statistics

SIDE_PX, BATCH, EPOCHS = 160, 16, 60
NAMES = ("length", "width", "coverage", "brightness", "mean of the layer")
PRIOR = Rain(
    dry=0, populations=(1, 2), coverage=(0.02, 1.0), width_px=(0.6, 5.0), length_px=(6, 100),
    brightness=(0.05, 0.8),
)  # fmt: skip


def truth(params: RainParams) -> tuple[Tensor, Tensor]:
    """Angle (B,) and logarithms (B, 5) of NAMES; means over streaks weigh their light."""
    area = params.length_px * params.width_px * params.present
    light = area * params.brightness
    inside = (params.x_px >= 0) & (params.x_px < SIDE_PX)
    inside &= (params.y_px >= 0) & (params.y_px < SIDE_PX)

    def mean(values: Tensor) -> Tensor:
        return (values * light).sum(1) / light.sum(1).clamp_min(1e-6)

    columns = (
        mean(params.length_px.log()),
        mean(params.width_px.log()),
        ((area * inside).sum(1) / SIDE_PX**2).clamp_min(1e-3).log(),
        (light.sum(1) / area.sum(1).clamp_min(1e-6)).clamp_min(1e-3).log(),
        streak_layer(params, SIDE_PX, SIDE_PX).mean(dim=(1, 2, 3)).clamp_min(1e-4).log(),
    )
    return mean(params.angle_rad), torch.stack(columns, dim=1)


@torch.inference_mode()
def simulated(
    restorer: nn.Module, pictures: data.Pictures, count: int, seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Angles seen (N,), features (N, F), angles drawn (N,) and parameters drawn (N, 5)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (BATCH, 3, SIDE_PX, SIDE_PX)
    found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for _ in range(math.ceil(count / BATCH)):
        clean = data.patches(pictures, BATCH, SIDE_PX, generator, upright=True)
        params = PRIOR.sample(shape, generator)
        rainy = quantise(add_rain(clean, params))
        with autocast(rainy.device):
            restored = restorer(rainy.contiguous(memory_format=torch.channels_last)).float()
        seen, coarse = (
            statistics((rainy - other).mean(dim=1, keepdim=True).clamp_min(0))
            for other in (quantise(restored), opening(rainy))
        )
        features = torch.cat([seen.features(), coarse.features()], dim=1)
        found.append((seen.angle_rad, features, *truth(params)))
    angles, features, drawn, targets = (torch.cat(part) for part in zip(*found, strict=True))
    return angles, features, drawn, targets


def regression(features: Tensor, targets: Tensor) -> nn.Module:
    """A small network, features -> targets; both are given in units of their spread."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(features.shape[1], 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(),
        nn.Linear(128, targets.shape[1]),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    steps = EPOCHS * math.ceil(len(features) / 64)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(features)).split(64):
            loss = nn.functional.smooth_l1_loss(network(features[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=2048)
    options = parser.parse_args()
    paths = images.find(options.photos)
    apart = max(1, len(paths) // 5)
    restorer = open_restorer(None, torch.device("cpu"))
    learned, tested = (data.load(p, patch=SIDE_PX) for p in (paths[apart:], paths[:apart]))
    _, features, _, targets = (t.clone() for t in simulated(restorer, learned, options.images, 0))
    angles, probes, drawn, known = simulated(restorer, tested, 640, 1)
    middle, spread = features.mean(0), features.std(0) + 1e-3
    centre, scale = targets.mean(0), targets.std(0)
    network = regression((features - middle) / spread, (targets - centre) / scale)
    with torch.inference_mode():
        estimated = network((probes - middle) / spread) * scale + centre
    print(f"angle: median error {math.degrees((angles - drawn).abs().median()):.1f} degrees")
    for column, name in enumerate(NAMES):
        pair = torch.stack([estimated[:, column], known[:, column]])
        error = (pair[0] - pair[1]).exp() - 1
        print(f"{name}: median error {error.abs().median():.0%}, bias {error.median():+.0%}, "
              f"correlation {torch.corrcoef(pair)[0, 1]:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
