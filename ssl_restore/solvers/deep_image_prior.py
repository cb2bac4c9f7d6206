"""Deep image prior: a network that has seen nothing learns to draw the picture, and is stopped.

    min over weights of |m (H(f(z + noise)) - y)|^2,   z fixed,   result: the average of outputs

y is the picture, H what degraded it and m the pixels of y that are known. Without H and m it takes
noise out; with m it fills lost pixels (inpainting); with a `scale`, H makes pictures smaller and
the result has more pixels (super-resolution); with another H, such as a blur, it undoes that.

A convolutional network fits the picture before it fits the noise. When to stop is read off a few
pixels that it does not learn from (`early_stopping.py`). With m or H there is less to fear from a
long run than from steps too large at its end, so that the learning rate falls to 2 % there.

Reference: Ulyanov, Vedaldi and Lempitsky, "Deep image prior", CVPR 2018, eq. 2 to 5 (the network is
smaller here).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from degradations.resample import ResampleParams, resample
from ssl_restore.device import place
from ssl_restore.errors import UserError
from ssl_restore.networks.hourglass import INPUT_CHANNELS, SCALES, Hourglass
from ssl_restore.solvers import pieces
from ssl_restore.solvers.early_stopping import LeastError, held_out
from ssl_restore.solvers.seeded import seeded
from ssl_restore.training.fit import fit
from ssl_restore.training.optimizers import constant, warm_up_cosine
from ssl_restore.types import Batch, Learning, Player

TASKS = ("denoise", "inpaint", "dedrop", "upscale")
PIECE_PX = 512  # a larger picture is taken apart: memory stays that of a piece
MARGIN_PX = 16
ENOUGH_STEPS = 300  # fewer leave the picture blurred
MOST_DRAWN = 2**20  # pixels that are drawn at once where a picture cannot be taken apart

Degrade = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Observed:
    """What a network has to explain: y, what of it is known, and how it came from what is drawn."""

    picture: Tensor  # (1, 3, H, W)
    known: Tensor  # (1, 1 or 3, H, W) booleans
    degrade: Degrade | None = None
    scale: int = 1  # pixels drawn a pixel of the picture, along each axis

    @property
    def complete(self) -> bool:
        """Whether y itself is a picture, with noise at most."""
        return self.degrade is None and bool(self.known.all())

    @property
    def drawn(self) -> tuple[int, int]:
        """Height and width of what is drawn."""
        return self.scale * self.picture.shape[2], self.scale * self.picture.shape[3]

    def distance(self, drawn: Tensor, chosen: Tensor) -> Tensor:
        """Mean of |H(drawn) - y|^2 over the chosen pixels of y."""
        if self.degrade is not None:
            with torch.autocast(drawn.device.type, enabled=False):  # physics in float32
                drawn = self.degrade(drawn)
        error = (drawn - self.picture).square()
        weight = chosen.to(error).expand_as(error)
        return (error * weight).sum() / weight.sum()


@dataclass(frozen=True)
class Settings:
    """Those of `solve`."""

    steps: int
    width: int
    lr: float
    shake: float
    memory: int
    patience: int
    precision: str


def solve(
    image: Tensor,
    *,
    generator: torch.Generator,
    degrade: Degrade | None = None,
    mask: Tensor | None = None,
    scale: int = 1,
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
    """{"clean"} of an image (1, 3, H, W): (1, 3, scale H, scale W).

    Settings: `degrade`, H as a differentiable function of (1, 3, scale H, scale W) that gives
    (1, 3, H, W), such as `lambda x: blur(x, params)`; `mask` (1, 1 or 3, H, W), 1 where the image
    is known and 0 where it is lost; `scale`, with which H is a `resample` free of aliasing unless
    it is given. Without H, known pixels beside lost ones come back as they are, and a picture above
    512 px is drawn in pieces; with H it is drawn at once, up to 1 Mpixel.

    Further: `steps` at most for a piece, `width` of the network, `lr`, deviation of the noise that
    is added to z anew in each step (`shake`), steps that the averages reach back (`memory`), and
    `patience` steps after the least error on pixels that are held out.

    Raises:
        UserError: For a mask or a `degrade` that does not fit the image, for an image without a
            known pixel, for one too large to be drawn at once, and for `seconds` that end before
            the second step.

    Example:
        >>> small, generator = torch.rand(1, 3, 24, 32), torch.Generator().manual_seed(0)
        >>> solve(small, generator=generator, scale=2, steps=2, width=8)["clean"].shape
        torch.Size([1, 3, 48, 64])
    """
    settings = Settings(steps, width, lr, shake, memory, patience, precision)
    if scale != 1 and degrade is None:
        degrade = _smaller(scale)
    known = _known(mask, image)
    seen = Observed(image.where(known, image.new_zeros(())), known, degrade, scale)
    if degrade is None:
        return {
            "clean": _in_pieces(
                seen, mask is not None, generator, settings, seconds, progress, notify
            )
        }
    _check_drawable(seen)
    return {"clean": _draw(seen, generator, settings, seconds, progress, notify)}


def _in_pieces(
    seen: Observed,
    kept: bool,
    generator: torch.Generator,
    settings: Settings,
    seconds: float | None,
    progress: Callable[[float], None],
    notify: Callable[[str], None],
) -> Tensor:
    """Every piece drawn with its margins, which fade into those of its neighbours.

    Where `kept`, known pixels stay, and pieces without a lost one are not drawn.
    """
    tiles = list(pieces.split(*seen.drawn, PIECE_PX, MARGIN_PX))
    if kept:
        tiles = [tile for tile in tiles if not seen.known[..., tile.rows, tile.columns].all()]
    windows = [(..., tile.window_rows, tile.window_columns) for tile in tiles]
    parts = [replace(seen, picture=seen.picture[w], known=seen.known[w]) for w in windows]
    for part in parts:
        if not part.known.any():
            height, width = part.drawn
            raise UserError(
                f"{width} x {height} px together have no known pixel; "
                "make the picture and its mask smaller first",
                parameter="mask",
            )
    total, weights = torch.zeros_like(seen.picture), torch.zeros_like(seen.picture[:, :1])
    for number, (tile, window, part) in enumerate(zip(tiles, windows, parts, strict=True)):

        def share_done(share: float, number: int = number) -> None:
            progress((number + share) / len(tiles))

        own = None if seconds is None else seconds / len(tiles)
        once = (lambda line: None) if number else notify
        drawn = _draw(part, generator, settings, own, share_done, once)
        weight = pieces.weight(tile, *seen.drawn, MARGIN_PX).to(drawn)
        total[window] += weight * drawn
        weights[window] += weight
    progress(1.0)
    return total / weights if not kept else seen.picture.where(seen.known, total / weights)


class DrawnPicture(nn.Module):
    """Terms: `distance`, mean of |H(f(z)) - y|^2 over the `learned` pixels; keeps the output."""

    def __init__(self, network: nn.Module, seen: Observed, learned: Tensor) -> None:
        super().__init__()
        self.network, self.seen, self.learned = network, seen, learned
        self.output = seen.picture

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        height, breadth = self.seen.drawn
        output = self.network(batch.degraded)[..., :height, :breadth]
        self.output = output.detach()
        return {"distance": self.seen.distance(output, self.learned)}


def _draw(
    seen: Observed,
    generator: torch.Generator,
    settings: Settings,
    seconds: float | None,
    progress: Callable[[float], None],
    notify: Callable[[str], None],
) -> Tensor:
    """What a network draws of a picture, or a piece of one."""
    on = seen.picture.device
    network = place(seeded(lambda: Hourglass(settings.width), generator), on)
    sides = (max(2 ** (SCALES + 1), math.ceil(side / 2**SCALES) * 2**SCALES) for side in seen.drawn)
    size = (1, INPUT_CHANNELS, *sides)
    code = (torch.rand(size, generator=generator) / 10).to(on)
    aside = held_out(seen.known, generator)
    objective = DrawnPicture(network, seen, seen.known & ~aside)
    player = Player(
        objective, {"distance": 1.0}, torch.optim.Adam(network.parameters(), lr=settings.lr),
        schedule=constant if seen.complete else warm_up_cosine, largest_gradient=math.inf,
    )  # fmt: skip

    def draw(step: int, share: float) -> Batch:
        shaken = code + settings.shake * torch.randn(size, generator=generator).to(on)
        return Batch(None, shaken.contiguous(memory_format=torch.channels_last), share)

    @torch.no_grad()
    def error(mean: Tensor) -> float:
        return float(seen.distance(mean, aside if aside.any() else seen.known))

    rows = fit(
        Learning(players=(player,)), draw, seed=0, steps=settings.steps, seconds=seconds,
        precision=settings.precision,
    )  # fmt: skip
    stopping, stopped = LeastError(error, settings.memory, settings.patience), False
    for row in rows:
        progress(row.progress)
        stopped = stopping.over(objective.output)
        if stopped:
            break
    if row.step == 1 < settings.steps:
        raise UserError(
            f"a step takes {row.seconds:.2g} s, hundreds are needed, and `seconds` leave "
            f"{seconds:.2g} s for it; give more"
        )
    if row.step < min(ENOUGH_STEPS, settings.steps) and not stopped:
        notify(
            f"the time was up after {row.step} steps, too few for a sharp picture; "
            "give more `seconds`"
        )
    progress(1.0)
    assert stopping.best is not None
    return stopping.best


def _smaller(scale: int) -> Degrade:
    """The reduction by `scale` of the super-resolution benchmarks."""
    if scale < 1:
        raise UserError(f"at least 1 is expected, got {scale}", parameter="scale")
    return lambda image: resample(image, ResampleParams(image.new_ones(len(image)), scale))


def _known(mask: Tensor | None, image: Tensor) -> Tensor:
    """The mask as booleans on the image's device; all known without one."""
    if mask is None:
        return torch.ones_like(image[:, :1], dtype=torch.bool)
    channels, height, width = image.shape[1:]
    if mask.shape not in {(1, 1, height, width), image.shape}:
        raise UserError(
            f"the shape (1, 1 or {channels}, {height}, {width}) of the image is expected, "
            f"got {tuple(mask.shape)}",
            parameter="mask",
        )
    known = mask.to(image.device) > 0.5
    if not known.any():
        raise UserError(
            "1 where the image is known is expected, got 0 everywhere", parameter="mask"
        )
    return known


def _check_drawable(seen: Observed) -> None:
    """UserError unless `degrade` makes a picture of the image's size, with a gradient."""
    height, width = seen.drawn
    if height * width > MOST_DRAWN:
        raise UserError(
            f"with `degrade` or `scale` a picture is drawn at once, up to {MOST_DRAWN / 1e6:.1f} "
            f"Mpixel; {width} x {height} are too many, give a part of the image",
            parameter="image",
        )
    assert seen.degrade is not None
    trial = torch.full((1, 3, height, width), 0.5, device=seen.picture.device, requires_grad=True)
    made = seen.degrade(trial)
    if made.shape != seen.picture.shape:
        raise UserError(
            f"of {tuple(trial.shape)} it must make {tuple(seen.picture.shape)}, the shape of the "
            f"image, but makes {tuple(made.shape)}; `scale`={seen.scale} says how much smaller",
            parameter="degrade",
        )
    if not made.requires_grad:
        raise UserError(
            "what it makes has no gradient; write it in differentiable torch operations",
            parameter="degrade",
        )
