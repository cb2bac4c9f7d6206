"""Rain streaks, and the veil of the drops too far away to be seen singly.

    I = t (J + R) + (1 - t) A

Display space; R is the layer of `streaks`, drawn in populations (distances from the camera) that
share a mean. Of rain in layers, each covers what is behind it, farthest first, by the share a that
its streaks cover, c their light there, k its colour and o the share of the background they hide:

    J <- J + a (c k m - o J),      R = c a

so that they fade into the light c / o. m is 1 but for what lamps light: it follows the light
around, a smooth luma of J over its largest.

References: Li, Cheong and Tan, "Heavy rain image restoration", CVPR 2019, eq. 1; Garg and Nayar,
"Vision and rain", IJCV 2007 (a drop hides for a part of the exposure what is behind it).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .bands import render_in_bands
from .description import describe_streaks
from .falling import rain_at_frame
from .populations import Populations, draw_streaks, with_farther
from .rain_kinds import RAIN_KINDS, mix_kinds
from .streaks import RainParams, check_quantities, light_layers, remove_streaks
from .types import Range, Shape, check_image, follow, per_image, uniform

NEAR_WIDTH_PX: Range = (2.0, 10.0)
NEAR_LENGTH: Range = (1.5, 6.0)  # of the width
NEAR_COVERAGE: Range = (0.004, 0.15)
NEAR_BRIGHTNESS: Range = (0.06, 0.8)


def add_rain(image: Tensor, params: RainParams) -> Tensor:
    """t (J + R) + (1 - t) A in display space, R the layer of streaks.

    Args:
        image: (B, C, H, W) display values.
        params: one row an image.

    Returns:
        (B, C, H, W) display values, not clamped.

    Raises:
        ValueError: for an image that is none, and for numbers of rain below 0.

    Example:
        >>> prior = Rain(rain_free=1, veil=1, transmission=(0.5, 0.5), airlight=(0.8, 0.8))
        >>> params = prior.sample((1, 3, 1, 2), torch.Generator().manual_seed(0))
        >>> add_rain(torch.zeros(1, 1, 1, 2), params)
        tensor([[[[0.4000, 0.4000]]]])
    """
    check_image(image)
    check_quantities(params)
    return _with_streaks(image, params, None)


def _with_streaks(image: Tensor, params: RainParams, around: Tensor | None) -> Tensor:
    params = follow(params, image)
    rain = light_layers(params, image.shape[-2], image.shape[-1])
    t = per_image(params.transmission, image)
    veil = (1 - t) * per_image(params.airlight, image)
    layers = params.layers
    if layers is None:
        return t * (image + rain) + veil
    if around is None and (layers.lit.requires_grad or layers.lit.any()):
        around = light_around(image)
    for number, light in enumerate(rain.split(1, dim=1)):
        ceiling, opacity, lit = (
            per_image(of_layers[:, number], image)
            for of_layers in (params.ceiling, layers.opacity, layers.lit)
        )
        tint = per_image(layers.tint[:, number, : image.shape[1]], image)
        shown = tint if around is None else tint * (1 - lit + lit * around)
        image = image + light * shown - opacity / ceiling * light * image
    return t * image + veil


def light_around(image: Tensor) -> Tensor:
    """Light smoothed over an eighth of the picture, over its largest.

    Args:
        image: (B, C, H, W) display values.

    Returns:
        (B, 1, H, W), at most 1.

    Example:
        >>> light_around(torch.full((1, 3, 8, 8), 0.5)).unique()
        tensor([1.])
    """
    smooth = F.adaptive_avg_pool2d(image.mean(dim=1, keepdim=True), 8)
    light = F.interpolate(smooth, image.shape[-2:], mode="bilinear", align_corners=False)
    return light / smooth.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-3)


def render_rain(image: Tensor, params: RainParams) -> tuple[Tensor, Tensor]:
    """`add_rain` of one image in bands, and R."""
    around = None
    if params.layers is not None and params.layers.lit.any():
        around = light_around(image)

    def render_band(rows: slice, streaks: RainParams) -> Tensor:
        lit = None if around is None else around[:, :, rows]
        return _with_streaks(image[:, :, rows], streaks, lit)

    return render_in_bands(image, params, render_band)


def rain_veil(params: RainParams, image: Tensor) -> tuple[Tensor, Tensor]:
    """t (B, 1, 1, 1) and (1 - t) A (B, 1, 1, 1), exact."""
    t = per_image(params.transmission, image)
    return t, (1 - t) * per_image(params.airlight, image)


@dataclass(frozen=True)
class Rain:
    """Empirical prior over rain, in pixels and display values.

    Each image draws a wind angle and `populations` populations; each population draws its means
    log-uniformly from the ranges, and each streak scatters about them (log-normal, with the
    `_spread`s as standard deviations). `coverage` is the sum of length x width of all streaks of
    a population over the area: 1 means that streaks overlap about once everywhere. A share `near`
    of the populations is of few drops close to the camera, wide and short (NEAR_...); `far` is the
    coverage of the drops `populations.farther` away, over that of the others. With `kinds`, each
    population of a `kind_share` of the images is of one of them instead, with sizes and light as
    they have them, and a layer of its own.

    Example:
        >>> image = torch.full((1, 3, 40, 40), 0.2)
        >>> rainy = degrade(image, Rain(rain_free=0), torch.Generator().manual_seed(0))
        >>> bool((rainy >= image).all() and (rainy > image).any())
        True
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
    far: Range = (0.0, 0.0)
    rain_free: float = 0.06  # share of images without rain
    veil: float = 0.0  # share of images with a veil
    transmission: Range = (0.6, 1.0)
    airlight: Range = (0.5, 0.95)
    kinds: tuple[str, ...] = ()  # of `rain_kinds`, which the populations are of
    kind_share: float = 1.0  # share of images with them; the others are as without
    kind_size: Range = (1.0, 1.0)  # of their streaks, over that of `rain_kinds`

    apply = staticmethod(add_rain)
    render = staticmethod(render_rain)
    at_frame = staticmethod(rain_at_frame)
    without_streaks = staticmethod(remove_streaks)
    affine_veil = staticmethod(rain_veil)
    describe = staticmethod(describe_streaks)

    def __post_init__(self) -> None:
        check_quantities(self)
        for kind in self.kinds:
            if kind not in RAIN_KINDS:
                raise ValueError(f"kinds: {kind!r} is unknown; use {', '.join(RAIN_KINDS)}")

    def sample(self, shape: Shape, generator: torch.Generator) -> RainParams:
        near = self.populate(shape[0], generator)
        streaks = draw_streaks(near, shape, generator)
        if not self.far[1]:
            return streaks
        share = uniform(self.far, (shape[0],), generator)
        return with_farther(streaks, near, share, shape, generator)

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
        count = torch.randint(least, most + 1, (batch, 1), generator=generator)
        rainy = torch.rand(batch, 1, generator=generator) >= self.rain_free
        veiled = torch.rand(batch, generator=generator) < self.veil
        transmission = uniform(self.transmission, (batch,), generator)
        populations = Populations(
            angle, angle_spread, length, spreads[0], wide, spreads[1], brightness, spreads[2],
            coverage=coverage * (torch.arange(most) < count) * rainy,
            taper=taper,
            depth_share=draw(self.depth_share),
            ripple=draw(self.ripple),
            ripple_px=draw(self.ripple_px, log=True),
            ceiling=uniform(self.ceiling, (batch,), generator, log=True),
            transmission=torch.where(veiled, transmission, torch.ones(batch)),
            airlight=uniform(self.airlight, (batch,), generator),
        )  # fmt: skip
        if not self.kinds:
            return populations
        return mix_kinds(
            populations, self.kinds, generator, share=self.kind_share, size=self.kind_size
        )
