"""Drawn rooms and streets, whose distances are known: boxes that wear pieces of photographs.

    image = display(albedo (ambient + light max(0, n . l)) occlusion)

A room is the inside of a box with furniture; a street is a ground under the sky with buildings.
What hides what, how a floor runs away from the camera, that a white wall may be near and a bright
sky is far: distances that are made up for a photograph know none of this.

References: Dosovitskiy et al., "FlowNet", ICCV 2015 (geometry learned from drawn objects before
photographs); Kajiya and Kay, "Ray tracing complex scenes", SIGGRAPH 1986 (slabs of a box).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .color import to_display, to_linear
from .types import check_image, uniform

BOXES = (5, 16)
STREETS = 0.35  # share of scenes
BLOCK_M = (6.0, 12.0)  # a street is that much larger than a room
PICTURED = 0.85  # share of the surfaces that show a part of a photograph
HUNG = 0.25  # share of the boxes of a room that do not stand on its floor
AT_THE_SIDE = 0.3  # share of the boxes
STRAIGHT = 0.6  # share of the boxes
DARK, BRIGHT = (0.0, 0.03), (0.6, 1.0)  # display values of the darkest and brightest hundredth
DARKER = (1.3, 3.0)  # power of the display values: rooms are dark beside what lights them
NEAREST_M, SKY_M = 0.3, (150.0, 600.0)

_FLOOR = 3  # faces of a room: 2 axis + 1 if towards greater coordinates; those of boxes follow


class _Draw:
    """Uniform numbers on the device of a picture."""

    def __init__(self, generator: torch.Generator, like: Tensor) -> None:
        self.generator, self.like = generator, like

    def __call__(self, low: float, high: float, *size: int) -> Tensor:
        return uniform((low, high), size, self.generator).to(self.like)

    def happens(self, share: float, *size: int) -> Tensor:
        return self(0, 1, *size) < share


@dataclass(frozen=True)
class _Boxes:
    """Upright boxes; coordinates in m from the camera: x right, y down, z ahead."""

    centre: Tensor  # (K, 3)
    half: Tensor  # (K, 3) half of the sides
    turn: Tensor  # (K,) about the vertical

    def local(self, vectors: Tensor) -> Tensor:
        """(K or 1, 3, H, W) in the coordinates of each box (K, 3, H, W)."""
        sine, cosine = (f(self.turn)[:, None, None] for f in (torch.sin, torch.cos))
        x, y, z = vectors.unbind(1)
        turned = cosine * x - sine * z, y.expand(len(self.turn), -1, -1), sine * x + cosine * z
        return torch.stack(turned, dim=1)

    def crossed(self, start: Tensor, ray: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rays (1, 3, H, W) from a start through each box, which they may miss: where they enter
        and leave, lengths of the ray; the axis of the face (K, H, W); and its point, local."""
        origin, along = self.local(start - self.centre[..., None, None]), _off_zero(self.local(ray))
        side = self.half[..., None, None]
        inverse = 1 / along
        middle, reach = -origin * inverse, side * inverse.abs()
        enter, axis = (middle - reach).max(dim=1)
        leave = (middle + reach).amin(dim=1)
        return enter, leave, axis, origin + enter[:, None] * along


def drawn_scenes(photographs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A room or street for each photograph, parts of which its surfaces show.

    Args:
        photographs: (B, 3, H, W) display values.
        generator: a CPU stream.

    Returns:
        Pictures (B, 3, H, W), display values in [0, 1], and distances along the view in m
        (B, 1, H, W), above 0.

    Example:
        >>> photographs = torch.rand(2, 3, 32, 48)
        >>> scenes, depth = drawn_scenes(photographs, torch.Generator().manual_seed(0))
        >>> scenes.shape, depth.shape, bool((depth > 0).all())
        (torch.Size([2, 3, 32, 48]), torch.Size([2, 1, 32, 48]), True)
    """
    check_image(photographs)
    drawn = [_scene(one[None], _Draw(generator, one)) for one in photographs]
    pictures, distances = zip(*drawn, strict=True)
    return torch.cat(pictures), torch.cat(distances)


def _scene(photograph: Tensor, draw: _Draw) -> tuple[Tensor, Tensor]:
    """One scene (1, 3, H, W) and its distances (1, 1, H, W)."""
    street = bool(draw.happens(STREETS))
    unit = float(draw(*BLOCK_M)) if street else 1.0
    floor, top = float(draw(0.9, 1.8)), -unit * float(draw(0.6, 2.0))
    aside = unit * draw(0.8, 3.5, 2)
    low = draw.like.new_tensor([-aside[0], top, -1])
    high = draw.like.new_tensor([aside[1], floor, unit * draw(1.5, 8.0)])
    boxes = _placed(low, high, unit, draw)
    lamp = torch.stack([draw(-0.8, 0.8) * unit * 4, draw(0.3, 0.9) * top, draw(0, 0.8) * high[2]])
    if street:  # as far as the horizon
        low, high = low.new_tensor([-500, -500, -1]), high.new_tensor([500, floor, 500])
        lamp = lamp * lamp.new_tensor([3, 8, 1])
    lamp, low, high = (x.view(1, 3, 1, 1) for x in (lamp, low, high))

    ray = _rays(photograph.shape[-2], photograph.shape[-1], draw, level=street)
    depth, axis = (torch.where(ray > 0, high, low) / ray).min(dim=1, keepdim=True)
    face = 2 * axis + (ray.gather(1, axis) > 0)
    enter, leave, box_axis, place = boxes.crossed(torch.zeros_like(lamp), ray)
    enter = torch.where((enter < leave) & (enter > NEAREST_M), enter, torch.inf)
    nearest, number = enter.min(dim=0, keepdim=True)
    box = (nearest < depth[0])[None]
    nearest, number = nearest[None], number[None]

    def of_the_box(values: Tensor) -> Tensor:
        """(K, C, H, W) -> (1, C, H, W)."""
        return values.gather(0, number.expand(-1, values.shape[1], -1, -1))

    axis = torch.where(box, of_the_box(box_axis[:, None]), axis)
    face = torch.where(box, 6 + 3 * number + axis, face)
    depth = torch.where(box, nearest, depth)
    point = depth * ray
    seen = torch.where(box, of_the_box(place), point)  # in the coordinates of its box
    lamps = boxes.local(lamp - boxes.centre[..., None, None])
    towards = torch.where(box, of_the_box(lamps.expand_as(place)), lamp) - seen
    normal = seen.gather(1, axis).sign()  # of a box; a room is lit from its inside
    facing = towards.gather(1, axis) / towards.norm(dim=1, keepdim=True).clamp_min(1e-3)
    facing = torch.where(box, normal * facing, facing.abs()).clamp_min(0)
    enter, leave, _, _ = boxes.crossed(point + 1e-3 * (lamp - point), lamp - point)
    hidden = ((enter < leave) & (leave > 1e-3) & (enter < 1)).any(dim=0).expand_as(facing)
    facing = torch.where(hidden, draw(0.0, 0.4) * facing, facing)
    corner = torch.minimum(point - low, high - point).sort(dim=1)[0][:, 1:2].clamp_min(0)
    occluded = 1 - draw(0.0, 0.7) * (-corner / (0.3 * unit)).exp()

    albedo = _surfaces(photograph, len(boxes.turn), seen, axis, face, unit, draw)
    scene = to_display(albedo * (draw(0.1, 0.5) + draw(0.3, 1.0) * facing) * occluded)
    scene = _exposed(scene, draw)
    if street:
        sky = (face < 6) & (face != _FLOOR)
        scene = torch.where(sky, _sky(photograph, ray, draw), scene)
        depth = torch.where(sky, draw(*SKY_M), depth.clamp_max(SKY_M[0]))
    soft = F.avg_pool2d(F.pad(scene, (1, 1, 1, 1), mode="replicate"), 2, 1)
    return F.avg_pool2d(soft, 2, 1).clamp(0, 1), depth


def _exposed(scene: Tensor, draw: _Draw) -> Tensor:
    """As a camera shows it: from nearly black to nearly white."""
    low, high = scene.flatten().quantile(scene.new_tensor([0.01, 0.99]))
    scene = ((scene - low) / (high - low).clamp_min(0.1)).clamp_min(0) ** draw(*DARKER)
    return draw(*DARK) + draw(*BRIGHT) * scene


def _rays(height: int, width: int, draw: _Draw, *, level: bool) -> Tensor:
    """(1, 3, H, W) through the pixels, 1 along the view before the camera is turned."""
    longest = max(height, width)
    y, x = (draw.like.new_tensor(range(1 - n, n, 2)) / longest for n in (height, width))
    tangent = draw(0.4, 0.8)
    y, x = torch.meshgrid(tangent * y, tangent * x, indexing="ij")
    down, aside = draw(-0.1, 0.15) if level else draw(-0.15, 0.35), draw(-0.6, 0.6)
    y, z = y * down.cos() + down.sin(), down.cos() - y * down.sin()
    x, z = x * aside.cos() + z * aside.sin(), z * aside.cos() - x * aside.sin()
    return _off_zero(torch.stack([x, y, z])[None])


def _off_zero(values: Tensor) -> Tensor:
    """What can be divided by."""
    return torch.where(values.abs() < 1e-6, 1e-6, values)


def _placed(low: Tensor, high: Tensor, unit: float, draw: _Draw) -> _Boxes:
    """Boxes of all sizes on the floor, and some on the walls."""
    k = int(draw(BOXES[0], BOXES[1] + 1))
    half = unit * draw(0.3, 1.0, k, 1) * draw(0.1, 0.8, k, 3)
    if unit > 1:
        half[:, 1] = unit * draw(0.15, 1.8, k)
    centre = low + draw(0, 1, k, 3) * (high - low)
    ahead = 0.8 * unit
    centre[:, 2] = ahead + draw(0, 1, k) * (high[2] - ahead)
    hung = draw.happens(HUNG if unit == 1 else 0, k)
    centre[:, 1] = torch.where(hung, centre[:, 1], high[1] - half[:, 1])
    side = torch.where(draw.happens(0.5, k), low[0], high[0])
    centre[:, 0] = torch.where(draw.happens(AT_THE_SIDE, k), side, centre[:, 0])
    turn = torch.where(draw.happens(STRAIGHT, k), 0.0, draw(-0.8, 0.8, k))
    return _Boxes(centre, half, turn)


def _surfaces(
    photograph: Tensor,
    boxes: int,
    seen: Tensor,
    axis: Tensor,
    face: Tensor,
    unit: float,
    draw: _Draw,
) -> Tensor:
    """(1, 3, H, W) linear albedo: a colour for each face, over some a part of the photograph."""
    faces = 6 + 3 * boxes
    grey = torch.cat([draw(0.1, 0.9, 6, 1), _each(draw(0.02, 0.9, boxes, 1) ** 2)])
    tint = torch.cat([draw(-0.2, 0.2, 6, 3), _each(draw(-0.6, 0.6, boxes, 3))])
    tint = tint * draw(0, 1, faces, 1)
    colour = (grey * (1 + tint)).clamp(0.01, 0.95)
    share = draw(0.2, 1, faces, 1) * draw.happens(PICTURED, faces, 1)
    size, offset = unit * draw(0.5, 3.0, faces, 1), draw(-1, 1, faces, 2)
    table = torch.cat([colour, share, size, offset], dim=1)
    colour, share, size, offset = table[face[0, 0]].permute(2, 0, 1)[None].split([3, 1, 1, 2], 1)
    x, y, z = seen.split(1, dim=1)
    across, along = torch.where(axis == 0, z, x), torch.where(axis == 1, z, y)
    place = torch.cat([across, along], dim=1) / size + offset
    shown = F.grid_sample(
        photograph, place.permute(0, 2, 3, 1), padding_mode="reflection", align_corners=False
    )
    return torch.lerp(colour, to_linear(shown), share)


def _each(of_boxes: Tensor) -> Tensor:
    """(K, C) -> (3 K, C): the faces of a box alike."""
    return of_boxes.repeat_interleave(3, dim=0)


def _sky(photograph: Tensor, ray: Tensor, draw: _Draw) -> Tensor:
    """(1, 3, H, W) display values: bluer away from the horizon, with some clouds."""
    up = (-ray[:, 1:2] / ray.norm(dim=1, keepdim=True)).clamp(0, 1)
    horizon = draw(0.6, 1.0) + draw(-0.05, 0.05, 1, 3, 1, 1)
    blue = draw.like.new_tensor([0.45, 0.65, 0.95]).view(1, 3, 1, 1)
    zenith = horizon * torch.lerp(torch.ones_like(blue), blue, draw(0, 1))
    clouds = F.avg_pool2d(photograph.mean(dim=1, keepdim=True), 9, 1, 4, count_include_pad=False)
    sky = torch.lerp(horizon, zenith, (2.5 * up).clamp(0, 1))
    return (sky + draw(0, 0.25) * (clouds - 0.5)).clamp(0, 1)
