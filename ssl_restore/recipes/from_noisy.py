"""What the recipes share that learn to denoise from noisy pictures alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from ssl_restore.calibration.noise import WHITE_BELOW, read
from ssl_restore.errors import UserError
from ssl_restore.networks import denoiser, shuffled
from ssl_restore.objectives.anchored import Anchored
from ssl_restore.restorer import Restorer
from ssl_restore.types import Player, Recipe

MOST_SHUFFLE = 3  # beyond it too little of the texture is left
WARM_RATE = 0.1  # of a restorer that is held to its start: at more it stopped taking noise away


def denoising(
    objective: Callable[[Restorer, Restorer], nn.Module],
    weights: Mapping[str, float],
    *,
    width: int,
    lr: float,
    weight_decay: float,
    batch: int,
    patch: int,
    decay: float,
    anchor: float = 0.0,
    shuffle: int = 1,
    needs: frozenset[str] = frozenset({"degraded"}),
    notes: tuple[str, ...] = (),
) -> Recipe:
    """A denoiser, on every `shuffle`-th pixel, that learns by `objective(restorer, average)`.

    The objective gets the plain denoisers. With a weight for the `anchor`, the restorer is held to
    the one that the run starts from, and learns at a tenth of the rate then. Noise looks alike
    however it is turned and is weaker where a picture is shrunk, so that patches take all
    symmetries and the one size.
    """
    if anchor < 0:
        raise UserError(f"--set anchor={anchor}: must be at least 0")
    inner = denoiser.build(width=width)
    restorer: Restorer = inner
    keywords: dict[str, object] = {"width": width}
    if shuffle > 1:
        restorer, keywords = shuffled.Shuffled(inner, shuffle), {**keywords, "shuffle": shuffle}
    ema = copy.deepcopy(restorer)
    optimizer = torch.optim.AdamW(
        restorer.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=weight_decay, fused=True
    )
    plain = ema.inner if isinstance(ema, shuffled.Shuffled) else ema
    learned, start = objective(inner, plain), None
    if anchor:
        start = copy.deepcopy(inner)
        learned, weights = Anchored(learned, inner, start), {**weights, "anchor": anchor}
    return Recipe(
        task="denoise",
        network="denoiser" if shuffle == 1 else "shuffled",
        keywords=keywords,
        restorer=restorer,
        ema=ema,
        players=(Player(learned, weights, optimizer),),
        anchor=start,
        warm_rate=WARM_RATE if anchor else 1.0,
        needs=needs,
        batch=batch,
        patch=patch,
        decay=decay,
        upright=False,
        shrink=1,
        notes=notes,
    )


def chosen_strength(
    gain: float, sigma: float, noise_calibration: str
) -> tuple[float, float, tuple[str, ...]]:
    """(gain, sigma, notes) of noise of variance gain J + sigma^2: as given, else as measured; 0 and
    0 without either, for the objective to tell it from each patch."""
    if min(gain, sigma) < 0:
        raise UserError(f"--set gain={gain}, sigma={sigma}: must be at least 0")
    if gain or sigma or not noise_calibration:
        return gain, sigma, ()
    found = read(Path(noise_calibration))
    gain, sigma = found.median("gain"), found.median("sigma")
    return gain, sigma, (f"noise measured: variance {gain:.2g} J + {sigma:.2g}^2, J from 0 to 1",)


def chosen_shuffle(
    shuffle: int, noise_calibration: str, patch: int, multiple: int
) -> tuple[int, tuple[str, ...]]:
    """The distance of pixels whose noise is independent, and a line that says why it is not 1.

    A given `shuffle` is taken as it is, 0 is read from the calibration (1 without one). UserError
    when the patch is no multiple of `multiple` pixels of that distance.
    """
    if shuffle < 0:
        raise UserError(f"--set shuffle={shuffle}: must be at least 1, or 0 to choose it")
    notes: tuple[str, ...] = ()
    if shuffle == 0 and noise_calibration:
        found = read(Path(noise_calibration))
        correlation, length = found.median("correlation"), round(found.median("length_px"))
        shuffle = min(length, MOST_SHUFFLE)
        if shuffle > 1:
            notes = (
                f"neighbouring pixels share their noise (correlation {correlation:.2f}, over "
                f"{WHITE_BELOW:g}): learning on every {shuffle}. pixel; --set shuffle=1 takes them "
                "for independent",
            )
    shuffle = max(shuffle, 1)
    if patch % (multiple * shuffle):
        raise UserError(
            f"--set patch={patch}: must be a multiple of {multiple * shuffle} where every "
            f"{shuffle}. pixel is looked at"
        )
    return shuffle, notes
