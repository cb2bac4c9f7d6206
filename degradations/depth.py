"""Plausible distances for a picture of which none are known.

    log d = log plane + pieces + brightness + relief,     edges where the picture has them

plane: the ground under a horizon, or the inside of a box seen in perspective, such as a room.
pieces: parts of like colour and place, each at a distance of its own, as objects before a ground.
brightness: what is bright and high in the picture tends to be farther, or nearer.
relief: smooth and random.

What weather adds to a picture depends on its distances, which hardly any photograph comes with;
what is learned from many plausible ones carries over to true ones.

References: Li, Peng, Wang, Xu and Feng, "AOD-Net", ICCV 2017 (haze drawn over known depth); He,
Sun and Tang, "Guided image filtering", PAMI 2013 (edges of the picture).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .haze import Haze
from .types import check_image, uniform

ROOMS = 0.4  # share of pictures that are the inside of a box
PIECES = (2, 12)
SPREAD = (0.0, 0.9)  # standard deviation of the logarithm of the distance among pieces
BRIGHTNESS = (-0.8, 1.6)  # of the logarithm of the distance, from black to white
RELIEF = (0.0, 0.4)
GUIDE_PX, GUIDE_EPS = 2, 1e-3  # at half the size


def plausible_depth(image: Tensor, generator: torch.Generator) -> Tensor:
    """Random distances that follow the edges of each picture, their median one.

    Args:
        image: (B, 3, H, W) display values.
        generator: a CPU stream.

    Returns:
        (B, 1, H, W), above 0, in the median of each picture.

    Example:
        >>> depth = plausible_depth(torch.rand(2, 3, 32, 48), torch.Generator().manual_seed(0))
        >>> depth.shape, bool((depth > 0).all())
        (torch.Size([2, 1, 32, 48]), True)
    """
    check_image(image)
    batch, _, height, width = image.shape
    one = (batch, 1, 1, 1)
    rooms = torch.rand(one, generator=generator) < ROOMS
    ground = Haze(relief=(0.0, 0.0)).sample((batch, 3, height, width), generator).depth_m
    plane = torch.where(rooms, _room(batch, height, width, generator), ground).log()
    nodes = torch.randn((batch, 1, 4, 4), generator=generator)
    relief = F.interpolate(nodes, size=(height, width), mode="bicubic", align_corners=True)
    smooth = uniform(RELIEF, one, generator) * relief
    bright = uniform(BRIGHTNESS, one, generator) * _bright(image)
    pieces = uniform(SPREAD, one, generator).to(image) * _pieces(image, generator)
    logarithm = (plane + smooth).to(image) + bright.to(image) + pieces
    aligned = _aligned(image.mean(dim=1, keepdim=True), logarithm)
    return (aligned - aligned.flatten(1).median(dim=1)[0].view(one)).exp()


def _aligned(guide: Tensor, values: Tensor) -> Tensor:
    """Guided filter with coefficients of half the size."""
    size = (guide.shape[-2], guide.shape[-1])
    half = (-(-size[0] // 2), -(-size[1] // 2))
    small, coarse = (F.interpolate(x, half, mode="area") for x in (guide, values))
    pair = torch.cat(coefficients(small, coarse, GUIDE_PX, GUIDE_EPS), dim=1)
    a, b = F.interpolate(pair, size, mode="bilinear").split(1, dim=1)
    return a * guide + b


def coefficients(guide: Tensor, values: Tensor, radius: int, eps: float) -> tuple[Tensor, Tensor]:
    """Smooth a and b (B, 1, H, W) such that a g + b is near the values around each pixel."""
    products = torch.cat([guide, values, guide * values, guide * guide], dim=1)
    g, v, gv, gg = box_mean(products, radius).split(1, dim=1)
    a = (gv - g * v) / ((gg - g * g).clamp_min(0) + eps)
    smooth = box_mean(torch.cat([a, v - a * g], dim=1), radius)
    return smooth[:, :1], smooth[:, 1:]


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over the square of 2 radius + 1 pixels about each pixel, as far as it lies in x."""
    side = 2 * radius + 1
    rows = F.avg_pool2d(x, (side, 1), 1, (radius, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), 1, (0, radius), count_include_pad=False)


def _room(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """(B, 1, H, W) distances of the inside of a box, along the view: the nearest of its walls."""
    one = (batch, 1, 1, 1)
    tangent = uniform((0.35, 0.8), one, generator)  # of half the angle of view
    x = torch.linspace(-1, 1, width).view(1, 1, 1, -1) - uniform((-0.6, 0.6), one, generator)
    y = torch.linspace(-1, 1, height).view(1, 1, -1, 1) - uniform((-0.5, 0.5), one, generator)
    y = y * (height / width)
    half, low, high = (uniform((0.8, 3.0), one, generator) for _ in range(3))
    back = uniform((2.0, 9.0), one, generator)
    turned = 1 + uniform((-0.4, 0.4), one, generator) * x  # the back wall is not seen head on
    walls = half / (tangent * x).abs().clamp_min(1e-3)
    flats = torch.where(y > 0, low, high) / (tangent * y).abs().clamp_min(1e-3)
    return torch.minimum(torch.minimum(walls, flats), (back * turned).expand(-1, 1, height, width))


def _bright(image: Tensor) -> Tensor:
    """(B, 1, H, W) from -0.5 to 0.5: brightness, half of it for what is high in the picture."""
    height = image.shape[-2]
    grey = image.mean(dim=1, keepdim=True).clamp(0, 1).cpu() - 0.5
    return grey * torch.linspace(1.0, 0.5, height).view(1, 1, -1, 1)


def _pieces(image: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 1, H, W) standard normal, the same in each part of like colour and place."""
    height, width = image.shape[-2:]
    small = F.interpolate(image, (max(1, height // 2), max(1, width // 2)), mode="area")
    small = F.avg_pool2d(small, 5, 1, 2, count_include_pad=False)
    rows, columns = small.shape[-2:]
    places = torch.stack(
        torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    ).to(image)
    result = []
    for one in small:
        count = int(torch.randint(PIECES[0], PIECES[1] + 1, (), generator=generator))
        far = math.exp(float(uniform((-3.0, -0.7), (), generator)))
        features = torch.cat([one, far * places]).flatten(1).T  # (rows columns, 5)
        seeds = torch.randint(rows * columns, (count,), generator=generator).to(image.device)
        nearest = torch.cdist(features, features[seeds]).argmin(dim=1)
        away = torch.randn(count, generator=generator).to(image)
        result.append(away[nearest].view(1, rows, columns))
    return F.interpolate(torch.stack(result), (height, width), mode="bilinear")
