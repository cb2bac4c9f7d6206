"""One of two degradations for each image of a batch.

    I = second(J) of a share of the images, first(J) of the others

In the space of the two, which both must keep the size of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .capabilities import without_streaks
from .types import Degradation, Shape, check_batch, check_values, map_tensors
from .veil import veil


@dataclass(frozen=True)
class ChoiceParams:
    """Parameters of both, and which of them each image takes.

    Example:
        >>> prior = Choice(Sensor(gain=(1, 1)), Sensor(gain=(2, 2)), share=1.0)
        >>> prior.sample((1, 1, 1, 1), torch.Generator().manual_seed(0)).second_one
        tensor([True])
    """

    first: Any
    second: Any
    second_one: Tensor  # (B,) bool


@dataclass(frozen=True)
class Choice:
    """Prior: `second` for a `share` of the images, `first` for the others.

    Example:
        >>> prior = Choice(Sensor(gain=(1, 1)), Sensor(gain=(2, 2)), share=1.0)
        >>> params = prior.sample((1, 1, 1, 1), torch.Generator().manual_seed(0))
        >>> prior.apply(torch.full((1, 1, 1, 1), 0.2), params)
        tensor([[[[0.4000]]]])
    """

    first: Degradation
    second: Degradation
    share: float = 0.5

    def __post_init__(self) -> None:
        check_values("share", self.share, "share", high=1)

    def sample(self, shape: Shape, generator: torch.Generator) -> ChoiceParams:
        second_one = torch.rand(shape[0], generator=generator) < self.share
        first, second = (one.sample(shape, generator) for one in (self.first, self.second))
        return ChoiceParams(first, second, second_one)

    def apply(self, image: Tensor, params: ChoiceParams) -> Tensor:
        """Each image as its degradation leaves it, (B, C, H, W)."""
        check_batch(image)
        if len(params.second_one) != len(image):
            raise ValueError(
                f"{len(image)} images need as many choices, got {len(params.second_one)}"
            )
        if params.second_one.device.type == "cpu":  # elsewhere a look would wait for the device
            return self._split(image, params)
        first = self.first.apply(image, params.first)
        return _chosen(params, self.second.apply(image, params.second), first)

    def _split(self, image: Tensor, params: ChoiceParams) -> Tensor:
        """The same, each degradation on its own images only."""
        pairs = ((self.first, params.first), (self.second, params.second))
        places = [(params.second_one == bool(i)).nonzero()[:, 0] for i in range(2)]

        def rows(own: Any, place: Tensor) -> Any:  # of parameters; one row serves all
            return map_tensors(own, lambda t: t[place] if len(t) == len(image) else t)

        parts = [
            one.apply(image[place], rows(own, place))
            for (one, own), place in zip(pairs, places, strict=True)
            if len(place)
        ]
        return torch.cat(parts)[torch.cat(places).argsort()]

    def without_streaks(self, params: ChoiceParams) -> ChoiceParams:
        return replace(
            params,
            first=without_streaks(self.first, params.first),
            second=without_streaks(self.second, params.second),
        )

    def affine_veil(self, params: ChoiceParams, image: Tensor) -> tuple[Tensor, Tensor]:
        """That of the degradation of each image."""
        first = veil(self.first, params.first, image)
        second = veil(self.second, params.second, image)
        pairs = zip(second, first, strict=True)
        t, light = (_chosen(params, *torch.broadcast_tensors(*pair)) for pair in pairs)
        return t, light


def _chosen(params: ChoiceParams, second: Tensor, first: Tensor) -> Tensor:
    return torch.where(params.second_one.to(first.device).view(-1, 1, 1, 1), second, first)
