"""Kinds of rain as cameras see them, and populations of streaks that mix them.

    width w, length = aspect * w, light c, S = hardness * c at the core,   R = c (1 - exp(-S / c))

Display space, pixels. A drop near the camera is a disc of confusion, smeared along its way: it has
a flat top, hard edges and abrupt ends, and all of a layer are about equally bright. That is what a
layer of its own ceiling c makes of streaks `hardness` times as bright. Of a share of the layers
they blend: o = c / L hides the background, so that they fade into a light L (`rain.add_rain`).
Drops from one place of a roof follow each other along one path. All of an image refract the light
of the same sky, or lamp, so that they have nearly one colour, often bluer than the ground.

The ranges span the widths, lengths and lights that were measured in clips of fixed cameras
(benchmarks/EXPERIMENTS.md).

References: Garg and Nayar, "Vision and rain", IJCV 2007 (defocus, exposure), and "Photorealistic
rendering of rain streaks", SIGGRAPH 2006 (oscillation); Halder et al., "Physics-based rendering for
improving robustness to rain", ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .populations import Apart, Populations
from .types import Range, uniform

BLENDED = 0.6  # share of the layers that hide what is behind them
BLENDED_LIGHT: Range = (0.5, 1.1)  # L
SKY_SPREAD = 0.15  # of the colours of the light around, about grey
TINT_SPREAD = 0.04  # of those of a layer about it
TINTS: Range = (0.6, 1.5)  # beyond which no colour goes
LIT = 0.1  # share of images whose rain lamps light
GUSTS = 0.3  # share of layers whose density varies over the picture
SMOOTH_PROFILE = 0.25  # share of layers without flat tops, S = c at most
WOBBLING = 0.2  # share of layers


@dataclass(frozen=True)
class Kind:
    """Ranges of a population, drawn log-uniformly once an image.

    Example:
        >>> RAIN_KINDS["dashes"].aspect
        (2.0, 8.0)
    """

    width_px: Range
    aspect: Range  # length over width
    light: Range  # c, display units
    coverage: Range  # sum of length x width over the area
    hardness: Range = (1.5, 12.0)  # S at the core over c
    size_spread: Range = (0.1, 0.6)  # of the logarithm of the width
    light_spread: Range = (0.05, 0.5)  # of the logarithm of S
    angle_spread_rad: Range = (0.005, 0.06)
    ripple: Range = (0.0, 0.5)
    taper: Range = (0.05, 0.6)
    along: tuple[int, int] = (1, 1)  # drops that follow each other on one path
    lit: float = LIT


RAIN_KINDS: Mapping[str, Kind] = {
    "streaks": Kind(  # in focus, long exposure
        width_px=(0.8, 3.5), aspect=(5.0, 25.0), light=(0.03, 0.6), coverage=(0.01, 0.5),
        taper=(0.1, 1.0),
    ),
    "bokeh": Kind(  # out of focus: discs of confusion along their way
        width_px=(3.0, 20.0), aspect=(2.0, 10.0), light=(0.03, 0.3), coverage=(0.01, 0.3),
        along=(1, 4),
    ),
    "dashes": Kind(  # short exposure
        width_px=(1.0, 5.0), aspect=(2.0, 8.0), light=(0.04, 0.7), coverage=(0.005, 0.2),
    ),
    "drips": Kind(  # from a roof: bright threads, and dashes on one path
        width_px=(1.5, 14.0), aspect=(1.5, 30.0), light=(0.08, 0.9), coverage=(0.005, 0.1),
        angle_spread_rad=(0.002, 0.03), along=(1, 6),
    ),
    "dots": Kind(  # hardly smeared: a very short exposure, splashes
        width_px=(1.5, 8.0), aspect=(1.0, 3.0), light=(0.04, 0.4), coverage=(0.005, 0.15),
        angle_spread_rad=(0.02, 0.4),
    ),
    "far": Kind(  # many faint ones
        width_px=(0.6, 2.5), aspect=(4.0, 14.0), light=(0.01, 0.1), coverage=(0.1, 1.5),
        hardness=(0.5, 3.0), light_spread=(0.2, 0.9),
    ),
    "night": Kind(  # glints where lamps light the drops
        width_px=(0.8, 5.0), aspect=(2.0, 20.0), light=(0.1, 0.9), coverage=(0.005, 0.2), lit=1.0,
    ),
}  # fmt: skip


def mix_kinds(
    populations: Populations,
    kinds: tuple[str, ...],
    generator: torch.Generator,
    *,
    share: float = 1.0,
    size: Range = (1.0, 1.0),
) -> Populations:
    """The same wind, number of populations and veil, each population of one of these kinds.

    Args:
        populations: of B images.
        kinds: names in `RAIN_KINDS`.
        generator: a CPU stream.
        share: of the images; those of the others stay as they are, in one layer.
        size: of the streaks, over that of their kind.

    Returns:
        Populations with layers.

    Example:
        >>> stream = torch.Generator().manual_seed(0)
        >>> mixed = mix_kinds(Rain().populate(2, stream), ("bokeh",), stream)
        >>> bool((mixed.width_px >= 3).all() and (mixed.width_px <= 20).all())
        True
    """
    p = populations
    batch, most = each = p.coverage.shape
    kind = torch.randint(len(kinds), each, generator=generator)

    def ranges(name: str) -> tuple[Tensor, Tensor]:
        table = torch.tensor([getattr(RAIN_KINDS[one], name) for one in kinds], dtype=torch.float32)
        low, high = table[kind].unbind(-1)
        return low, high

    def draw(name: str, *, log: bool = True) -> Tensor:
        low, high = ranges(name)
        where = torch.rand(each, generator=generator)
        if log:
            return (low.log() + where * (high.log() - low.log())).exp()
        return low + where * (high - low)

    def flag(chance: float | Tensor) -> Tensor:
        return torch.rand(each, generator=generator) < chance

    instead = torch.rand(batch, 1, generator=generator) < share
    wide, light = draw("width_px"), draw("light")
    if size != (1.0, 1.0):
        wide = wide * uniform(size, each, generator, log=True)
    hardness = torch.where(flag(SMOOTH_PROFILE), torch.ones(()), draw("hardness"))
    blend = uniform(BLENDED_LIGHT, each, generator)
    opacity = torch.where(flag(BLENDED), (light / blend).clamp(max=1.0), torch.zeros(()))
    low, high = ranges("along")
    along = low + (torch.rand(each, generator=generator) * (high - low + 1)).floor()
    chances = torch.tensor([RAIN_KINDS[one].lit for one in kinds])[kind]
    lit = flag(chances) * torch.rand(each, generator=generator)
    spread = draw("size_spread")
    own = {
        "length_px": wide * draw("aspect"), "width_px": wide,
        "length_spread": spread, "width_spread": spread,
        "angle_spread_rad": draw("angle_spread_rad"),
        "brightness": hardness * light, "brightness_spread": draw("light_spread"),
        "coverage": draw("coverage") * (p.coverage > 0),
        "taper": draw("taper"), "ripple": draw("ripple", log=False),
        "ripple_px": p.ripple_px,
    }  # fmt: skip
    chosen = {name: torch.where(instead, value, getattr(p, name)) for name, value in own.items()}
    tint = 1 + TINT_SPREAD * torch.randn(batch, most, 3, generator=generator)
    sky = 1 + SKY_SPREAD * torch.randn(batch, 1, 3, generator=generator)
    tint = (tint * sky).clamp(*TINTS)
    swing = flag(WOBBLING) * uniform((0.0, 0.25), each, generator)
    gusts = flag(GUSTS) * torch.rand(each, generator=generator)
    none, one = torch.zeros(()), torch.ones(())
    # An image that stays as it is has all its streaks in the first layer, which only adds light.
    apart = Apart(
        layer=torch.where(instead, torch.arange(most), 0),
        ceiling=torch.where(instead, light, p.ceiling[:, None]),
        opacity=torch.where(instead, opacity, none),
        tint=torch.where(instead[..., None], tint, one),
        lit=torch.where(instead, lit, none),
        wobble=torch.where(instead, swing, none),
        gusts=torch.where(instead, gusts, none),
        along=torch.where(instead, along, one).long(),
    )
    return replace(p, **chosen, apart=apart)
