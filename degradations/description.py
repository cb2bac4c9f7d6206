"""Parameters of one picture in numbers, for logs and files as JSON has them."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from torch import Tensor

from .streaks import RainParams
from .types import tensors

LISTED = 64  # values of a tensor; of a larger one (a depth map) mean and range are logged


def rounded(value: float) -> float:
    """The value to six significant digits.

    Args:
        value: any number; one that is not finite stays as it is.

    Returns:
        The nearest number with six digits.

    Example:
        >>> rounded(0.123456789)
        0.123457
    """
    return float(f"{value:.6g}") if math.isfinite(value) else value


def number(value: Tensor) -> float:
    """The only value of a tensor, to six digits.

    Args:
        value: tensor of one value.

    Returns:
        That value, `rounded`.

    Example:
        >>> number(torch.tensor([0.1]))
        0.1
    """
    return rounded(float(value))


def described(params: Any) -> dict[str, Any]:
    """Every parameter of one picture by name: a number, a list, of maps their mean and range.

    Args:
        params: a dataclass of parameters of a single picture.

    Returns:
        First the fields that are no tensors, then the tensors; nested ones as `outer.inner`.

    Example:
        >>> described(ResampleParams(stretch=torch.tensor([0.5]), factor=3))
        {'factor': 3, 'stretch': 0.5}
    """
    values: dict[str, Any] = {
        field.name: value
        for field in fields(params)
        if isinstance(value := getattr(params, field.name), (bool, int, float, str))
    }
    for name, tensor in tensors(params):
        flat = tensor.flatten()
        if len(flat) > LISTED:
            parts = flat.double().mean(), flat.min(), flat.max()
            values[name] = dict(zip(("mean", "min", "max"), map(number, parts), strict=True))
            continue
        listed = [number(v) for v in flat] if tensor.is_floating_point() else flat.tolist()
        values[name] = listed[0] if tensor.ndim == 1 else listed
    return values


def describe_streaks(params: RainParams, height: int, width: int) -> dict[str, Any]:
    """The drawn rain of one picture in numbers; means over streaks centred in the picture.

    They are weighted by light, length x width x brightness: drops far away are many and do not
    show. coverage = sum of length x width of those streaks over the area; means are None without
    any light.
    """
    x, y = params.x_px[0], params.y_px[0]
    visible = params.present[0] & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    areas = (params.length_px * params.width_px)[0][visible].double()
    light = areas * params.brightness[0][visible]

    def mean(values: Tensor) -> float | None:
        return number((light * values[0][visible]).sum() / light.sum()) if light.any() else None

    return {
        "streaks": int(visible.sum()),
        "angle_rad": mean(params.angle_rad),
        "length_px": mean(params.length_px),
        "width_px": mean(params.width_px),
        "brightness": mean(params.brightness),
        "coverage": number(areas.sum() / (height * width)),
        "transmission": number(params.transmission[0]),
        "airlight": number(params.airlight[0]),
        "ceiling": number(params.ceiling[0].min()),
    }
