"""Rain over the frames of a shot: what fell in one frame falls on in the next."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from .streaks import RainParams
from .types import Shape

SHUTTER = 0.5  # exposure over the time from frame to frame: a shutter of 180 degrees
_GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it, modulo one, never come close to repeating


def advance_streaks(
    params: RainParams, frames: int, size: tuple[int, int], *, shutter: float = SHUTTER
) -> RainParams:
    """The same rain so many frames later.

    A streak is the way of its drop during the exposure, which is `shutter` of the time from frame
    to frame; so a drop moves on by length / shutter. One that has left below comes in above as
    another, at another place; its oscillation goes on. 0 frames leave it as drawn.

    Args:
        params: streaks of a batch.
        frames: how many later.
        size: (H, W) of the picture.
        shutter: exposure over the time from frame to frame; 0.5 is a shutter of 180 degrees.

    Returns:
        Parameters of the same streaks.

    Raises:
        ValueError: unless 0 < shutter <= 1.

    Example:
        >>> rain = Rain(rain_free=0).sample((1, 3, 90, 90), torch.Generator().manual_seed(0))
        >>> later = advance_streaks(rain, 1, (90, 90), shutter=1.0)
        >>> bool(((later.y_px - rain.y_px) <= rain.length_px + 0.01).all())
        True
    """
    if not 0 < shutter <= 1:
        raise ValueError(f"shutter must be above 0 and at most 1, got {shutter}")
    height, width = size
    down, right = params.angle_rad.cos(), params.angle_rad.sin()
    way = frames / shutter * params.length_px

    def begun(place: Tensor, side: int, step: Tensor) -> tuple[Tensor, Tensor]:
        """Place from the start of the range in which the streak is seen, and the range."""
        reach = params.length_px / 2 * step.abs() + params.width_px
        reach = torch.maximum(reach, torch.maximum(-place, place - side)).detach() + 1
        return place + reach, side + 2 * reach

    (y, tall), (x, wide) = begun(params.y_px, height, down), begun(params.x_px, width, right)
    turns = ((y + way * down) / tall).floor().detach()
    moved_y = y + way * down - turns * tall
    moved_x = (x + way * right + _GOLDEN * turns * wide).remainder(wide)
    return replace(
        params, y_px=moved_y + params.y_px - y, x_px=moved_x + params.x_px - x,
        phase_rad=params.phase_rad + 2 * math.pi * way / params.ripple_px,
    )  # fmt: skip


def rain_at_frame(
    params: RainParams,
    number: int,
    shape: Shape,
    *,
    fps: float | None = None,
    generator: torch.Generator | None = None,
) -> RainParams:
    """Rain in frame `number` of a shot, from 1, by `SHUTTER`: lengths in pixels tell no time."""
    if number == 1:
        return params
    return advance_streaks(params, number - 1, shape[2:])
