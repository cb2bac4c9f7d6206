"""Drops of water on the lens or the windscreen: small lenses that show the scene displaced.

In focus, display values (a drop moves light, and mixes next to none):

    I(x) = (1 - m (1 - g)) J(x - m bend u(x)),     u(x) = (x - c) (1 - r^2),   r = |x - c| / radius

A drop is a dome of height (1 - r^2)^2; light is bent by its slope, which is u up to a factor. Its
middle shows the scene 1 / (1 - bend) times as large: small and upside down where bend > 2, as a
real drop shows a wide view. m is 1 inside and fades over the rim; g is the light that passes.

Out of focus (`defocus_px`), linear light, where the aperture adds what passes beside a drop and
through it:

    I(x) = (1 - a) ((1 - f) J + f k * J)(x) + a g (k * L)(x - bend (x - c)) + h max(k * L)

a is the share of the aperture that drops cover, h their highlights (`drop_layer.py`), f that of a
film of droplets too small to be seen one by one. A drop is a spherical cap here, its slope
proportional to x - c up to the rim; k is a Gaussian, as the view through the drop is out of focus
like the drop itself. L is what drops show: the picture, or, as they show a wider view than the
camera does, what lies `around`.

References: Roser, Kurz and Geiger, "Realistic modeling of water droplets for monocular adherent
raindrop recognition using Bezier curves", ACCV 2010 (refraction by the surface of the drop); You,
Tan, Kawakami, Mukaigawa and Ikeuchi, "Adherent raindrop modeling, detection and removal in video",
IEEE TPAMI 2016 (drops out of focus).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .color import to_display, to_linear
from .drop_layer import FIRST_HARMONIC, Outlines, drop_layer
from .types import Range, Shape, check_image, check_values, map_tensors, per_image, uniform

_RIM = 0.2  # share of the radius over which a drop in focus fades
_VIEW_PX = 4  # side of the pixels of the view through drops out of focus
_SMALLEST_SIGMA = 0.5  # of the blur of that view, in its pixels
_HARMONICS = 3  # of an outline
_TURN_RAD = 0.7  # of the highlights of a picture about straight down, standard deviation
_VIEW = 0.7  # most of the picture's shorter side that a drop shows, middle to rim
_DROPLET = 0.3  # radius of a small drop, over that of the others


@dataclass(frozen=True)
class DropsParams:
    """Parameters of `add_drops`: one row an image, one column a drop; absent ones fill the rows up.

    Example:
        >>> one = torch.ones(1, 1)
        >>> DropsParams(8 * one, 8 * one, 4 * one, 3 * one, one, one > 0).present
        tensor([[True]])
    """

    x_px: Tensor  # (B, N) centre
    y_px: Tensor  # (B, N)
    radius_px: Tensor  # (B, N)
    bend: Tensor  # (B, N) how far the light is bent; 0 is flat, above 1 upside down
    light: Tensor  # (B, N) share of the light that passes
    present: Tensor  # (B, N) bool
    # Out of focus, where there is a `defocus_px`; what is None is 0, stretch and opacity are 1.
    defocus_px: Tensor | None = None  # (B,) radius of the circle of confusion; None is in focus
    view_blur_px: Tensor | None = None  # (B,) standard deviation, of the view through the drops
    stretch: Tensor | None = None  # (B, N) height over width
    outline: Tensor | None = None  # (B, N, 2 K) harmonics of log radius: cosine, sine, from k = 2
    opacity: Tensor | None = None  # (B, N) share of the light that takes the way through the drop
    rim: Tensor | None = None  # (B, N) share of the light that is lost at the rim
    highlight: Tensor | None = None  # (B, N) over the brightest light of the view
    angle_rad: Tensor | None = None  # (B, N) of the highlight, from straight down to the right
    film: Tensor | None = None  # (B,) share of the aperture that a film of droplets covers


def add_drops(image: Tensor, params: DropsParams, around: Tensor | None = None) -> Tensor:
    """The image behind drops.

        in focus         I(x) = (1 - m (1 - g)) J(x - m bend u(x)), later drops on earlier ones
        out of focus     I(x) = (1 - a) ((1 - f) J + f k * J)(x)
                                + a g (k * L)(x - bend (x - c)) + h max(k * L)

    Args:
        image: (B, C, H, W) display values.
        params: one row an image.
        around: L, which drops out of focus show, like the image; None: the image itself.

    Returns:
        (B, C, H, W) display values, not clamped.

    Raises:
        ValueError: for a radius or stretch that is not above 0, for light or bend below 0, for an
            opacity, a rim or a film above 1, and for an `around` of another shape.

    Example:
        >>> one = torch.ones(1, 1)
        >>> params = DropsParams(2 * one, 2 * one, 2 * one, 3 * one, 0.5 * one, one > 0)
        >>> add_drops(torch.full((1, 1, 5, 5), 0.8), params)[0, 0, 2]
        tensor([0.8000, 0.4000, 0.4000, 0.4000, 0.8000])
    """
    check_image(image)
    if len(params.x_px) != len(image):
        raise ValueError(f"{len(image)} images need as many rows, got {len(params.x_px)}")
    check_values("radius_px", params.radius_px, "px", above=True)
    check_values("bend", params.bend, "radii")
    check_values("light", params.light, "share that passes")
    if around is not None and around.shape != image.shape:
        raise ValueError(f"around must be {tuple(image.shape)}, got {tuple(around.shape)}")
    if params.defocus_px is None:
        return _in_focus(image, params)
    _check_defocused(params)
    return _out_of_focus(image, params, params.defocus_px, around)


def _check_defocused(params: DropsParams) -> None:
    for name, unit, low, high in (
        ("defocus_px", "px", 0, math.inf),
        ("view_blur_px", "px", 0, math.inf),
        ("outline", "of the logarithm of the radius", -1, 1),
        ("opacity", "share of the light", 0, 1),
        ("rim", "share of the light", 0, 1),
        ("film", "share of the light", 0, 1),
        ("highlight", "brightest light of the view", 0, math.inf),
    ):
        values = getattr(params, name)
        if values is not None:
            check_values(name, values, unit, low, high)
    if params.stretch is not None:
        check_values("stretch", params.stretch, "height over width", above=True)


def _sampled(picture: Tensor, x: Tensor, y: Tensor, size: tuple[int, int]) -> Tensor:
    """The picture (B, C, h, w) at the places x, y (B, H, W) of pixels of a picture (H, W)."""
    height, width = size
    source = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    source = source.expand(len(picture), height, width, 2)
    return functional.grid_sample(picture, source, padding_mode="reflection", align_corners=False)


def _places(image: Tensor) -> tuple[Tensor, Tensor]:
    height, width = image.shape[-2:]
    y = torch.arange(height, device=image.device, dtype=image.dtype).view(1, -1, 1)
    x = torch.arange(width, device=image.device, dtype=image.dtype).view(1, 1, -1)
    return x, y


def _in_focus(image: Tensor, params: DropsParams) -> Tensor:
    x, y = _places(image)
    shift_x = shift_y = torch.zeros((), device=image.device, dtype=image.dtype)
    light = torch.ones((), device=image.device, dtype=image.dtype)
    for drop in range(params.x_px.shape[1]):
        cx, cy, radius, bend, passed, present = (
            field[:, drop].to(image).view(-1, 1, 1)
            for field in (
                params.x_px, params.y_px, params.radius_px,
                params.bend, params.light, params.present,
            )
        )  # fmt: skip
        square = ((x - cx).square() + (y - cy).square()) / radius.square()
        rim = ((1 - square) / _RIM).clamp(0, 1)
        mask = present * rim.square() * (3 - 2 * rim)
        slope = mask * bend * (1 - square)
        shift_x = (1 - mask) * shift_x - slope * (x - cx)
        shift_y = (1 - mask) * shift_y - slope * (y - cy)
        light = light * (1 - mask * (1 - passed))
    bent = _sampled(image, x + shift_x, y + shift_y, (image.shape[-2], image.shape[-1]))
    return bent * light.unsqueeze(-3) if light.ndim == 3 else bent


def _outlines(params: DropsParams, image: Tensor) -> Outlines:
    """The drops that are present, one row each."""
    params = map_tensors(params, lambda t: t.to(image) if t.is_floating_point() else t)
    row, column = params.present.to(image.device).nonzero(as_tuple=True)

    def chosen(values: Tensor | None, otherwise: float = 0.0) -> Tensor:
        if values is None:
            return image.new_full((len(row),), otherwise)
        return values[row] if values.ndim == 1 else values[row, column]

    return Outlines(
        image=row,
        x_px=chosen(params.x_px),
        y_px=chosen(params.y_px),
        radius_px=chosen(params.radius_px),
        defocus_px=chosen(params.defocus_px),
        stretch=chosen(params.stretch, 1.0),
        harmonics=chosen(params.outline)
        if params.outline is not None
        else image.new_zeros(len(row), 0),
        opacity=chosen(params.opacity, 1.0),
        bend=chosen(params.bend),
        light=chosen(params.light),
        rim=chosen(params.rim),
        highlight=chosen(params.highlight),
        angle_rad=chosen(params.angle_rad),
    )


def _blurred_view(light: Tensor, sigma_px: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, H / 4, W / 4), Gaussian; the border is not looked beyond."""
    size = (-(-light.shape[-2] // _VIEW_PX), -(-light.shape[-1] // _VIEW_PX))
    small = functional.interpolate(light, size, mode="area")
    sigma = (sigma_px / _VIEW_PX).clamp_min(_SMALLEST_SIGMA).view(-1, 1, 1)

    def smoothing(side: int) -> Tensor:  # (B, side, side), every row of sum one
        place = torch.arange(side, device=light.device, dtype=light.dtype)
        weights = torch.exp(-((place - place[:, None]) / sigma).square() / 2)
        return weights / weights.sum(2, keepdim=True)

    down, across = smoothing(size[0]).unsqueeze(1), smoothing(size[1]).unsqueeze(1)
    return down @ small @ across.mT


def _out_of_focus(
    image: Tensor, params: DropsParams, defocus_px: Tensor, around: Tensor | None
) -> Tensor:
    batch, _, height, width = image.shape
    layer = drop_layer(_outlines(params, image), batch, height, width)
    blur_px = params.view_blur_px
    blur_px = torch.zeros_like(defocus_px) if blur_px is None else blur_px
    light = to_linear(image)
    blurred = _blurred_view(light, blur_px.to(image))
    view = blurred if around is None else _blurred_view(to_linear(around), blur_px.to(image))
    x, y = _places(image)
    to_right, down = layer.shift_px.unbind(1)
    seen = layer.light * _sampled(view, x + to_right, y + down, (height, width))
    if params.film is not None:
        unbent = functional.interpolate(blurred, (height, width), mode="bilinear")
        light = light + per_image(params.film, image) * (unbent - light)
    seen = light + layer.alpha * (seen - light)
    return to_display(seen + layer.glow * view.amax((2, 3), keepdim=True))


@dataclass(frozen=True)
class Drops:
    """Prior over wet windows: up to `count` drops anywhere, small ones more often.

    Example:
        >>> drops = Drops(count=(2, 2)).sample((1, 3, 40, 40), torch.Generator().manual_seed(0))
        >>> drops.present
        tensor([[True, True]])
    """

    count: tuple[int, int] = (1, 8)
    radius_px: Range = (4.0, 30.0)
    bend: Range = (2.0, 5.0)
    light: Range = (0.6, 1.1)
    # Out of focus; of drops in focus, whose `defocus_radii` are 0, nothing more is drawn.
    defocus_radii: Range = (0.0, 0.0)  # circle of confusion over the median drop of the picture
    coverage: Range = (0.0, 1.0)  # share of the picture
    size_spread: Range = (0.0, 0.8)  # of the logarithm of the radius within a picture
    droplets: Range = (0.0, 0.6)  # share of small ones
    touching: Range = (0.0, 0.5)  # share of those that touch another
    stretch: Range = (0.9, 1.6)  # height over width
    irregularity: Range = (0.0, 0.08)  # of the logarithm of the radius about the outline
    opacity: Range = (0.6, 1.0)
    rim: Range = (0.0, 0.7)
    highlight: Range = (0.0, 0.8)
    film: Range = (0.0, 0.3)  # share of the aperture under droplets too small to be seen

    apply = staticmethod(add_drops)

    def __post_init__(self) -> None:
        check_values("count", self.count, "drops")
        check_values("radius_px", self.radius_px, "px", above=True)
        check_values("bend", self.bend, "radii")
        check_values("light", self.light, "share that passes")
        check_values("defocus_radii", self.defocus_radii, "radii of the median drop")
        check_values("size_spread", self.size_spread, "of the logarithm of the radius")
        check_values("stretch", self.stretch, "height over width", above=True)
        check_values("irregularity", self.irregularity, "of the logarithm of the radius", 0, 0.3)
        check_values("highlight", self.highlight, "brightest light of the view")
        for name in ("coverage", "droplets", "touching", "opacity", "rim", "film"):
            check_values(name, getattr(self, name), "share", 0, 1)

    def sample(self, shape: Shape, generator: torch.Generator) -> DropsParams:
        if any(self.defocus_radii):
            return self._defocused(shape, generator)
        batch, _, height, width = shape
        low, high = self.count
        size = (batch, high)
        number = torch.randint(low, high + 1, (batch, 1), generator=generator)
        return DropsParams(
            x_px=uniform((0, width - 1), size, generator),
            y_px=uniform((0, height - 1), size, generator),
            radius_px=uniform(self.radius_px, size, generator, log=True),
            bend=uniform(self.bend, size, generator),
            light=uniform(self.light, size, generator),
            present=torch.arange(high) < number,
        )

    def _defocused(self, shape: Shape, generator: torch.Generator) -> DropsParams:
        batch, _, height, width = shape
        one, each = (batch, 1), (batch, self.count[1])

        def chance(share: Range) -> Tensor:
            return torch.rand(each, generator=generator) < uniform(share, one, generator)

        def about(limits: Range) -> Tensor:
            """Drops of a picture are alike: half of the range's width apart at most."""
            middle, apart = uniform(limits, one, generator), torch.rand(each, generator=generator)
            return (middle + (apart - 0.5) * (limits[1] - limits[0]) / 2).clamp(*limits)

        median = uniform(self.radius_px, one, generator, log=True)
        spread = uniform(self.size_spread, one, generator) * torch.randn(each, generator=generator)
        radius = (median * spread.exp()).clamp(*self.radius_px)
        radius = torch.where(chance(self.droplets), _DROPLET * radius, radius)
        defocus = median * uniform(self.defocus_radii, one, generator, log=True)
        area = math.pi * torch.maximum(radius, defocus).square() / (height * width)
        number = torch.randint(self.count[0], self.count[1] + 1, one, generator=generator)
        index = torch.arange(self.count[1])
        within = area.cumsum(1) <= uniform(self.coverage, one, generator)
        x, y = (uniform((-0.5, side - 0.5), each, generator) for side in (width, height))
        near = 0.9 * (radius + radius.roll(1, dims=1))
        turn = uniform((0, 2 * math.pi), each, generator)
        touches = chance(self.touching) & (index % 2 > 0)
        x = torch.where(touches, x.roll(1, dims=1) + near * turn.cos(), x)
        y = torch.where(touches, y.roll(1, dims=1) + near * turn.sin(), y)
        bend = uniform(self.bend, one, generator, log=True)
        bends = bend * uniform((0.7, 1.4), each, generator, log=True)
        widest = (
            _VIEW * min(height, width) / radius
        )  # beyond, the picture is mirrored over and over
        bends = bends.minimum(widest).clamp(*self.bend)
        order = torch.arange(FIRST_HARMONIC, FIRST_HARMONIC + _HARMONICS).repeat_interleave(2)
        harmonics = torch.randn((*each, 2 * _HARMONICS), generator=generator).clamp(-2, 2)
        harmonics = harmonics * uniform(self.irregularity, one, generator).unsqueeze(2)
        down = torch.randn(one, generator=generator) * _TURN_RAD
        return DropsParams(
            x_px=x,
            y_px=y,
            radius_px=radius,
            bend=bends,
            light=about(self.light),
            present=(index < self.count[0]) | (index < number) & within,
            defocus_px=defocus.squeeze(1),
            view_blur_px=(defocus * bend).squeeze(1) / 2,
            stretch=about(self.stretch),
            outline=harmonics * (FIRST_HARMONIC / order),
            opacity=about(self.opacity),
            rim=about(self.rim),
            highlight=about(self.highlight) * torch.rand(each, generator=generator),
            angle_rad=down + 0.3 * torch.randn(each, generator=generator),
            film=uniform(self.film, (batch,), generator),
        )


@dataclass(frozen=True)
class DefocusedDrops(Drops):
    """Prior over drops on glass before a lens focused far away, from droplets to wide smears.

    Example:
        >>> prior = DefocusedDrops(count=(2, 2), coverage=(1, 1))
        >>> prior.sample((1, 3, 40, 40), torch.Generator().manual_seed(0)).present
        tensor([[True, True]])
    """

    count: tuple[int, int] = (4, 200)
    radius_px: Range = (4.0, 50.0)
    bend: Range = (3.0, 20.0)
    light: Range = (0.6, 1.8)
    defocus_radii: Range = (0.2, 1.6)
    coverage: Range = (0.1, 0.9)
    film: Range = (0.0, 0.4)
