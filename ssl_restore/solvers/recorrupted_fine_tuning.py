"""The built-in denoiser, fine-tuned on the one picture by noise that is added to it anew.

    y1 = y + alpha n,    y2 = y - n / alpha,    n noise like that in y,    loss |f(y1) - y2|^2

The errors of y1 and y2 are independent, so that the loss is that against the clean picture but for
a constant (`objectives/recorrupted.py`). The statistics of the norms rest. A tenth of the picture,
in squares, is no target: on it the step from the built-in result to the learned one is measured,

    share = sum (y2 - f0(y1)) (f1(y1) - f0(y1)) / sum (f1(y1) - f0(y1))^2

is how much of it leads nearest to the clean picture. The whole of it is taken from a half on, where
it is better than none, else the share, and nothing below 0. Where noise was cut off at black or
white it has a mean, and what the built-in denoiser restored is the target. Its result is kept where
the noise is not known (see `estimated_noise.py`), and, for noise that pixels share, where neither
noise nor texture says that the learned one is better (`evaluation.noise_left`): it is never known
so well that the share alone could tell. References: Pang, Zheng, Quan and Ji,
"Recorrupted-to-recorrupted", CVPR 2021; for the start from a trained denoiser, Vaksman, Elad and
Milanfar, "LIDIA", CVPRW 2020.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ssl_restore.device import autocast
from ssl_restore.evaluation.noise_left import rejected_reason
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.tiles import restore_tensor, to_multiple
from ssl_restore.inference.wrappers import SelfEnsemble
from ssl_restore.io.picture import Pixels, to_whole_numbers
from ssl_restore.restorer import Restorer
from ssl_restore.solvers.estimated_noise import CUT_OFF, EstimatedNoise, cut_off, estimate
from ssl_restore.training import data
from ssl_restore.training.fit import fit
from ssl_restore.training.optimizers import adamw, warm_up_cosine
from ssl_restore.training.turn import Diverged
from ssl_restore.types import Average, Batch, Learning, Player

TASKS = ("denoise",)
SQUARE_PX = 16
ASIDE = 0.1  # share of the squares that are no target
DECAY = 0.98  # of the average of the weights
JUDGED = 64  # patches that the share is measured on


@dataclass(frozen=True)
class Recorruption(Batch):
    """`degraded` y1 and `clean` y2; where these are learned and where the share is measured."""

    learned: Tensor | None = None  # (B, 3, P, P) of zeros and ones
    judged: Tensor | None = None  # (B, 3, P, P) likewise


class Recorrupted(nn.Module):
    """Terms: `error`, mean |f(y1) - y2|^2 over the pixels that are targets."""

    def __init__(self, restorer: Restorer) -> None:
        super().__init__()
        self.restorer = restorer

    def forward(self, batch: Recorruption, generator: torch.Generator) -> dict[str, Tensor]:
        error = self.restorer(batch.degraded).float() - batch.clean
        return {"error": (error.square() * batch.learned).mean()}


def _schedule(step: int, progress: float) -> float:
    """A short warm-up: of ten steps."""
    return warm_up_cosine(5 * step, progress)


@dataclass(frozen=True)
class Examples:
    """The picture, what it became, and the pixels that are no target, (H, W, C) each."""

    noisy: np.ndarray
    before: np.ndarray
    aside: np.ndarray  # (H, W, 1), 1 where no target
    noise: EstimatedNoise
    cut_off: bool  # at black and white
    alpha: float

    def draw(
        self, count: int, patch: int, generator: torch.Generator, device: torch.device
    ) -> Recorruption:
        """So many patches at random places, with noise drawn anew."""
        seed = int(torch.randint(2**62, (), generator=generator))
        noisy, before, aside = (
            data.patches(
                data.Pictures((values,), (), ""), count, patch,
                torch.Generator().manual_seed(seed), upright=False, shrink=1,
            )
            for values in (self.noisy, self.before, self.aside)
        )  # fmt: skip
        deviation = self.noise.deviation(before)
        drawn = self.noise.draw(deviation, generator)
        room = CUT_OFF * deviation if self.cut_off else torch.full_like(before, -torch.inf)
        whole = (before > room) & (before < 1 - room)
        target = torch.where(whole, noisy - drawn / self.alpha, before)
        four = target, noisy + self.alpha * drawn, 1 - aside.expand_as(noisy), aside * whole
        clean, degraded, learned, judged = (
            part.to(device, memory_format=torch.channels_last) for part in four
        )
        return Recorruption(clean, degraded, learned=learned, judged=judged)


def solve(
    image: Tensor,
    *,
    generator: torch.Generator,
    restorer: Restorer | None = None,
    steps: int = 180,
    seconds: float | None = None,
    lr: float = 5e-4,
    alpha: float = 0.5,
    batch: int = 8,
    patch: int = 64,
    precision: str = "auto",
    tile: int | None = None,
    progress: Callable[[float], None] = lambda share: None,
    notify: Callable[[str], None] = lambda line: None,
) -> dict[str, Tensor]:
    """{"clean"} of an image (1, 3, H, W).  `restorer`, which is not changed and must not be folded,
    is the built-in denoiser by default.  Settings: `steps` at most, `lr`, `alpha`, `batch` and
    `patch` px.
    """
    if restorer is None:
        restorer = load_restorer(None, image.device, task="denoise", trainable=True)
    before = restore_tensor(SelfEnsemble(restorer), image, tile=tile, precision=precision)
    noise, reason = estimate(restorer, image, generator)
    if noise is None:
        notify(f"{reason}: restored without learning")
        progress(1.0)
        return {"clean": before}
    examples = _examples(image, before, noise, alpha, patch, generator)
    learner, ema = copy.deepcopy(restorer), copy.deepcopy(restorer)
    learning = Learning(
        players=(
            Player(
                Recorrupted(learner), {"error": 1.0},
                adamw(learner.parameters(), lr=lr, weight_decay=0.0), schedule=_schedule,
            ),
        ),
        averages=(Average(ema, learner, DECAY),), frozen_batchnorm=True,
    )  # fmt: skip
    rows = fit(
        learning, lambda step, share: examples.draw(batch, patch, generator, image.device),
        seed=0, steps=steps, seconds=seconds, precision=precision,
    )  # fmt: skip
    try:
        for row in rows:
            progress(row.progress)
    except Diverged:
        pass  # the average is that of the steps before
    progress(1.0)
    learned = ema.eval()
    share = useful_share(restorer, learned, examples, patch, generator, precision)
    if share == 0:
        notify("what was learned did not help: restored without it")
        return {"clean": before}
    after = restore_tensor(SelfEnsemble(learned), image, tile=tile, precision=precision)
    clean = torch.lerp(before, after, share)
    worse = None
    if noise.is_shared:
        worse = rejected_reason(*(_in_16_bits(one) for one in (image, before, clean)))
    if worse is not None:
        notify(f"what was learned did not help ({worse}): restored without it")
        return {"clean": before}
    return {"clean": clean}


def _in_16_bits(image: Tensor) -> Pixels:
    return to_whole_numbers(image[0].permute(1, 2, 0).cpu().numpy())


def _examples(
    image: Tensor,
    before: Tensor,
    noise: EstimatedNoise,
    alpha: float,
    patch: int,
    generator: torch.Generator,
) -> Examples:
    height, width = (max(side, patch) for side in image.shape[2:])
    rows, columns = -(-height // SQUARE_PX), -(-width // SQUARE_PX)
    chosen = torch.rand(rows, columns, generator=generator) < ASIDE
    squares = np.repeat(np.repeat(chosen.numpy(), SQUARE_PX, 0), SQUARE_PX, 1)
    noisy, start = (
        to_multiple(whole, 1, patch)[0].permute(1, 2, 0).cpu().numpy() for whole in (image, before)
    )
    aside = np.where(squares[:height, :width, None], np.uint8(255), np.uint8(0))
    return Examples(noisy, start, aside, noise, cut_off(image), alpha)


@torch.no_grad()
def useful_share(
    restorer: Restorer,
    learned: Restorer,
    examples: Examples,
    patch: int,
    generator: torch.Generator,
    precision: str,
) -> float:
    """How much of the step from a restorer to the learned one is taken, 0 to 1, by the pixels that
    were no target: all from a half on, as the figure itself is only known to 0.1 or so."""
    device = next(restorer.parameters()).device
    along = length = 0.0
    for _ in range(JUDGED // 8):
        batch = examples.draw(8, patch, generator, device)
        assert batch.clean is not None
        with autocast(device, precision):
            first, second = (net(batch.degraded).float() for net in (restorer, learned))
        step = (second - first) * batch.judged
        along += float((step * (batch.clean - first)).sum())
        length += float((step * step).sum())
    share = along / length if length > 0 else 0.0
    return 1.0 if share >= 0.5 else max(0.0, share)
