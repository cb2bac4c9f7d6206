"""One of several degradations for each image of a batch.

    I = f_k(J),   k drawn by weights

In the space of the kinds, which all must keep the size of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .chain import ChainParams
from .types import Degradation, Shape, check_batch, check_values, map_tensors

NOT_DRAWN = ChainParams(())  # parameters of a kind that no image takes


@dataclass(frozen=True)
class OneOfParams:
    """Parameters of every kind, and which of them each image takes.

    Example:
        >>> prior = OneOf((Sensor(gain=(1, 1)), Sensor(gain=(2, 2))), weights=(0.0, 1.0))
        >>> prior.sample((2, 1, 1, 1), torch.Generator().manual_seed(0)).kind
        tensor([1, 1])
    """

    kinds: tuple[Any, ...]  # one row an image; NOT_DRAWN where no image takes the kind
    kind: Tensor  # (B,) int64


@dataclass(frozen=True)
class OneOf:
    """Prior: each image takes one of the `kinds`, as often as its weight says.

    Example:
        >>> prior = OneOf((Sensor(gain=(1, 1)), Sensor(gain=(2, 2))), weights=(0.0, 1.0))
        >>> degrade(torch.full((1, 1, 1, 1), 0.2), prior, torch.Generator().manual_seed(0))
        tensor([[[[0.4000]]]])
    """

    kinds: tuple[Degradation, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.kinds) != len(self.weights):
            raise ValueError(f"{len(self.kinds)} kinds need as many weights, got {self.weights}")
        for weight in self.weights:
            check_values("weights", weight, "of a kind")
        check_values("sum of the weights", sum(self.weights), "of the kinds", above=True)

    def sample(self, shape: Shape, generator: torch.Generator) -> OneOfParams:
        weights = torch.tensor(self.weights, dtype=torch.float32)
        kind = torch.multinomial(weights, shape[0], replacement=True, generator=generator)

        def drawn(k: int, prior: Degradation) -> Any:
            """Rows of the images that take the kind; the others, which do not, repeat the first."""
            taken = kind == k
            count = int(taken.sum())
            if not count:
                return NOT_DRAWN
            row = (taken.cumsum(0) - 1).clamp_min(0)
            own = prior.sample((count, *shape[1:]), generator)
            return map_tensors(own, lambda t: t[row] if len(t) == count else t)

        params = tuple(drawn(k, prior) for k, prior in enumerate(self.kinds))
        return OneOfParams(params, kind)

    def apply(self, image: Tensor, params: OneOfParams) -> Tensor:
        """Each image as its degradation leaves it, (B, C, H, W)."""
        check_batch(image)
        if len(params.kind) != len(image):
            raise ValueError(f"{len(image)} images need as many kinds, got {len(params.kind)}")
        if params.kind.device.type == "cpu":  # elsewhere a look would wait for the device
            return self._split(image, params)
        return self._whole(image, params)

    def _whole(self, image: Tensor, params: OneOfParams) -> Tensor:
        """The same, each degradation on all images."""
        result = image
        for k, (prior, own) in enumerate(zip(self.kinds, params.kinds, strict=True)):
            if own != NOT_DRAWN:
                chosen = (params.kind == k).view(-1, 1, 1, 1)
                result = torch.where(chosen, prior.apply(image, own), result)
        return result

    def _split(self, image: Tensor, params: OneOfParams) -> Tensor:
        """The same, each degradation on its own images only."""

        def rows(own: Any, place: Tensor) -> Any:  # of parameters; one row serves all
            return map_tensors(own, lambda t: t[place] if len(t) == len(image) else t)

        taken = params.kind.unique().tolist()
        places = [(params.kind == k).nonzero()[:, 0] for k in taken]
        parts = [
            self.kinds[k].apply(image[place], rows(params.kinds[k], place))
            for k, place in zip(taken, places, strict=True)
        ]
        return torch.cat(parts)[torch.cat(places).argsort()]
