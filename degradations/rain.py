"""Rain streaks, rendered one by one, and the veil of the drops too far away to be seen singly.

    I = t (J + R) + (1 - t) A,      R = c (1 - exp(-S / c)),      S = sum of streaks

Display space: the public synthetic sets add streaks to display values. R is achromatic. Streaks
that overlap hide each other: R approaches the ceiling c, and the plain sum S where c is large.
Every streak has its own place, angle, length, width and brightness; streaks are drawn in
populations (distances from the camera) that share a mean. Angles are measured from the vertical,
positive where the drop falls to the right. A drop oscillates while it falls, and its streak is
brighter and darker in turn along its way: that is its ripple.

References: Garg and Nayar, "Vision and rain", IJCV 2007 (streaks add light), and "Photorealistic
rendering of rain streaks", SIGGRAPH 2006 (oscillation); Li, Cheong and Tan, "Heavy rain image
restoration", CVPR 2019, eq. 1 (streaks and veil).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .types import Range, Shape, check_image, check_values, per_image, uniform

_FWHM_OF_PROFILE = 2 * math.sqrt(1 - math.sqrt(0.5))  # of (1 - u^2)^2 on [-1, 1]

# Quantities that cannot be negative, with their units; those of _ABOVE cannot be 0 either.
_UNITS = {
    "angle_spread_rad": "rad", "population_spread_rad": "rad", "length_px": "px",
    "length_spread": "of the logarithm", "width_px": "px", "width_spread": "of the logarithm",
    "brightness": "display units", "brightness_spread": "of the logarithm",
    "coverage": "length x width over the area", "ceiling": "display units", "taper": "share",
    "depth_share": "share", "ripple": "share", "ripple_px": "px",
    "populations": "number", "near": "share", "dry": "share",
    "veil": "share", "transmission": "share", "airlight": "display units", "varied": "share",
    "optical_depth": "-ln(transmission)",
}  # fmt: skip
_ABOVE = {"length_px", "width_px", "ceiling", "ripple_px"}

NEAR_WIDTH_PX: Range = (2.0, 10.0)
NEAR_LENGTH: Range = (1.5, 6.0)  # of the width
NEAR_COVERAGE: Range = (0.004, 0.15)
NEAR_BRIGHTNESS: Range = (0.06, 0.8)

_GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it, modulo one, never come close to repeating


@dataclass(frozen=True)
class RainParams:
    """One row an image, one column a streak; absent streaks fill the rows up."""

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
    ceiling: Tensor  # (B,) light of a place that many streaks cross, display units
    transmission: Tensor  # (B,) of the veil; 1 is no veil
    airlight: Tensor  # (B,) light of the veil


def streak_layer(params: RainParams, height: int, width: int) -> Tensor:
    """R (B, 1, H, W), not clamped.

    A streak is brightness * (1 - (d/h)^2)^2 * fade(s) * (1 + ripple cos(2 pi s / ripple_px +
    phase)), d across its axis and h its half-width, s along it from the centre to where the drop
    falls. Each pixel takes the mean of the cross-section over its own width, so that a row (a
    column, for flat streaks) receives the same light wherever the streak falls between the pixels,
    and a streak narrower than a pixel is a dim one. Work is proportional to the pixels that streaks
    touch.
    """
    batch = params.x_px.shape[0]
    drawn = params.present.flatten().nonzero()[:, 0]
    image = drawn // max(1, params.present.shape[1])
    x, y, angle, length, wide, brightness, taper, ripple, ripple_px, phase = (
        field.flatten().index_select(0, drawn)
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
    streak, line, start, kind = _spans(
        major, minor, d_minor / d_major, extent, reach, steep, (height, width)
    )

    def of(field: Tensor) -> Tensor:
        return field.index_select(0, streak)  # several times as fast as field[streak]

    # Across over h and along over the fade are linear in the line and in the pixel of the line.
    to_line, to_pixel = line - of(major), start - of(minor)
    step, shift = of(d_major / support), of(d_minor / fade_px)  # from pixel to pixel
    edge = (to_pixel - 0.5) * step - to_line * of(d_minor / support)
    along = to_pixel * shift + to_line * of(d_major / fade_px)
    ends, gain = of(half_length / fade_px), of(brightness * half_width / d_major)
    waves = 2 * math.pi * forward * fade_px / ripple_px  # radians for each fade
    crests = of(ripple), along * of(waves) + of(phase), shift * of(waves)

    layer = torch.zeros(batch * height * width, dtype=x.dtype, device=x.device)
    layer.scatter_add_(0, image[:0], gain[:0])  # a gradient, zero, where there is no streak either
    kinds, runs = kind.unique_consecutive(return_counts=True)
    fields = (of(image), line, start, edge, step, along, shift, ends, gain, *crests)
    pieces = zip(*(field.split(runs.tolist()) for field in fields), strict=True)
    for code, (owner, number, first, *run) in zip(kinds.tolist(), pieces, strict=True):
        size, upright = divmod(code, 2)
        next_line, next_pixel = (width, 1) if upright else (1, width)
        begin = owner * (height * width) + number * next_line + first * next_pixel
        target = begin + torch.arange(size, device=x.device)[:, None] * next_pixel
        layer.scatter_add_(0, target.flatten(), _light(size, *run).flatten())
    total = layer.view(batch, 1, height, width)
    ceiling = per_image(params.ceiling, total)
    return (total / -ceiling).expm1() * -ceiling


def _light(
    size: int, edge: Tensor, step: Tensor, along: Tensor, shift: Tensor, ends: Tensor, gain: Tensor,
    ripple: Tensor, phase: Tensor, turn: Tensor,
) -> Tensor:  # fmt: skip
    """Light (size, L) of so many neighbouring pixels of each of L lines.

    The integral F(u) = u - 2/3 u^3 + 1/5 u^5 of the cross-section at the `size` + 1 edges between
    the pixels, u from `edge` on in steps of `step`, times the smooth fade of what `ends` has left,
    times the ripple, whose phase turns by `turn` from pixel to pixel.
    """
    number = torch.arange(size + 1, dtype=edge.dtype, device=edge.device)[:, None]
    u = torch.addcmul(edge, number, step).clamp(-1, 1)
    integral = u * (u.square() - 5 / 3).square_().add_(20 / 9)  # 5 F
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
    for name in names:
        if hasattr(owner, name):
            most = 1.0 if name == "ripple" else math.inf
            check_values(name, getattr(owner, name), _UNITS[name], high=most, above=name in _ABOVE)


def add_rain(image: Tensor, params: RainParams) -> Tensor:
    """t (J + R) + (1 - t) A for an image (B, C, H, W) in display space; not clamped.

    ValueError for an image that is none and for numbers of rain below 0.
    """
    check_image(image)
    check_quantities(params)
    rain = streak_layer(params, image.shape[-2], image.shape[-1])
    t = per_image(params.transmission, image)
    return t * (image + rain) + (1 - t) * per_image(params.airlight, image)


def at_frame(
    params: RainParams, frame: int, size: tuple[int, int], *, shutter: float = 0.5
) -> RainParams:
    """The same rain `frame` frames later, in a picture of `size` (H, W).

    A streak is the way of its drop during the exposure, which is `shutter` of the time from frame
    to frame (0.5: a shutter of 180 degrees); so a drop moves on by length / shutter. One that has
    left below comes in above as another, at another place; its oscillation goes on. Frame 0 is as
    drawn.
    """
    if not 0 < shutter <= 1:
        raise ValueError(f"shutter must be above 0 and at most 1, got {shutter}")
    height, width = size
    down, right = params.angle_rad.cos(), params.angle_rad.sin()
    way = frame / shutter * params.length_px

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


def in_rows(image: Tensor, batch: int) -> tuple[Callable[[Tensor], Tensor], Tensor]:
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


@dataclass(frozen=True)
class Populations:
    """One row an image, one column a population: what its streaks scatter about.

    Lengths, widths and brightnesses of streaks are log-normal about their means; a `_spread` is
    the standard deviation of the logarithm, `angle_spread_rad` that of the angle. A share
    `depth_share` of the variance of length and of width is common to both: a drop closer to the
    camera is longer and wider.
    """

    angle_rad: Tensor  # (B, P)
    angle_spread_rad: Tensor  # (B, P)
    length_px: Tensor  # (B, P)
    length_spread: Tensor  # (B, P)
    width_px: Tensor  # (B, P)
    width_spread: Tensor  # (B, P)
    brightness: Tensor  # (B, P) display units
    brightness_spread: Tensor  # (B, P)
    coverage: Tensor  # (B, P) sum of length x width over the area; 0: no such population
    taper: Tensor  # (B, P)
    depth_share: Tensor  # (B, P) from 0 to 1
    ripple: Tensor  # (B, P) from 0 to 1
    ripple_px: Tensor  # (B, P)
    ceiling: Tensor  # (B,)
    transmission: Tensor  # (B,)
    airlight: Tensor  # (B,)


def draw_streaks(populations: Populations, shape: Shape, generator: torch.Generator) -> RainParams:
    """Streaks of these populations, Poisson-many, for images of `shape` (B, C, H, W)."""
    batch, _, height, width = shape
    p = populations
    most = p.coverage.shape[1]
    # Streaks whose centre lies outside reach in: draw them over a wider frame.
    reach = p.length_px * (2 * p.length_spread).exp() / 2
    right = reach * (p.angle_rad.sin().abs() + 2 * p.angle_spread_rad).clamp(max=1)
    down = reach * (p.angle_rad.cos().abs() + 2 * p.angle_spread_rad).clamp(max=1)
    right, down = right + 2 * p.width_px, down + 2 * p.width_px
    area = (height + 2 * down) * (width + 2 * right)
    together = p.depth_share * p.length_spread * p.width_spread  # covariance of the logarithms
    streak_area = p.length_px * p.width_px * together.exp()
    count = torch.poisson(p.coverage * area / streak_area, generator=generator)
    owner = torch.repeat_interleave(count.long().flatten())  # population of each streak, flat

    def of(population: Tensor) -> Tensor:
        return population.flatten()[owner]

    def normal() -> Tensor:
        return torch.randn(len(owner), generator=generator)

    def scattered(mean: Tensor, spread: Tensor, unit: Tensor) -> Tensor:
        return of(mean) * (of(spread) * unit - of(spread).square() / 2).exp()

    def spread_over(side: int, margin: Tensor) -> Tensor:
        return torch.rand(len(owner), generator=generator) * of(side + 2 * margin) - of(margin)

    depth = of(p.depth_share).sqrt() * normal()
    own = (1 - of(p.depth_share)).sqrt()
    length = scattered(p.length_px, p.length_spread, depth + own * normal()).clamp_min(1)
    wide = scattered(p.width_px, p.width_spread, depth + own * normal())
    angle = of(p.angle_rad) + of(p.angle_spread_rad) * normal()
    rows, present = in_rows(owner // most, batch)
    return RainParams(
        x_px=rows(spread_over(width, right)),
        y_px=rows(spread_over(height, down)),
        angle_rad=rows(angle),
        length_px=rows(length),
        width_px=rows(wide),
        brightness=rows(scattered(p.brightness, p.brightness_spread, normal())),
        taper=rows(of(p.taper)),
        ripple=rows(of(p.ripple)),
        ripple_px=rows(of(p.ripple_px)),
        phase_rad=rows(2 * math.pi * torch.rand(len(owner), generator=generator)),
        present=present,
        ceiling=p.ceiling,
        transmission=p.transmission,
        airlight=p.airlight,
    )


@dataclass(frozen=True)
class Rain:
    """Empirical prior over rain, in pixels and display values.

    Each image draws a wind angle and `populations` populations; each population draws its means
    log-uniformly from the ranges, and each streak scatters about them (log-normal, with the
    `_spread`s as standard deviations). `coverage` is the sum of length x width of all streaks of
    a population over the area: 1 means that streaks overlap about once everywhere. A share `near`
    of the populations is of few drops close to the camera, wide and short (NEAR_...).
    """

    angle_rad: Range = (-0.7, 0.7)
    angle_spread_rad: Range = (0.005, 0.08)  # of streaks about their population
    population_spread_rad: Range = (0.01, 0.3)  # of populations about the wind
    length_px: Range = (8.0, 120.0)
    length_spread: Range = (0.05, 0.6)
    width_px: Range = (0.6, 7.0)
    width_spread: Range = (0.05, 0.5)
    brightness: Range = (0.04, 0.8)
    brightness_spread: Range = (0.1, 0.8)
    coverage: Range = (0.01, 1.5)
    ceiling: Range = (0.3, 10.0)
    taper: Range = (0.1, 1.0)
    depth_share: Range = (0.0, 1.0)
    ripple: Range = (0.0, 0.9)
    ripple_px: Range = (6.0, 60.0)
    populations: tuple[int, int] = (1, 3)
    near: float = 0.0
    dry: float = 0.06  # share of images without rain
    veil: float = 0.0  # share of images with a veil
    transmission: Range = (0.6, 1.0)
    airlight: Range = (0.5, 0.95)

    apply = staticmethod(add_rain)

    def __post_init__(self) -> None:
        check_quantities(self)

    def sample(self, shape: Shape, generator: torch.Generator) -> RainParams:
        return draw_streaks(self.populate(shape[0], generator), shape, generator)

    def populate(self, batch: int, generator: torch.Generator) -> Populations:
        """The means and spreads of `batch` images, before any streak is drawn."""
        least, most = self.populations
        size = (batch, most)

        def draw(limits: Range, *, log: bool = False) -> Tensor:
            return uniform(limits, size, generator, log=log)

        wind = uniform(self.angle_rad, (batch, 1), generator)
        scatter = uniform(self.population_spread_rad, (batch, 1), generator, log=True)
        angle = wind + scatter * torch.randn(size, generator=generator)
        length, wide = draw(self.length_px, log=True), draw(self.width_px, log=True)
        brightness, coverage = draw(self.brightness, log=True), draw(self.coverage, log=True)
        if self.near:
            near = torch.rand(size, generator=generator) < self.near
            near_wide = draw(NEAR_WIDTH_PX, log=True)
            wide = torch.where(near, near_wide, wide)
            length = torch.where(near, near_wide * draw(NEAR_LENGTH, log=True), length)
            coverage = torch.where(near, draw(NEAR_COVERAGE, log=True), coverage)
            brightness = torch.where(near, draw(NEAR_BRIGHTNESS, log=True), brightness)
        taper, angle_spread = draw(self.taper), draw(self.angle_spread_rad, log=True)
        spreads = [draw(s) for s in (self.length_spread, self.width_spread, self.brightness_spread)]
        kept = torch.randint(least, most + 1, (batch, 1), generator=generator)
        wet = torch.rand(batch, 1, generator=generator) >= self.dry
        veiled = torch.rand(batch, generator=generator) < self.veil
        transmission = uniform(self.transmission, (batch,), generator)
        return Populations(
            angle, angle_spread, length, spreads[0], wide, spreads[1], brightness, spreads[2],
            coverage=coverage * (torch.arange(most) < kept) * wet,
            taper=taper,
            depth_share=draw(self.depth_share),
            ripple=draw(self.ripple),
            ripple_px=draw(self.ripple_px, log=True),
            ceiling=uniform(self.ceiling, (batch,), generator, log=True),
            transmission=torch.where(veiled, transmission, torch.ones(batch)),
            airlight=uniform(self.airlight, (batch,), generator),
        )  # fmt: skip
