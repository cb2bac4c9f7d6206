"""Zero-shot Noise2Noise: a picture gives two smaller ones, and each teaches a tiny network.

    g1, g2     mean of one and of the other diagonal of every 2 x 2 cell
    residual   (|g1(y) - n(g1(y)) - g2(y)|^2 + |g2(y) - n(g2(y)) - g1(y)|^2) / 2
    consistent (|g1(y) - n(g1(y)) - g1(y - n(y))|^2 + the same of g2) / 2

The network n, two convolutions of 3 x 3 and one of 1 x 1, tells the noise; y - n(y) is the result.
White noise without a mean is needed. Reference: Mansour and Heckel, "Zero-shot Noise2Noise:
efficient image denoising without any data", CVPR 2023, eq. 3 to 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.device import place
from ssl_restore.inference.tiles import restore_tensor, to_multiple
from ssl_restore.restorer import Restorer
from ssl_restore.solvers.seeded import seeded
from ssl_restore.training import data
from ssl_restore.training.fit import fit
from ssl_restore.types import Batch, Learning, Player

TASKS = ("denoise",)
WIDTH = 48
LEAST_SIDE_PX = 4


class TinyDenoiser(Restorer):
    """image (B, 3, H, W) -> image - n(image)."""

    stride, reach = 1, 2

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.noise = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 3, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        return image - self.noise(image)


def solve(
    image: Tensor,
    *,
    generator: torch.Generator,
    steps: int = 2000,
    seconds: float | None = None,
    lr: float = 1e-3,
    patch: int = 256,
    precision: str = "auto",
    tile: int | None = None,
    progress: Callable[[float], None] = lambda share: None,
    notify: Callable[[str], None] = lambda line: None,
) -> dict[str, Tensor]:
    """{"clean"} of an image (1, 3, H, W).  Settings: `steps` at most, learning rate `lr`, which is
    halved after half of the run, and `patch` px: a larger picture is learned from in parts.
    """
    height, width = image.shape[2:]
    whole = to_multiple(image, 2, LEAST_SIDE_PX)
    network = place(seeded(TinyDenoiser, generator), image.device)
    player = Player(
        PairLoss(network), {"residual": 0.5, "consistent": 0.5},
        torch.optim.Adam(network.parameters(), lr=lr),
        schedule=lambda step, progress: 0.5 ** int(2 * progress), largest_gradient=math.inf,
    )  # fmt: skip
    fits = max(whole.shape[2:]) <= patch
    values = whole[0].permute(1, 2, 0).cpu().numpy()

    def draw(step: int, share: float) -> Batch:
        part = whole if fits else _part(values, patch, generator).to(image.device)
        return Batch(None, part.contiguous(memory_format=torch.channels_last), share)

    rows = fit(
        Learning(players=(player,)), draw, seed=0, steps=steps, seconds=seconds,
        precision=precision,
    )  # fmt: skip
    for row in rows:
        progress(row.progress)
    progress(1.0)
    clean = restore_tensor(network, whole, tile=tile, precision=precision)
    return {"clean": clean[..., :height, :width]}


def pair(image: Tensor) -> tuple[Tensor, Tensor]:
    """Both diagonals' means of every 2 x 2 cell, (B, C, H, W) -> twice (B, C, H/2, W/2)."""
    a, b, c, d = F.pixel_unshuffle(image, 2).unflatten(1, (image.shape[1], 4)).unbind(2)
    return (b + c) / 2, (a + d) / 2


class PairLoss(nn.Module):
    """Terms: `residual`, `consistent`, twice the mean of a pixel each."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.degraded is not None
        one, other = pair(batch.degraded)
        first, second = self.network(one), self.network(other)
        small_first, small_second = pair(self.network(batch.degraded))
        residual = (first - other).square().mean() + (second - one).square().mean()
        change = (first - small_first).square().mean() + (second - small_second).square().mean()
        return {"residual": residual, "consistent": change}


def _part(values: np.ndarray, patch: int, generator: torch.Generator) -> Tensor:
    side = min(patch, *values.shape[:2]) // 2 * 2
    pictures = data.Pictures((values,), (), "")
    return data.patches(pictures, 1, side, generator, upright=False, shrink=1)
