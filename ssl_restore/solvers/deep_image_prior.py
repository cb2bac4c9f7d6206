"""Deep image prior: a network that has seen nothing learns to draw the picture, and is stopped.

    min over weights of |f(z + noise) - y|^2,   z fixed,   result: the average of outputs

A convolutional network fits the picture before it fits the noise. When to stop is read off the
outputs themselves: their running variance falls while the picture is found and rises as noise is
learned, and the average at its minimum is kept. References: Ulyanov, Vedaldi and Lempitsky, "Deep
image prior", CVPR 2018 (the network is smaller here); Wang et al., "Early stopping for deep image
prior", TMLR 2023 (exponential moving variance).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ssl_restore.device import place
from ssl_restore.inference.tiles import spans, to_multiple
from ssl_restore.networks.hourglass import INPUT_CHANNELS, SCALES, Hourglass
from ssl_restore.solvers.seeded import seeded
from ssl_restore.training.fit import fit
from ssl_restore.training.optimizers import constant
from ssl_restore.types import Batch, Learning, Player

PIECE_PX = 512  # a larger picture is taken apart: memory stays that of a piece
MARGIN_PX = 16


class Stopping:
    """The exponential average of outputs where their exponential variance is least.

    mean <- mean + a (x - mean),   variance <- (1 - a) (variance + a |x - mean|^2)
    """

    def __init__(self, memory: float, patience: float) -> None:
        self.rate = 1 / memory
        self.patience = patience  # steps after the minimum
        self.mean: Tensor | None = None
        self.best: Tensor | None = None
        self.variance, self.least = 0.0, float("inf")
        self.count = self.since = 0

    def over(self, output: Tensor) -> bool:
        """Takes the next output in; True when the minimum is `patience` steps ago."""
        if self.mean is None:
            self.mean = output.clone()
        away = output - self.mean
        self.mean += self.rate * away
        self.variance = (1 - self.rate) * (self.variance + self.rate * float(away.square().mean()))
        self.count, self.since = self.count + 1, self.since + 1
        if self.count * self.rate < 2:  # the variance of the first outputs is not yet one
            self.best = self.mean.clone()
        elif self.variance < self.least:
            self.least, self.since = self.variance, 0
            self.best = self.mean.clone()
        return self.count * self.rate >= 2 and self.since > self.patience


def solve(
    image: Tensor,
    *,
    generator: torch.Generator,
    steps: int = 1800,
    seconds: float | None = None,
    width: int = 64,
    lr: float = 0.01,
    shake: float = 1 / 30,
    memory: int = 50,
    patience: int = 300,
    precision: str = "auto",
    progress: Callable[[float], None] = lambda share: None,
    notify: Callable[[str], None] = lambda line: None,
) -> dict[str, Tensor]:
    """{"clean"} of an image (1, 3, H, W), each side of 512 px at most or in such pieces.

    Settings: `steps` at most for a piece, `width` of the network, `lr`, deviation of the noise that
    is added to z anew in each step (`shake`), steps that the averages reach back (`memory`), and
    `patience` steps after the least variance.
    """
    clean = torch.empty_like(image)
    pieces = list(_pieces(*image.shape[2:]))
    for number, (rows, columns, inner) in enumerate(pieces):

        def share_done(share: float, number: int = number) -> None:
            progress((number + share) / len(pieces))

        whole = _drawn(
            image[..., rows, columns], generator, width, lr, shake, Stopping(memory, patience),
            steps, None if seconds is None else seconds / len(pieces), precision, share_done,
        )  # fmt: skip
        share_done(1.0)
        clean[..., inner[0], inner[1]] = whole[
            ..., _within(inner[0], rows), _within(inner[1], columns)
        ]
    return {"clean": clean}


class DrawnPicture(nn.Module):
    """Terms: `distance`, mean |f(z) - y|^2 of a code z and a picture y; keeps the output."""

    def __init__(self, network: nn.Module, picture: Tensor) -> None:
        super().__init__()
        self.network = network
        self.picture = picture
        self.output = picture

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        output = self.network(batch.degraded)
        self.output = output.detach()
        return {"distance": (output - self.picture).square().mean()}


def _drawn(
    image: Tensor,
    generator: torch.Generator,
    width: int,
    lr: float,
    shake: float,
    stopping: Stopping,
    steps: int,
    seconds: float | None,
    precision: str,
    progress: Callable[[float], None],
) -> Tensor:
    """What one piece becomes."""
    height, breadth = image.shape[2:]
    target = to_multiple(image, 2**SCALES, 2 ** (SCALES + 1))
    network = place(seeded(lambda: Hourglass(width), generator), image.device)
    size = (1, INPUT_CHANNELS, *target.shape[2:])
    code = (torch.rand(size, generator=generator) / 10).to(target)
    objective = DrawnPicture(network, target)
    player = Player(
        objective, {"distance": 1.0}, torch.optim.Adam(network.parameters(), lr=lr),
        schedule=constant, largest_gradient=math.inf,
    )  # fmt: skip

    def draw(step: int, share: float) -> Batch:
        shaken = code + shake * torch.randn(size, generator=generator).to(code)
        return Batch(None, shaken.contiguous(memory_format=torch.channels_last), share)

    rows = fit(
        Learning(players=(player,)), draw, seed=0, steps=steps, seconds=seconds,
        precision=precision,
    )  # fmt: skip
    for row in rows:
        progress(row.progress)
        if stopping.over(objective.output):
            break
    assert stopping.best is not None
    return stopping.best[..., :height, :breadth]


def _pieces(height: int, width: int) -> Iterator[tuple[slice, slice, tuple[slice, slice]]]:
    """Rows and columns of a piece with its margin, and those that it fills."""
    for down in spans(height, PIECE_PX):
        for across in spans(width, PIECE_PX):
            rows = slice(max(0, down.start - MARGIN_PX), min(height, down.stop + MARGIN_PX))
            columns = slice(max(0, across.start - MARGIN_PX), min(width, across.stop + MARGIN_PX))
            yield rows, columns, (down, across)


def _within(inner: slice, outer: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)
