"""Clips of rain before a scene that stands still, with the scene as their truth."""

from __future__ import annotations

import numpy as np
import torch

from degradations import Rain
from ssl_restore.io import images
from ssl_restore.io.picture import Picture

SIZE = (64, 80)
RAIN = Rain(
    rain_free=0.0, coverage=(0.06, 0.06), brightness=(0.3, 0.3), length_px=(12, 12),
    width_px=(1.5, 1.5), populations=(1, 1), angle_rad=(0.0, 0.1),
)  # fmt: skip


def scene(seed=0, size=SIZE):
    """Smooth shapes with detail enough to be found again, (H, W, 3) uint8."""
    draws = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    light = np.full(size, 90.0)
    for _ in range(40):
        row, column = draws.uniform(0, size[0]), draws.uniform(0, size[1])
        light += draws.uniform(-50, 50) * (
            np.hypot(rows - row, columns - column) < draws.uniform(2, 10)
        )
    return np.repeat(light[..., None], 3, axis=2).clip(40, 180).astype(np.uint8)


def rained(pixels, seed):
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    params = RAIN.sample(tuple(image.shape), torch.Generator().manual_seed(seed))
    rainy = RAIN.apply(image, params)[0].clamp(0, 1).permute(1, 2, 0)
    return (rainy * 255).round().byte().numpy()


def folder(path, frames):
    path.mkdir(parents=True)
    for number, pixels in enumerate(frames):
        images.write(path / f"{number:03}.png", Picture(pixels))
    return path


def rainy_clip(path, count=17, seed=0):
    clean = scene(seed)
    return folder(path, [rained(clean, n) for n in range(count)]), clean
