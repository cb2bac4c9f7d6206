"""Restorers around a restorer: blended, told, averaged over positions, one layer of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_restore.errors import UserError
from ssl_restore.networks.shuffled import Shuffled
from ssl_restore.restorer import Restorer, Wrapped

MIRRORED = 4  # the position that is mirrored left to right, and not rotated
QUALITIES = ("fast", "good", "best")
USUAL_QUALITY = "good"


class Strength(Wrapped):
    """I - strength (I - restored): 0 gives the picture back, 1 the restored one.

    image (B, 3, H, W), sides multiples of `stride`, -> the same shape, not clamped.
    """

    def __init__(self, inner: Restorer, strength: float) -> None:
        super().__init__(inner)
        if inner.scale > 1:
            raise UserError("this restorer enlarges; leave it out", parameter="strength")
        self.strength = strength

    def forward(self, image: Tensor, *maps: Tensor) -> Tensor:
        return torch.lerp(image, self.inner(image, *maps).to(image), self.strength)


def with_thoroughness(restorer: Restorer, thorough: float) -> Restorer:
    """The same weights, told how thorough to be: 0 leaves what might belong to the scene, 1 takes
    what might be degradation.

    UserError outside 0 to 1, and for a restorer that cannot be told.
    """
    if not (isinstance(thorough, (int, float, np.number)) and 0 <= thorough <= 1):
        raise UserError(f"0 to 1 is expected, got {thorough!r}", parameter="thorough")
    if restorer.thorough is None:
        raise UserError(
            "these weights cannot be told; leave it out, or fit them anew", parameter="thorough"
        )
    return restorer.told(float(thorough))


class SelfEnsemble(Wrapped):
    """Mean of what a restorer gives for the picture in all positions of its task, turned back.

    image (B, 3, H, W), sides multiples of `stride`, -> clean (B, 3, scale H, scale W). Reference:
    Timofte, Rothe and Van Gool, "Seven ways to improve example-based single image super
    resolution", CVPR 2016.
    """

    def overview(self, small: Tensor) -> Tensor:
        return self._mean(self.inner.overview, small)

    def forward(self, image: Tensor, *maps: Tensor) -> Tensor:
        if maps:  # which are the mean already
            return self.inner(image, *maps)
        return self._mean(self.inner, image)

    def _mean(self, of: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
        total: Tensor | None = None
        for position in self.symmetry:
            output = turn_back(of(turn(image, position)).to(image), position)
            total = output.clone() if total is None else total.add_(output)
        assert total is not None
        return total / len(self.symmetry)


class Layer(Wrapped):
    """A layer of a restorer, as a picture of three channels.

    UserError for a restorer that does not tell it.
    """

    def __init__(self, inner: Restorer, name: str) -> None:
        super().__init__(inner)
        core = inner.core
        if name not in core.layer_names:
            raise UserError(
                f"these weights are of a {type(core).__name__}, which tells no {name}; leave it "
                "out",
                parameter="layers",
            )
        self.name = name
        self.reach = inner.layers_reach

    def forward(self, image: Tensor, *maps: Tensor) -> Tensor:
        layers: Any = self.inner.core.layers  # which takes maps, too
        found: Tensor = layers(image, *maps)[self.name]
        return found.expand(-1, 3, -1, -1)


def turn(image: Tensor, position: int) -> Tensor:
    """One of the eight symmetries of the square: mirrored from the fifth on, then rotated."""
    mirrored = image.flip(-1) if position >= MIRRORED else image
    quarter = torch.rot90(mirrored, position % 4, (-2, -1))
    return quarter.contiguous(memory_format=torch.channels_last)


def turn_back(image: Tensor, position: int) -> Tensor:
    """The inverse of `turn`."""
    upright = torch.rot90(image, -(position % 4), (-2, -1))
    return upright.flip(-1) if position >= MIRRORED else upright


def with_pixel_shuffle(restorer: Restorer, grain: int) -> Restorer:
    """The restorer itself for 1; for noise coarser than it knows, on every `grain`-th pixel."""
    return restorer if grain == 1 else Shuffled(restorer, grain)


def with_quality(restorer: Restorer, quality: str) -> Restorer:
    """The mean over the positions of its task for `best`, what takes less time for `fast`."""
    if checked_quality(quality) == "best":
        return SelfEnsemble(restorer.to_average())
    return restorer.to_hurry() if quality == "fast" else restorer


def checked_quality(quality: str) -> str:
    """The quality itself; UserError for an unknown one."""
    if quality not in QUALITIES:
        raise UserError(f"{quality!r} is unknown; use fast, good or best", parameter="quality")
    return quality
