"""Layers of a picture drawn by networks side by side, in two stages: what Double-DIP consists of.

First each layer is drawn alone, as a start tells; then all together, so that they add up to the
picture. From then on the outputs are averaged, and the average where their variance is least is
kept, as in `deep_image_prior`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.device import place
from ssl_restore.errors import UserError
from ssl_restore.inference.tiles import to_multiple
from ssl_restore.networks.hourglass import INPUT_CHANNELS, SCALES, Hourglass
from ssl_restore.solvers.early_stopping import LeastVariance
from ssl_restore.solvers.seeded import seeded
from ssl_restore.training.fit import fit
from ssl_restore.training.optimizers import constant
from ssl_restore.types import Batch, Learning, Player

FIRST_STAGE = 0.3  # share of the run
ENOUGH_STEPS = 100  # below which the layers are far from what they would become
SHOWN_EVERY_S = 10.0

Layers = dict[str, Tensor]


@dataclass(frozen=True)
class Course:
    """How layers are drawn; the settings of `double_dip.solve`."""

    generator: torch.Generator
    steps: int
    seconds: float | None
    side: int
    width: int
    lr: float
    shake: float
    memory: int
    patience: int
    precision: str
    progress: Callable[[float], None]
    notify: Callable[[str], None]
    show: Callable[[Layers], None]

    def network(self, channels: int, device: torch.device) -> Hourglass:
        """One that draws a layer with so many channels."""
        return place(
            seeded(lambda: Hourglass(self.width, channels=channels), self.generator), device
        )

    def reduced(self, image: Tensor) -> Tensor:
        """(1, C, H, W) in 0 to 1, the longest side `side` at most, both multiples of the stride."""
        return to_multiple(self.smaller(image), 2**SCALES, 2 ** (SCALES + 1)).clamp(0, 1)

    def smaller(self, image: Tensor) -> Tensor:
        """(1, C, H, W) with the longest side `side` at most."""
        height, width = image.shape[2:]
        scale = min(1.0, self.side / max(height, width))
        size = max(1, round(scale * height)), max(1, round(scale * width))
        return F.interpolate(image, size, mode="area") if scale < 1 else image


class Drawing(nn.Module):
    """An objective that draws layers: `networks` in the order of their codes; keeps its `layers`.

    A subclass gives the terms of its loss from the codes and whether the layers are drawn alone.
    """

    networks: nn.ModuleList
    layers: Layers

    def terms(self, drawn: list[Tensor], alone: bool) -> Layers:
        raise NotImplementedError(f"{type(self).__name__} defines no terms")

    def forward(self, batch: Batch, generator: torch.Generator) -> Layers:
        assert batch.degraded is not None
        codes = batch.degraded.split(INPUT_CHANNELS, dim=1)
        drawn = [network(code) for network, code in zip(self.networks, codes, strict=True)]
        return self.terms(drawn, batch.progress < FIRST_STAGE)


def draw_layers(
    drawing: Drawing, weights: Mapping[str, float], like: Tensor, size: torch.Size, course: Course
) -> Layers:
    """The layers of a drawing for a reduced picture `like`, cut to `size` (..., H, W).

    UserError where the time does not suffice for two steps.
    """
    player = Player(
        drawing, weights, torch.optim.Adam(drawing.parameters(), lr=course.lr),
        schedule=constant, largest_gradient=math.inf,
    )  # fmt: skip
    shape = (1, INPUT_CHANNELS * len(drawing.networks), *like.shape[2:])
    code = (torch.rand(shape, generator=course.generator) / 10).to(like)

    def draw(step: int, share: float) -> Batch:
        shaken = code + course.shake * torch.randn(shape, generator=course.generator).to(code)
        return Batch(None, shaken.contiguous(memory_format=torch.channels_last), share)

    def cut(joined: Tensor) -> Layers:
        channels = [layer.shape[1] for layer in drawing.layers.values()]
        parts = joined[..., : size[-2], : size[-1]].split(channels, dim=1)
        return dict(zip(drawing.layers, parts, strict=True))

    stopping = LeastVariance(course.memory, course.patience)
    rows = fit(
        Learning(players=(player,)), draw, seed=0, steps=course.steps, seconds=course.seconds,
        precision=course.precision,
    )  # fmt: skip
    joined, made, stopped, shown = like, 0, False, time.monotonic()
    for row in rows:
        course.progress(row.progress)
        made = row.step
        joined = torch.cat(list(drawing.layers.values()), dim=1)
        stopped = row.progress >= FIRST_STAGE and stopping.over(joined)
        if stopped:
            break
        if time.monotonic() - shown > SHOWN_EVERY_S:
            course.show(cut(joined if stopping.mean is None else stopping.mean))
            shown = time.monotonic()
    if made < min(2, course.steps):
        raise UserError(
            f"{course.seconds:g} is less than a step takes; give more, or a smaller `side`",
            parameter="seconds",
        )
    if made < min(ENOUGH_STEPS, course.steps) and not stopped:
        course.notify(
            f"the time was up after {made} steps, too few to draw its layers; give more `seconds`"
        )
    course.progress(1.0)
    layers = cut(joined if stopping.best is None else stopping.best)
    course.show(layers)
    return layers


def enlarged(layer: Tensor, size: torch.Size) -> Tensor:
    """(1, C, h, w) -> (1, C, H, W), bilinear."""
    return F.interpolate(layer, size[-2:], mode="bilinear", align_corners=False)


def consistent_layers(
    images: list[Tensor], weights: list[Tensor], layers: tuple[Tensor, Tensor], trust: float
) -> tuple[Tensor, Tensor]:
    """The two layers nearest to the given ones that add up to each picture.

        min  sum_k |I_k - m_k y1 - (1 - m_k) y2|^2 + trust (|y1 - given1|^2 + |y2 - given2|^2)

    in closed form, pixel by pixel: the detail that layers drawn at a smaller size lack. All tensors
    are (1, 1 or 3, H, W), or scalars for the weights.
    """
    one, other = layers
    left = [i - m * one - (1 - m) * other for i, m in zip(images, weights, strict=True)]
    aa = sum((m * m for m in weights), torch.tensor(trust).to(one))
    bb = sum(((1 - m) * (1 - m) for m in weights), torch.tensor(trust).to(one))
    ab = sum((m * (1 - m) for m in weights), torch.tensor(0.0).to(one))
    to_one = sum((m * r for m, r in zip(weights, left, strict=True)), torch.zeros_like(one))
    to_other = sum(((1 - m) * r for m, r in zip(weights, left, strict=True)), one * 0)
    det = aa * bb - ab * ab
    return one + (bb * to_one - ab * to_other) / det, other + (aa * to_other - ab * to_one) / det
