"""What the recipes share that learn to denoise from noisy pictures alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import nn

from ssl_restore.calibration.noise import WHITE_BELOW, read
from ssl_restore.errors import UserError
from ssl_restore.networks import denoiser, shuffled
from ssl_restore.objectives.anchored import Anchored
from ssl_restore.restorer import Restorer
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe

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
    """A denoiser, on every `shuffle`-th pixel, that learns by `objective(restorer, ema)`.

    The objective gets the plain denoisers. With a weight for the `anchor`, the restorer is held to
    the one that the run starts from, and learns at a tenth of the rate then. Noise looks alike
    however it is turned and is weaker where a picture is shrunk, so that patches take all
    symmetries and the one size.
    """
    if anchor < 0:
        raise UserError(f"at least 0 is expected, got {anchor}", parameter="anchor")
    inner = denoiser.build(width=width)
    ema = copy.deepcopy(inner)
    learned, start = objective(inner, ema), None
    if anchor:
        start = copy.deepcopy(inner)
        learned, weights = Anchored(learned, inner, start), {**weights, "anchor": anchor}
    optimizer = adamw(inner.parameters(), lr=lr, weight_decay=weight_decay)
    whole = Recipe(
        task="denoise",
        network="denoiser",
        keywords={"width": width},
        restorer=inner,
        averages=(Average(ema, inner, decay),),
        players=(Player(learned, weights, optimizer),),
        anchor=start,
        warm_rate=WARM_RATE if anchor else 1.0,
        needs=needs,
        batch=batch,
        patch=patch,
        upright=False,
        shrink=1,
        notes=notes,
    )
    return whole if shuffle == 1 else _on_every_pixel(whole, ema, shuffle)


def _on_every_pixel(whole: Recipe, ema: Restorer, shuffle: int) -> Recipe:
    """The recipe of a restorer on every `shuffle`-th pixel. A run that starts from a denoiser of
    whole pictures stays one, wherever it learns: it goes on restoring them."""
    restorer = shuffled.Shuffled(whole.restorer, shuffle)
    (average,) = whole.averages
    return replace(
        whole,
        network="shuffled",
        keywords={**whole.keywords, "shuffle": shuffle},
        restorer=restorer,
        averages=(Average(shuffled.Shuffled(ema, shuffle), restorer, average.decay),),
        forms=(whole,),
    )


def chosen_strength(
    gain: float, sigma: float, noise_calibration: str
) -> tuple[float, float, tuple[str, ...]]:
    """(gain, sigma, notes) of noise of variance gain J + sigma^2: as given, else as measured; 0 and
    0 without either, for the objective to tell it from each patch."""
    if min(gain, sigma) < 0:
        name, value = ("gain", gain) if gain < 0 else ("sigma", sigma)
        raise UserError(f"at least 0 is expected, got {value}", parameter=name)
    if gain or sigma or not noise_calibration:
        return gain, sigma, ()
    found = read(Path(noise_calibration))
    white = found.median("white")  # patches are in units of the file, what was measured is not
    gain, sigma = white * found.median("gain"), white * found.median("sigma")
    return gain, sigma, (f"noise measured: variance {gain:.2g} J + {sigma:.2g}^2, J from 0 to 1",)


def chosen_shuffle(
    shuffle: int, noise_calibration: str, patch: int, multiple: int, most: int = MOST_SHUFFLE
) -> tuple[int, tuple[str, ...]]:
    """The distance of pixels whose noise is independent, and a line that says why it is not 1.

    A given `shuffle` is taken as it is, 0 is read from the calibration, up to `most` (1 without
    one). UserError when the patch is no multiple of `multiple` pixels of that distance.
    """
    if shuffle < 0:
        raise UserError(f"at least 0 is expected, got {shuffle}", parameter="shuffle")
    notes: tuple[str, ...] = ()
    if shuffle == 0 and noise_calibration:
        found = read(Path(noise_calibration))
        correlation, length = found.median("correlation"), round(found.median("length_px"))
        shuffle = min(length, most)
        if shuffle > 1:
            notes = (
                f"neighbouring pixels share their noise (correlation {correlation:.2f}, over "
                f"{WHITE_BELOW:g}): learning on every {_ordinal(shuffle)} pixel; `shuffle=1` "
                "takes them for independent",
            )
    shuffle = max(shuffle, 1)
    if patch % (multiple * shuffle):
        raise UserError(
            f"a multiple of {multiple * shuffle} is expected where every {_ordinal(shuffle)} pixel "
            f"is looked at, got {patch}",
            parameter="patch",
        )
    return shuffle, notes


def _ordinal(number: int) -> str:
    """2nd, 3rd, 4th ..."""
    return {1: "1st", 2: "2nd", 3: "3rd"}.get(number, f"{number}th")
