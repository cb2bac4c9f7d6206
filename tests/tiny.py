"""A tiny restorer with random weights and statistics, and pictures, for the tests."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ssl_restore.io import images
from ssl_restore.networks import unet
from ssl_restore.restorer import Restorer
from ssl_restore.training import checkpoint

KEYWORDS = {"width": 4, "blocks": (1, 1)}


def random_restorer(seed=0, strength=0.2, **keywords):
    """Every weight and every BatchNorm statistic is random; the rain layer varies by `strength`."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like, low, high):
        return low + (high - low) * torch.rand(like.shape, generator=generator)

    restorer = unet.build(**(KEYWORDS | keywords)).eval()
    restorer.task = "derain"
    for module in restorer.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(uniform(module.running_mean, -0.5, 0.5))
            module.running_var.copy_(uniform(module.running_var, 0.5, 2.0))
    with torch.no_grad():
        for parameter in restorer.parameters():
            bound = 1.5 * parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.5
            parameter.copy_(uniform(parameter, -bound, bound))
        rain = restorer.rain(torch.rand(1, 3, 64, 64, generator=generator))
        restorer.decoder.head.weight.mul_(strength / rain.std())
        restorer.decoder.head.bias.zero_()
    return restorer


def save_restorer(path, seed=0, **changes):
    """A checkpoint of a random restorer; `changes` replace fields of its header."""
    header = {"task": "derain", "network": "unet", "keywords": KEYWORDS} | changes
    checkpoint.save(path, random_restorer(seed), checkpoint.Header(**header))
    return path


def pixels(height, width, *, channels=3, dtype=np.uint8, seed=0):
    """Smooth colours with noise, over the whole range."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = np.sin(rows[..., None] / 9 + np.arange(channels)) * np.cos(columns[..., None] / 13)
    values = 0.5 + 0.3 * waves + 0.15 * random.standard_normal((height, width, channels))
    return (values.clip(0, 1) * np.iinfo(dtype).max).round().astype(dtype)


def write_photo(path, height=24, width=40, **keywords):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, images.Picture(pixels(height, width, **keywords)))
    return path


class Untouched(Restorer):
    """The identity, with the layers of a derainer: what `forward` leaves has no veil."""

    stride, reach = 1, 0
    layer_names = ("clean", "optical_depth", "airlight")

    def forward(self, image):
        return image

    def layers(self, image):
        left = self(image)
        none = torch.zeros_like(left[:, :1])
        return {"clean": left, "optical_depth": none, "airlight": left}


class Means(Restorer):
    """The mean of a square of pixels: takes single bright pixels away."""

    stride = 1

    def __init__(self, side=3):
        super().__init__()
        self.reach = side // 2
        self.on = nn.Parameter(torch.zeros(1))  # whose device is asked for

    def forward(self, image):
        wide = nn.functional.pad(image, (self.reach,) * 4, "replicate")
        return nn.functional.avg_pool2d(wide, 2 * self.reach + 1, 1)
