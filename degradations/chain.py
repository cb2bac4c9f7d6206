"""Several degradations one after the other: what a picture meets on its way to the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .capabilities import at_frame, check_fps, darkened, for_picture, without_streaks
from .types import Degradation, Shape, check_batch
from .veil import veil


@dataclass(frozen=True)
class ChainParams:
    """Parameters of `Chain`: those of its steps, in order.

    Example:
        >>> len(ChainParams((SensorParams(torch.ones(1)), JpegParams(torch.tensor([75.0])))).steps)
        2
    """

    steps: tuple[Any, ...]  # the parameters of each step, in order; nothing but parameters


@dataclass(frozen=True)
class Chain:
    """Several degradations one after the other: a degradation itself, so chains nest.

        I = f_n(... f_1(J))

    `apply` is a method, because which functions run is the chain's to know; it is as pure as its
    steps, and reads nothing else of them. The steps draw one after the other from one stream, for
    pictures of one size: a step that changes the size can only come last.

    Example:
        >>> chain = Chain((Sensor(gain=(2, 2)), Sensor(gain=(0.5, 0.5))))
        >>> degrade(torch.full((1, 1, 1, 1), 0.2), chain, torch.Generator().manual_seed(0))
        tensor([[[[0.2000]]]])
    """

    steps: tuple[Degradation, ...]

    def sample(self, shape: Shape, generator: torch.Generator) -> ChainParams:
        return ChainParams(tuple(step.sample(shape, generator) for step in self.steps))

    def apply(self, image: Tensor, params: ChainParams) -> Tensor:
        """f_n(... f_1(image)): (B, C, H, W) to the same; no steps are the identity."""
        check_batch(image)
        for step, own in self._pairs(params):
            image = step.apply(image, own)
        return image

    def for_picture(self, height: int, width: int, generator: torch.Generator) -> Chain:
        return Chain(tuple(for_picture(step, height, width, generator) for step in self.steps))

    def at_frame(
        self,
        params: ChainParams,
        number: int,
        shape: Shape,
        *,
        fps: float | None = None,
        generator: torch.Generator,
    ) -> ChainParams:
        return self._each(
            params, lambda s, p: at_frame(s, p, number, shape, fps=fps, generator=generator)
        )

    def check_fps(self, fps: float) -> None:
        for step in self.steps:
            check_fps(step, fps)

    def darkened(self, params: ChainParams, light: Tensor) -> ChainParams:
        return self._each(params, lambda step, own: darkened(step, own, light))

    def without_streaks(self, params: ChainParams) -> ChainParams:
        return self._each(params, without_streaks)

    def affine_veil(self, params: ChainParams, image: Tensor) -> tuple[Tensor, Tensor]:
        """t = t_2 t_1 and light = t_2 light_1 + light_2 of each step after the ones before."""
        t, light = image.new_ones(len(image), 1, 1, 1), image.new_zeros(len(image), 1, 1, 1)
        for step, own in self._pairs(params):
            step_t, step_light = veil(step, own, image)
            t, light = step_t * t, step_t * light + step_light
        return t, light

    def _pairs(self, params: ChainParams) -> list[tuple[Degradation, Any]]:
        if len(params.steps) != len(self.steps):
            raise ValueError(
                f"a chain of {len(self.steps)} steps got parameters of {len(params.steps)}; "
                "draw them with this chain's sample()"
            )
        return list(zip(self.steps, params.steps, strict=True))

    def _each(self, params: ChainParams, change: Callable[[Degradation, Any], Any]) -> ChainParams:
        return ChainParams(tuple(change(step, own) for step, own in self._pairs(params)))
