"""A short noisy video with its truth, and a restorer of one weight, for the tests of adapters."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ssl_restore.io import images
from ssl_restore.restorer import Restorer


class Blur(Restorer):
    """lerp(I, 5 x 5 mean of I, sigmoid(w)): as much noise goes as w is large."""

    stride, reach = 2, 2

    def __init__(self, w=-2.0):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, image):
        mean = F.avg_pool2d(F.pad(image, (2,) * 4, mode="replicate"), 5, 1)
        return torch.lerp(image, mean, self.w.sigmoid())


def scene(height, width, *, seed=0):
    """(H, W, 3) float in [0.2, 0.8], smooth, with detail to follow in every part."""
    draws = np.random.default_rng(seed)
    coarse = draws.random((height // 12 + 2, width // 12 + 2, 3), np.float32)
    return 0.2 + 0.6 * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def frames(count, height=80, width=96, *, step=2, seed=0):
    """Clean frames uint8 of a camera that moves `step` px a frame to the right."""
    whole = scene(height, width + step * count, seed=seed)
    cuts = [whole[:, step * t : step * t + width] for t in range(count)]
    return [(255 * cut).round().astype(np.uint8) for cut in cuts]


def with_noise(clean, sigma=25.0, *, seed=0):
    """Each frame with Gaussian noise of its own, sigma of 255 (of the type's range)."""
    draws = np.random.default_rng(seed)
    made = []
    for frame in clean:
        peak = np.iinfo(frame.dtype).max
        noisy = frame + draws.normal(0, sigma / 255 * peak, frame.shape)
        made.append(noisy.round().clip(0, peak).astype(frame.dtype))
    return made


def save_photographs(folder, count=2):
    """A folder of clean pictures of other scenes."""
    folder.mkdir()
    for number in range(count):
        clean = (255 * scene(80, 96, seed=100 + number)).round().astype(np.uint8)
        images.write(folder / f"{number}.png", images.Picture(clean))
    return folder
