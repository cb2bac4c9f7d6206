"""Rain streaks, rendered one by one: the renderer of every prior over rain.

    R = c (1 - exp(-S / c)),      S = sum of streaks

Display space: the public synthetic sets add streaks to display values. R is achromatic. Streaks
that overlap hide each other: R approaches the ceiling c, and the plain sum S where c is large.
Every streak has its own place, angle, length, width and brightness. Angles are measured from the
vertical, positive where the drop falls to the right. A drop oscillates while it falls, and its
streak is brighter and darker in turn along its way: that is its ripple.

References: Garg and Nayar, "Vision and rain", IJCV 2007 (streaks add light), and "Photorealistic
rendering of rain streaks", SIGGRAPH 2006 (oscillation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .types import check_values

_FWHM_OF_PROFILE = 2 * math.sqrt(1 - math.sqrt(0.5))  # of (1 - u^2)^2 on [-1, 1]

# Quantities that cannot be negative, with their units; those of _ABOVE cannot be 0 either.
_UNITS = {
    "angle_spread_rad": "rad", "population_spread_rad": "rad", "length_px": "px",
    "length_spread": "of the logarithm", "width_px": "px", "width_spread": "of the logarithm",
    "brightness": "display units", "brightness_spread": "of the logarithm",
    "coverage": "length x width over the area", "ceiling": "display units", "taper": "share",
    "depth_share": "share", "ripple": "share", "ripple_px": "px",
    "populations": "number", "near": "share", "far": "share", "rain_free": "share",
    "veil": "share", "transmission": "share", "airlight": "display units", "varied": "share",
    "optical_depth": "-ln(transmission)", "wobble_px": "px", "kind_share": "share",
    "kind_size": "factor",
}  # fmt: skip
_ABOVE = {"length_px", "width_px", "ceiling", "ripple_px", "kind_size"}


@dataclass(frozen=True)
class StreakLayers:
    """Layers of streaks: one row an image, one column a layer, farthest first.

    The streaks of a layer hide each other and what is behind the layer, which `rain.add_rain`
    composites: a layer of opacity 0 only adds its light.

    Example:
        >>> rain = Rain(kinds=("dashes",), rain_free=0)
        >>> layers = rain.sample((2, 3, 8, 8), torch.Generator().manual_seed(0)).layers
        >>> layers.opacity.shape, layers.tint.shape
        (torch.Size([2, 3]), torch.Size([2, 3, 3]))
    """

    of_streak: Tensor  # (B, N) int64, the column of the streak's layer
    opacity: Tensor  # (B, L) share of what is behind that streaks hide where they cover all
    tint: Tensor  # (B, L, 3) light of the colours over that of all
    lit: Tensor  # (B, L) share of the light that follows the light around, as of lamps


@dataclass(frozen=True)
class RainParams:
    """Parameters of rain: one row an image, one column a streak; absent streaks fill the rows up.

    Example:
        >>> rain = Rain(rain_free=1).sample((2, 3, 8, 8), torch.Generator().manual_seed(0))
        >>> rain.present
        tensor([[False],
                [False]])
    """

    x_px: Tensor  # (B, N) centre of the streak
    y_px: Tensor  # (B, N)
    angle_rad: Tensor  # (B, N) from the vertical, positive: falls to the right
    length_px: Tensor  # (B, N) end to end
    width_px: Tensor  # (B, N) full width at half brightness
    brightness: Tensor  # (B, N) light added at the core, display units
    taper: Tensor  # (B, N) in (0, 1]: share of each half over which the end fades
    ripple: Tensor  # (B, N) from 0 to 1: amplitude of the brightness along it, over its mean
    ripple_px: Tensor  # (B, N) from crest to crest
    phase_rad: Tensor  # (B, N) of the ripple at the centre
    present: Tensor  # (B, N) bool
    ceiling: Tensor  # (B,) or (B, L) light of a place that many streaks cross, display units
    transmission: Tensor  # (B,) of the veil; 1 is no veil
    airlight: Tensor  # (B,) light of the veil
    wobble_px: Tensor | None = None  # (B, N) amplitude to the side, as often as the ripple
    layers: StreakLayers | None = None  # None: all are in one


OF_STREAKS = (
    "x_px", "y_px", "angle_rad", "length_px", "width_px", "brightness", "taper", "ripple",
    "ripple_px", "phase_rad", "present", "wobble_px",
)  # fmt: skip


def streak_layer(params: RainParams, height: int, width: int) -> Tensor:
    """R = c (1 - exp(-S / c)), S the sum of streaks.

    A streak is brightness * (1 - (d/h)^2)^2 * fade(s) * (1 + ripple cos(2 pi s / ripple_px +
    phase)), d across its axis and h its half-width, s along it from the centre to where the drop
    falls. Each pixel takes the mean of the cross-section over its own width, so that a row (a
    column, for flat streaks) receives the same light wherever the streak falls between the pixels,
    and a streak narrower than a pixel is a dim one. Work is proportional to the pixels that streaks
    touch.

    Where there are layers, each has its R and ceiling, and this is their sum; their streaks end
    in half a disc, as wide as they are. A wobbling streak swings to the side by
    wobble_px sin(2 pi s / ripple_px + phase).

    Args:
        params: of B images.
        height: of the pictures, px.
        width: of the pictures, px.

    Returns:
        R (B, 1, H, W) in display units, not clamped, on the device of the parameters.

    Example:
        >>> one, zero = torch.ones(1, 1), torch.zeros(1, 1)
        >>> streak = RainParams(
        ...     x_px=one, y_px=2 * one, angle_rad=zero, length_px=4 * one, width_px=one,
        ...     brightness=one, taper=one, ripple=zero, ripple_px=one, phase_rad=zero,
        ...     present=one > 0, ceiling=torch.tensor([1e6]),
        ...     transmission=torch.ones(1), airlight=torch.ones(1),
        ... )
        >>> streak_layer(streak, 5, 3)
        tensor([[[[0.0000, 0.0000, 0.0000],
                  [0.0409, 0.4109, 0.0409],
                  [0.0818, 0.8219, 0.0818],
                  [0.0409, 0.4109, 0.0409],
                  [0.0000, 0.0000, 0.0000]]]])
    """
    return light_layers(params, height, width).sum(dim=1, keepdim=True)


def light_layers(params: RainParams, height: int, width: int) -> Tensor:
    """R of each layer of streaks; of one layer where there are none.

    Args:
        params: of B images.
        height: of the pictures, px.
        width: of the pictures, px.

    Returns:
        R (B, L, H, W) in display units, not clamped.

    Example:
        >>> rain = Rain(kinds=("dots",), populations=(2, 2), rain_free=0)
        >>> params = rain.sample((1, 3, 8, 9), torch.Generator().manual_seed(0))
        >>> light_layers(params, 8, 9).shape
        torch.Size([1, 2, 8, 9])
    """
    ceiling = params.ceiling.flatten(1) if params.ceiling.ndim > 1 else params.ceiling[:, None]
    total = _summed(params, height, width, ceiling.shape[1])
    if len(ceiling) not in {1, len(total)}:
        raise ValueError(f"{len(total)} images need as many parameters, got {len(ceiling)}")
    ceiling = ceiling[..., None, None].to(total)
    return (total / -ceiling).expm1() * -ceiling


def _summed(params: RainParams, height: int, width: int, count: int) -> Tensor:
    """S of each of so many layers, (B, L, H, W)."""
    batch = params.x_px.shape[0]
    present = params.present.flatten().nonzero()[:, 0]
    image = present // max(1, params.present.shape[1]) * count  # the first layer of the image
    if params.layers is not None:
        image = image + params.layers.of_streak.flatten().index_select(0, present)
    x, y, angle, length, wide, brightness, taper, ripple, ripple_px, phase = (
        field.flatten().index_select(0, present)
        for field in (
            params.x_px, params.y_px, params.angle_rad, params.length_px, params.width_px,
            params.brightness, params.taper, params.ripple, params.ripple_px, params.phase_rad,
        )
    )  # fmt: skip
    half_width, half_length = wide / _FWHM_OF_PROFILE, length / 2
    support, fade_px = half_width.clamp_min(1e-6), (taper * half_length).clamp_min(0.75)
    down, right = angle.cos(), angle.sin()
    # A line is a row for a steep streak and a column for a flat one, which has few pixels of each.
    steep = down.abs() >= right.abs()
    major, minor = torch.where(steep, y, x), torch.where(steep, x, y)
    d_major, d_minor = torch.where(steep, down, right), torch.where(steep, right, down)
    forward = d_major.sign()
    d_major, d_minor = d_major.abs(), d_minor * forward  # the same axis, its lines in order
    extent = half_length * d_major + (half_width + 1) * d_minor.abs()
    reach = half_width / d_major + 0.5
    wobble = None
    if params.wobble_px is not None:
        wobble = params.wobble_px.flatten().index_select(0, present) / d_major
        extent, reach = extent + wobble * d_minor.abs(), reach + wobble
    streak, line, start, kind = _spans(
        major, minor, d_minor / d_major, extent, reach, steep, (height, width)
    )

    def of(field: Tensor) -> Tensor:
        return field.index_select(0, streak)  # several times as fast as field[streak]

    # Across over h and along over the fade are linear in the line and in the pixel of the line.
    to_line, to_pixel = line - of(major), start - of(minor)
    if wobble is not None:
        turns = to_line * of(2 * math.pi * forward / d_major / ripple_px)
        to_pixel = to_pixel - of(wobble) * (turns + of(phase)).sin()
    step, shift = of(d_major / support), of(d_minor / fade_px)  # from pixel to pixel
    edge = (to_pixel - 0.5) * step - to_line * of(d_minor / support)
    along = to_pixel * shift + to_line * of(d_major / fade_px)
    ends, gain = of(half_length / fade_px), of(brightness * half_width / d_major)
    waves = 2 * math.pi * forward * fade_px / ripple_px  # radians for each fade
    crests = of(ripple), along * of(waves) + of(phase), shift * of(waves)

    layer = torch.zeros(batch * count * height * width, dtype=x.dtype, device=x.device)
    layer.scatter_add_(0, image[:0], gain[:0])  # a gradient, zero, where there is no streak either
    kinds, runs = kind.unique_consecutive(return_counts=True)
    fields = [of(image), line, start, edge, step, along, shift, ends, gain, *crests]
    if params.layers is not None:
        fields.append(of(half_width / fade_px))
    pieces = zip(*(field.split(runs.tolist()) for field in fields), strict=True)
    for code, (owner, number, first, *run) in zip(kinds.tolist(), pieces, strict=True):
        size, upright = divmod(code, 2)
        next_line, next_pixel = (width, 1) if upright else (1, width)
        begin = owner * (height * width) + number * next_line + first * next_pixel
        target = begin + torch.arange(size, device=x.device)[:, None] * next_pixel
        layer.scatter_add_(0, target.flatten(), _light(size, *run).flatten())
    return layer.view(batch, count, height, width)


def _light(
    size: int, edge: Tensor, step: Tensor, along: Tensor, shift: Tensor, ends: Tensor, gain: Tensor,
    ripple: Tensor, phase: Tensor, turn: Tensor, bend: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Light (size, L) of so many neighbouring pixels of each of L lines.

    The integral F(u) = u - 2/3 u^3 + 1/5 u^5 of the cross-section at the `size` + 1 edges between
    the pixels, u from `edge` on in steps of `step`, times the smooth fade of what `ends` has left,
    times the ripple, whose phase turns by `turn` from pixel to pixel.
    """
    number = torch.arange(size + 1, dtype=edge.dtype, device=edge.device)[:, None]
    u = torch.addcmul(edge, number, step).clamp(-1, 1)
    integral = u * (u.square() - 5 / 3).square_().add_(20 / 9)  # 5 F
    if bend is not None:  # the end is round: it lies farther back at the edge
        middle = (u[1:] + u[:-1]).square_().mul_(-0.25).add_(1).clamp_min_(0).sqrt_()
        ends = ends - bend * (1 - middle)
    fade = (ends - torch.addcmul(along, number[:-1], shift).abs()).clamp(0, 1)
    crests = torch.addcmul(gain, gain * ripple, torch.addcmul(phase, number[:-1], turn).cos())
    return (integral[1:] - integral[:-1]) * (crests * 0.4) * (fade.square() * (1.5 - fade))


@torch.no_grad()  # which pixels a streak touches: constants for the gradient
def _spans(
    major: Tensor, minor: Tensor, slope: Tensor, extent: Tensor, reach: Tensor, steep: Tensor,
    picture: tuple[int, int],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """All pixels that streaks touch: (streak, line, first pixel, kind) of each line of each streak.

    The kind is 2 * n + steep where n pixels from the first one on hold the streak's, n rounded up
    to 1, 2, 3, 4, 6, 8, 12, 16 ...: lines of one kind, side by side here, fill a rectangle. The
    n pixels lie in the picture; those too many lie beside the streak and get no light.
    """
    height, width = picture
    lines, pixels = torch.where(steep, height, width), torch.where(steep, width, height)
    # Lines on which the streak is in the picture: minor + t slope within reach of its pixels.
    safe = torch.where(slope < 0, slope.clamp_max(-1e-9), slope.clamp_min(1e-9))
    sides = (-1 - reach - minor) / safe, (pixels + reach - minor) / safe
    low = major + torch.maximum(-extent, torch.minimum(*sides))
    high = major + torch.minimum(extent, torch.maximum(*sides))
    first = torch.minimum(low.ceil().clamp_min(0), lines).long()
    count = torch.minimum(high.floor().clamp_min(-1) + 1, lines).long() - first
    n = torch.minimum((2 * reach + 1).floor(), pixels)
    coarse = 2 ** ((n - 1).clamp_min(1).log2().floor() - 1).clamp_min(0)
    n = torch.minimum((n / coarse).ceil() * coarse, pixels).long()
    kind = 2 * n + steep

    order = kind.argsort(stable=True)
    count = count.clamp_min(0)[order]
    streak = order.repeat_interleave(count)
    line = (first[order] - count.cumsum(0) + count).repeat_interleave(count)
    line += torch.arange(len(line), device=line.device)

    def of(field: Tensor) -> Tensor:
        return field.index_select(0, streak)

    start = torch.addcmul(of(minor - reach), line - of(major), of(slope)).ceil().clamp_min(0).long()
    return streak, line, torch.minimum(start, of(pixels - n)), of(kind)


def check_quantities(owner: object, names: Iterable[str] = tuple(_UNITS)) -> None:
    """ValueError for a number of rain below 0, for one of 0 that must be above, a ripple over 1."""
    layers = getattr(owner, "layers", None)
    if layers is not None:
        most = owner.ceiling.shape[1] - 1  # type: ignore[attr-defined]
        check_values("of_streak", layers.of_streak, "number of a layer", high=most)
        check_values("tint", layers.tint, "light over that of all colours")
        for name in ("opacity", "lit"):
            check_values(name, getattr(layers, name), "share", high=1)
    for name in names:
        if getattr(owner, name, None) is not None:
            most = 1.0 if name == "ripple" else math.inf
            check_values(name, getattr(owner, name), _UNITS[name], high=most, above=name in _ABOVE)


def remove_streaks(params: RainParams) -> RainParams:
    """The same rain with no streak present."""
    return replace(params, present=torch.zeros_like(params.present))


def join_streaks(first: RainParams, second: RainParams) -> RainParams:
    """The streaks of both, image by image; ceiling and veil are those of the first.

    Where the first has layers, the second lies in the farthest.

    Args:
        first: of B images.
        second: of the same images.

    Returns:
        Parameters with the columns of both.

    Example:
        >>> rain = Rain(rain_free=0).sample((1, 3, 20, 20), torch.Generator().manual_seed(0))
        >>> join_streaks(rain, rain).x_px.shape[1] == 2 * rain.x_px.shape[1]
        True
    """
    both = {
        name: torch.cat([of_first, getattr(second, name)], dim=1)
        for name in OF_STREAKS
        if (of_first := getattr(first, name)) is not None
    }
    layers = first.layers
    if layers is not None:
        behind = torch.zeros_like(second.present, dtype=torch.int64)
        layers = replace(layers, of_streak=torch.cat([layers.of_streak, behind], dim=1))
    return replace(first, layers=layers, **both)


def choose_streaks(params: RainParams, chosen: Tensor) -> RainParams:
    """The same rain with the streaks of these columns alone."""
    columns = {
        name: values[:, chosen]
        for name in OF_STREAKS
        if (values := getattr(params, name)) is not None
    }
    layers = params.layers
    if layers is not None:
        layers = replace(layers, of_streak=layers.of_streak[:, chosen])
    return replace(params, layers=layers, **columns)


def pack_rows(image: Tensor, batch: int) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Lists of streaks as the rows of RainParams: (a function (S,) -> (B, N), present (B, N)).

    `image` (S,) is the image of each streak, in order; absent streaks are ones.
    """
    count = torch.bincount(image, minlength=batch)
    place = torch.arange(len(image)) - (count.cumsum(0) - count)[image]
    size = (batch, max(1, int(count.max())))

    def rows(values: Tensor) -> Tensor:
        filled = torch.ones(size, dtype=values.dtype)
        filled[image, place] = values
        return filled

    present = torch.zeros(size, dtype=torch.bool)
    present[image, place] = True
    return rows, present
