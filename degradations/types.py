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
    """A prior over physical parameters.  `apply` is a static, pure function.

    `capabilities` lists what a degradation may have beside these two.

    Example:
        >>> prior: Degradation = Sensor(gain=(2, 2))
        >>> params = prior.sample((1, 1, 1, 1), torch.Generator().manual_seed(0))
        >>> prior.apply(torch.full((1, 1, 1, 1), 0.2), params)
        tensor([[[[0.4000]]]])
    """

    def sample(self, shape: Shape, generator: torch.Generator) -> Any:
        """Draw parameters for a batch of this shape, on the CPU, float32."""

    @property
    def apply(self) -> Callable[[Tensor, Any], Tensor]:
        """(image (B, C, H, W), params) -> image (B, C, H, W)."""


def uniform(
    limits: Range, size: tuple[int, ...], generator: torch.Generator, *, log: bool = False
) -> Tensor:
    """Uniform draws in [low, high], or log-uniform ones (equal chance for each octave).

    Args:
        limits: (low, high).
        size: of the tensor.
        generator: a CPU stream.
        log: log-uniform.

    Returns:
        float32 tensor of that size.

    Raises:
        ValueError: unless low <= high, and 0 < low where log-uniform.

    Example:
        >>> uniform((0.5, 0.5), (2,), torch.Generator().manual_seed(0))
        tensor([0.5000, 0.5000])
    """
    low, high = limits
    if low > high or (log and low < high and low <= 0):
        raise ValueError(f"a range needs low <= high{' and low > 0' if log else ''}, got {limits}")
    share = torch.rand(size, generator=generator)
    if log and low < high:
        return (math.log(low) + share * (math.log(high) - math.log(low))).exp()
    return low + share * (high - low)


def follow(params: Any, image: Tensor) -> Any:
    """The parameters on the image's device, floating ones in its dtype (float32 at least).

    Args:
        params: a dataclass of tensors.
        image: any tensor.

    Returns:
        Parameters of the same kind.

    Example:
        >>> follow(SensorParams(gain=torch.ones(1)), torch.zeros(1, dtype=torch.float64)).gain.dtype
        torch.float64
    """
    dtype = torch.promote_types(image.dtype, torch.float32)

    def moved(t: Tensor) -> Tensor:
        return t.to(image.device, dtype if t.is_floating_point() else t.dtype)

    return map_tensors(params, moved)


def check_batch(image: Tensor) -> None:
    """TypeError unless floating point, ValueError unless (B, C, H, W); values are not looked at."""
    if not isinstance(image, Tensor) or not image.is_floating_point():
        given = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise TypeError(
            f"an image is a floating-point tensor of values in [0, 1], got {given}; "
            "divide 8-bit values by 255"
        )
    if image.ndim != 4 or not image.numel():
        raise ValueError(
            "an image has the shape (B, C, H, W) with every side at least 1, "
            f"got {tuple(image.shape)}"
        )


def check_image(image: Tensor) -> None:
    """`check_batch`, and on the CPU ValueError for values that cannot be meant for [0, 1].

    What left [0, 1] a little is welcome, as physics does not clamp: the mean must lie in [-1, 2],
    which that of no file of 8 or 16 bits does. Values that are not finite pass: whoever trains on
    them names the loss. Elsewhere a look would wait for the device.
    """
    check_batch(image)
    if image.device.type == "cpu":
        mean = float(image.detach().mean())
        if math.isfinite(mean) and not -1 <= mean <= 2:
            raise ValueError(
                "image values are meant for [0, 1], so that their mean lies in [-1, 2]; "
                f"got a mean of {mean:.4g}"
            )


def check_values(
    name: str,
    values: Tensor | Range | float,
    unit: str,
    low: float = 0.0,
    high: float = math.inf,
    *,
    above: bool = False,
) -> None:
    """ValueError unless low <= values <= high (low < values where `above`), which NaN is not.

    For the ranges of a prior, and for parameters on the CPU (elsewhere a look would wait for the
    device).
    """
    if isinstance(values, Tensor):
        if values.device.type != "cpu" or not values.numel():
            return
        least, most = (float(v) for v in values.detach().aminmax())
        shown = f"{least:.4g}" if least == most else f"{least:.4g} to {most:.4g}"
    else:
        least, most = values if isinstance(values, tuple) else (values, values)
        shown = f"{values}"
    if not ((least > low if above else least >= low) and most <= high):
        limits = f"above {low:g}" if above else f"at least {low:g}"
        limits += f" and at most {high:g}" if high < math.inf else ""
        raise ValueError(f"{name} must be {limits} ({unit}), got {shown}")


def check_map(name: str, values: Tensor, image: Tensor) -> None:
    """ValueError unless (B, 1 or C, H, W) fits the image: a value for every pixel."""
    batch, channels, height, width = image.shape
    if tuple(values.shape) not in {(batch, c, height, width) for c in (1, channels)}:
        raise ValueError(
            f"{name} must have the shape {(batch, 1, height, width)} or "
            f"{(batch, channels, height, width)} of its picture (B, C, H, W), "
            f"got {tuple(values.shape)}"
        )


def per_image(values: Tensor, image: Tensor) -> Tensor:
    """(B,) or (B, C) -> (B, 1 or C, 1, 1), in the image's device and dtype; one row serves all."""
    if len(values) not in {1, len(image)}:
        raise ValueError(f"{len(image)} images need as many parameters, got {len(values)}")
    shaped = values.reshape(values.shape[0], -1, 1, 1)
    return shaped.to(device=image.device, dtype=image.dtype)


def tensors(params: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a dataclass of parameters, by name.

    Args:
        params: a dataclass, maybe of dataclasses and tuples.

    Returns:
        Pairs (name, tensor); nested ones as `outer.inner`.

    Example:
        >>> dict(tensors(ChainParams((SensorParams(gain=torch.ones(1)),))))
        {'steps.0.gain': tensor([1.])}
    """
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
    """The same parameters with every tensor changed: moved, sliced, cast.

    Args:
        params: a dataclass, maybe of dataclasses and tuples.
        change: what becomes of a tensor.

    Returns:
        Parameters of the same kind.

    Example:
        >>> map_tensors(SensorParams(gain=torch.ones(2)), lambda t: t[1:]).gain
        tensor([1.])
    """

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
