"""A photograph with a shadow cast on it, for the tests of `relight`."""

from __future__ import annotations

from pathlib import Path

import torch

from degradations.shadow import ShadowParams, add_shadow, shadow_mask
from ssl_restore.io import images

PHOTOS = Path(__file__).resolve().parents[1] / "data_samples" / "photos"
GAIN = (0.25, 0.3, 0.4)


def photograph(name="cow", height=240, width=320):
    return images.to_tensor(images.read(PHOTOS / f"{name}.jpg").pixels[:height, :width])


def cast(image, softness=2.0, gain=GAIN):
    """A disc of shadow: the shaded picture and where it lies."""
    height, width = image.shape[-2:]
    down, right = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    field = 70.0 - torch.hypot(down - height / 2, right - width / 2)
    params = ShadowParams(
        field[None, None], torch.zeros(1), torch.tensor([softness]), torch.tensor([gain])
    )
    return add_shadow(image, params), shadow_mask(params) > 0.5


def psnr(one, other, chosen):
    error = (one.clamp(0, 1) - other).square()[chosen.expand_as(one)].mean()
    return float(-10 * error.clamp_min(1e-9).log10())
