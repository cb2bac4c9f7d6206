"""Deep image prior: a network that has seen nothing learns to draw the picture, and is stopped.

    min over weights of |f(z + noise) - y|^2,   z fixed,   result: the average of outputs

A convolutional network fits the picture before it fits the noise. When to stop is read off the
outputs themselves: their running variance falls while the picture is found and rises as noise is
learned, and the average at its minimum is kept. References: Ulyanov, Vedaldi and Lempitsky, "Deep
image prior", CVPR 2018 (the network is smaller here); Wang et al., "Early stopping for deep image
prior", TMLR 2023 (exponential moving variance).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.device import autocast
from ssl_restore.inference.tiles import spans, to_multiple
from ssl_restore.solvers.pace import pace

SCALES = 4
INPUT_CHANNELS = 16
PIECE_PX = 512  # a larger picture is taken apart: memory stays that of a piece
MARGIN_PX = 16


class Hourglass(nn.Module):
    """(B, INPUT_CHANNELS, H, W), sides multiples of 2^SCALES, -> (B, 3, H, W) in 0 to 1."""

    def __init__(self, width: int, skip: int = 4) -> None:
        super().__init__()
        entries = [INPUT_CHANNELS, *[width] * (SCALES - 1)]
        self.skips = nn.ModuleList(_layer(entry, skip, 1) for entry in entries)
        self.downs = nn.ModuleList(
            nn.Sequential(_layer(entry, width, 3, stride=2), _layer(width, width, 3))
            for entry in entries
        )
        self.ups = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(width + skip),
                _layer(width + skip, width, 3),
                _layer(width, width, 1),
            )
            for _ in entries
        )
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        beside = []
        for skip, down in zip(self.skips, self.downs, strict=True):
            beside.append(skip(x))
            x = down(x)
        for kept, up in zip(reversed(beside), reversed(self.ups), strict=True):
            wide = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = up(torch.cat([wide, kept], dim=1))
        return torch.sigmoid(self.head(x).float())


def _layer(entry: int, width: int, side: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(entry, width, side, stride, side // 2, padding_mode="reflect"),
        nn.BatchNorm2d(width),
        nn.LeakyReLU(0.2, inplace=True),
    )


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

        def share_seen(share: float, number: int = number) -> None:
            progress((number + share) / len(pieces))

        found = _drawn(
            image[..., rows, columns], generator, width, lr, shake, Stopping(memory, patience),
            pace(steps, None if seconds is None else seconds / len(pieces), share_seen), precision,
        )  # fmt: skip
        share_seen(1.0)
        clean[..., inner[0], inner[1]] = found[
            ..., _within(inner[0], rows), _within(inner[1], columns)
        ]
    return {"clean": clean}


def _drawn(
    image: Tensor,
    generator: torch.Generator,
    width: int,
    lr: float,
    shake: float,
    stopping: Stopping,
    run: Iterator[tuple[int, float]],
    precision: str,
) -> Tensor:
    """What one piece becomes."""
    height, breadth = image.shape[2:]
    target = to_multiple(image, 2**SCALES, 2 ** (SCALES + 1))
    network = _seeded(width, generator).to(image.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = (1, INPUT_CHANNELS, *target.shape[2:])
    code = (torch.rand(size, generator=generator) / 10).to(target)
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    for _ in run:
        shaken = code + shake * torch.randn(size, generator=generator).to(code)
        with autocast(image.device, precision):
            output = network(shaken.contiguous(memory_format=torch.channels_last))
        loss = (output - target).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if stopping.over(output.detach()):
            break
    assert stopping.best is not None
    return stopping.best[..., :height, :breadth]


def _seeded(width: int, generator: torch.Generator) -> Hourglass:
    """A network whose weights are drawn from the generator alone."""
    with torch.random.fork_rng(devices=[]):  # torch's own draws, which are replaced
        network = Hourglass(width)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                bound = layer.weight[0].numel() ** -0.5
                for weight in layer.parameters():
                    weight.uniform_(-bound, bound, generator=generator)
    return network


def _pieces(height: int, width: int) -> Iterator[tuple[slice, slice, tuple[slice, slice]]]:
    """Rows and columns of a piece with its margin, and those that it fills."""
    for down in spans(height, PIECE_PX):
        for across in spans(width, PIECE_PX):
            rows = slice(max(0, down.start - MARGIN_PX), min(height, down.stop + MARGIN_PX))
            columns = slice(max(0, across.start - MARGIN_PX), min(width, across.stop + MARGIN_PX))
            yield rows, columns, (down, across)


def _within(inner: slice, outer: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)
