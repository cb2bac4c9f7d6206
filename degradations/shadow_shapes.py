"""Outlines of cast shadows: fields in pixels, positive within the shadow.

Near its outline a field is about the signed distance to it, so that moving the level moves the
outline as far, and straight edges stay straight. Edges of buildings and walls, signs and other
straight-edged things, poles and fences, trunks and limbs, and foliage, whose gaps throw dapples.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from .types import Range, uniform

_SLOPE = 1.5  # of smooth standard normal noise, standard deviations a node
_DAPPLES = (10, 40)  # nodes along the longer side
_RAGGED_NODES = 40  # along the longer side, of edges of leaves and grass
_RAGGED = (0.0, 0.02)  # standard deviation of such an edge, over the longer side

Draw = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def noise(height: int, width: int, nodes: int, generator: torch.Generator) -> Tensor:
    """Smooth standard normal noise (H, W) of square cells, `nodes` along the longer side.

    Args:
        height: of the field.
        width: of the field.
        nodes: at least 2.
        generator: a CPU stream.

    Returns:
        (H, W).
    """
    side = max(height, width)
    rows, columns = (max(2, round(nodes * size / side)) for size in (height, width))
    coarse = torch.randn(1, 1, rows, columns, generator=generator)
    fine = functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    return fine[0, 0]


def _whole(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def _draw(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    return uniform((low, high), (count,), generator)


def _across(x: Tensor, y: Tensor, turn: Tensor) -> Tensor:
    """Coordinates (N, H, W) along N directions."""
    return turn.cos().view(-1, 1, 1) * x + turn.sin().view(-1, 1, 1) * y


def walls(x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """One to three half-planes that overlap or meet in a corner."""
    count = _whole(1, 3, generator)
    turn = _draw(0, 2 * math.pi, count, generator)
    planes = _across(x, y, turn) - _draw(-0.2, 0.2, count, generator).view(-1, 1, 1)
    field = planes[0]
    for plane in planes[1:]:
        join = torch.maximum if _whole(0, 1, generator) else torch.minimum
        field = join(field, plane)
    return field


def polygon(x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """A convex polygon of three to eight sides, often on a pole."""
    count = _whole(3, 8, generator)
    centre = _draw(-0.3, 0.3, 2, generator)
    turn = torch.arange(count) + _draw(-0.3, 0.3, count, generator)
    turn = turn * (2 * math.pi / count) + uniform((0, 2 * math.pi), (), generator)
    sides = _draw(0.12, 0.3, count, generator).view(-1, 1, 1)
    field = (sides - _across(x - centre[0], y - centre[1], turn)).amin(0)
    if _whole(0, 1, generator):
        along = uniform((0, 2 * math.pi), (), generator)
        end = centre + torch.stack([along.cos(), along.sin()])
        field = torch.maximum(field, _limb(x, y, centre, end, 0.03))
    return field


def _limb(x: Tensor, y: Tensor, start: Tensor, end: Tensor, radius: float) -> Tensor:
    """radius - distance to the way from start to end."""
    way = end - start
    right, down = x - start[0], y - start[1]
    place = ((right * way[0] + down * way[1]) / way.square().sum().clamp_min(1e-6)).clamp(0, 1)
    return radius - torch.hypot(right - place * way[0], down - place * way[1])


def poles(x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """One to six bars, side by side as of a fence, or in any direction."""
    count = _whole(1, 6, generator)
    turn = _draw(0, 2 * math.pi, count, generator)
    if _whole(0, 1, generator):
        turn = turn[:1] + _draw(-0.03, 0.03, count, generator)
    wide = _draw(0.01, 0.06, count, generator).view(-1, 1, 1)
    middle = _draw(-0.5, 0.5, count, generator).view(-1, 1, 1)
    return (wide - (_across(x, y, turn) - middle).abs()).amax(0)


def limbs(x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """A trunk with branches, or a body with its limbs: rounded bars that start on each other."""
    places = [_draw(-0.4, 0.4, 2, generator)]
    field = torch.full_like(x + y, -math.inf)
    heading = float(uniform((0, 2 * math.pi), (), generator))
    radius = float(uniform((0.05, 0.16), (), generator))
    for _ in range(_whole(2, 7, generator)):
        start = places[_whole(0, len(places) - 1, generator)]
        turn = heading + 0.9 * float(torch.randn((), generator=generator))
        length = float(uniform((0.1, 0.5), (), generator))
        end = start + length * torch.tensor([math.cos(turn), math.sin(turn)])
        field = torch.maximum(field, _limb(x, y, start, end, radius))
        places.append(end)
        radius *= float(uniform((0.5, 0.95), (), generator))
    return field


def foliage(x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """Fine noise upon coarse: leaves close together or with gaps."""
    height, width = y.shape[-2], x.shape[-1]
    nodes = _whole(*_DAPPLES, generator)
    fine = noise(height, width, nodes, generator) + 0.5 * noise(height, width, 2 * nodes, generator)
    coarse = float(uniform((0.0, 2.0), (), generator)) * noise(height, width, 3, generator)
    return (fine + coarse) / (_SLOPE * nodes)


def clouds(x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """Smooth noise: crowns of trees, and what has no name."""
    nodes = _whole(2, 8, generator)
    return noise(y.shape[-2], x.shape[-1], nodes, generator) / (_SLOPE * nodes)


SHAPES: dict[str, Draw] = {
    "walls": walls,
    "polygon": polygon,
    "poles": poles,
    "limbs": limbs,
    "foliage": foliage,
    "clouds": clouds,
}


def shadow_field(
    height: int, width: int, shape: str, coverage: Range, generator: torch.Generator
) -> tuple[Tensor, float]:
    """The field of a shadow, and the level at which it covers a share of the picture.

    Args:
        height: of the picture.
        width: of the picture.
        shape: a name in `SHAPES`.
        coverage: least and greatest share of the picture in shadow.
        generator: a CPU stream.

    Returns:
        (H, W) in pixels, and the level in pixels.
    """
    side = max(height, width)
    x = ((torch.arange(width) + 0.5 - width / 2) / side).view(1, -1)
    y = ((torch.arange(height) + 0.5 - height / 2) / side).view(-1, 1)
    field = SHAPES[shape](x, y, generator)
    rough = float(uniform(_RAGGED, (), generator)) * float(torch.rand((), generator=generator)) ** 2
    field = side * (field + rough * noise(height, width, _RAGGED_NODES, generator))
    share = float(uniform(coverage, (), generator))
    values = field.flatten()[:: max(1, field.numel() >> 16)]
    rank = min(len(values), 1 + int((1 - share) * len(values)))
    return field, float(values.kthvalue(rank).values)
