"""What every degradation is: a prior that draws parameters, a pure function that applies them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

Shape = tuple[int, int, int, int]  # (B, C, H, W)
Range = tuple[float, float]  # lowest and highest value of a prior


class Degradation(Protocol):
    """A prior over physical parameters.  `apply` is a static, pure function."""

    def sample(self, shape: Shape, generator: torch.Generator) -> Any:
        """Draw parameters for a batch of this shape, on the CPU, float32."""

    @property
    def apply(self) -> Callable[[Tensor, Any], Tensor]:
        """(image (B, C, H, W), params) -> image (B, C, H, W)."""


def uniform(
    limits: Range, size: tuple[int, ...], generator: torch.Generator, *, log: bool = False
) -> Tensor:
    """Uniform draws in [low, high], or log-uniform ones (equal chance for each octave)."""
    low, high = limits
    if low > high or (log and low < high and low <= 0):
        raise ValueError(f"a range needs low <= high{' and low > 0' if log else ''}, got {limits}")
    share = torch.rand(size, generator=generator)
    if log and low < high:
        return (math.log(low) + share * (math.log(high) - math.log(low))).exp()
    return low + share * (high - low)


def per_image(values: Tensor, image: Tensor) -> Tensor:
    """(B,) or (B, C) -> (B, 1 or C, 1, 1), in the image's device and dtype."""
    shaped = values.reshape(values.shape[0], -1, 1, 1)
    return shaped.to(device=image.device, dtype=image.dtype)


def tensors(params: Any) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of every tensor in a parameters dataclass, nested ones as `outer.inner`."""
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        if isinstance(value, Tensor):
            yield field.name, value
        elif dataclasses.is_dataclass(value):
            yield from ((f"{field.name}.{name}", tensor) for name, tensor in tensors(value))
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                yield from ((f"{field.name}.{index}.{n}", tensor) for n, tensor in tensors(item))


def map_tensors(params: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same parameters with every tensor changed: moved, sliced `lambda t: t[2:3]`, cast."""

    def changed(value: Any) -> Any:
        if isinstance(value, Tensor):
            return change(value)
        if dataclasses.is_dataclass(value):
            return map_tensors(value, change)
        if isinstance(value, tuple):
            return tuple(changed(item) for item in value)
        return value

    return dataclasses.replace(
        params, **{f.name: changed(getattr(params, f.name)) for f in dataclasses.fields(params)}
    )
