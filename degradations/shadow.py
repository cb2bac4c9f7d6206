"""Cast shadows: direct light is missing under a soft mask, the light of the sky is left.

    I_c = J_c (1 - m (1 - a g_c)),      m = logistic((field - level) / (softness penumbra))

Linear light; `add_shadow` converts from display values and back. The sky is blue, so that the gain
g of the blue channel is above that of the red. Where there are maps of them, the penumbra is wider
where what throws the shadow is farther from the ground, and the light a g of the umbra varies, as
each place there sees another part of the sky.

Reference: Le and Samaras, "Shadow removal via shadow image decomposition", ICCV 2019, eqs. 3 and 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .color import to_display, to_linear
from .shadow_shapes import SHAPES, noise, shadow_field
from .types import Range, Shape, check_image, check_map, check_values, follow, per_image, uniform

_WIDER = {"foliage": 3.0}  # penumbra of what is high above the ground, over that of the others


@dataclass(frozen=True)
class ShadowParams:
    """Parameters of `add_shadow`, one row an image.

    Example:
        >>> one = torch.ones(1)
        >>> ShadowParams(torch.zeros(1, 1, 2, 2), one, one, gain=torch.ones(1, 3)).gain
        tensor([[1., 1., 1.]])
    """

    field: Tensor  # (B, 1, H, W) any values; the shadow lies where it is above the level
    level: Tensor  # (B,) in units of the field
    softness: Tensor  # (B,) width of the penumbra, in units of the field
    gain: Tensor  # (B, C) share of the light that is left in the umbra, linear light
    penumbra: Tensor | None = None  # (B, 1, H, W) width of the penumbra, over `softness`
    attenuation: Tensor | None = None  # (B, 1, H, W) light in the umbra, over `gain`


def shadow_mask(params: ShadowParams) -> Tensor:
    """m = logistic((field - level) / (softness penumbra)): 0 in the light, 1 in the umbra.

    Args:
        params: of B images.

    Returns:
        (B, 1, H, W).

    Example:
        >>> field = torch.tensor([[[[-9.0, 0.0, 9.0]]]])
        >>> shadow_mask(ShadowParams(field, torch.zeros(1), torch.ones(1), torch.ones(1, 1)))
        tensor([[[[1.2339e-04, 5.0000e-01, 9.9988e-01]]]])
    """
    level, softness = (per_image(v, params.field) for v in (params.level, params.softness))
    if params.penumbra is not None:
        softness = softness * params.penumbra
    return torch.sigmoid((params.field - level) / softness)


def add_shadow(image: Tensor, params: ShadowParams) -> Tensor:
    """J (1 - m (1 - a g)) in linear light.

    Args:
        image: (B, C, H, W) display values.
        params: one row an image.

    Returns:
        (B, C, H, W) display values.

    Raises:
        ValueError: for a map of another size, a softness or penumbra that is not above 0, a gain
            or attenuation below 0.

    Example:
        >>> field, gain = torch.tensor([[[[-9.0, 9.0]]]]), torch.tensor([[0.2]])
        >>> params = ShadowParams(field, torch.zeros(1), torch.tensor([0.1]), gain)
        >>> add_shadow(torch.full((1, 1, 1, 2), 0.5), params)
        tensor([[[[0.5000, 0.2288]]]])
    """
    check_image(image)
    check_map("field", params.field, image)
    check_values("softness", params.softness, "units of the field", above=True)
    check_values("gain", params.gain, "share of the light")
    own = follow(params, image)
    left = per_image(own.gain, image)
    if own.penumbra is not None:
        check_map("penumbra", own.penumbra, image)
        check_values("penumbra", own.penumbra, "over the softness", above=True)
    if own.attenuation is not None:
        check_map("attenuation", own.attenuation, image)
        check_values("attenuation", own.attenuation, "over the gain")
        left = left * own.attenuation
    return to_display(to_linear(image) * (1 - shadow_mask(own) * (1 - left)))


@dataclass(frozen=True)
class Shadow:
    """Prior over shadows of trees and clouds: smooth random fields, cut at a random level.

    Example:
        >>> Shadow().sample((2, 3, 8, 8), torch.Generator().manual_seed(0)).field.shape
        torch.Size([2, 1, 8, 8])
    """

    nodes: tuple[int, int] = (2, 8)  # of the field along each side: from one shadow to dapples
    level: Range = (-0.5, 1.0)  # standard deviations of the field
    softness: Range = (0.02, 0.3)
    gain: Range = (0.2, 0.7)
    blue: Range = (0.0, 0.15)  # added to the gain from the first channel to the last

    apply = staticmethod(add_shadow)

    def __post_init__(self) -> None:
        check_values("nodes", self.nodes, "along a side", 2)
        check_values("softness", self.softness, "standard deviations of the field", above=True)
        check_values("gain", self.gain, "share of the light")
        check_values("blue", self.blue, "share of the light")

    def sample(self, shape: Shape, generator: torch.Generator) -> ShadowParams:
        batch, channels, height, width = shape
        fields = []
        for _ in range(batch):
            low, high = self.nodes
            count = int(torch.randint(low, high + 1, (), generator=generator))
            coarse = torch.randn(1, 1, count, count, generator=generator)
            fields.append(
                functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
            )
        grey = uniform(self.gain, (batch, 1), generator)
        ramp = torch.linspace(0, 1, channels) if channels > 1 else torch.zeros(channels)
        return ShadowParams(
            field=torch.cat(fields),
            level=uniform(self.level, (batch,), generator),
            softness=uniform(self.softness, (batch,), generator, log=True),
            gain=grey + uniform(self.blue, (batch, 1), generator) * ramp,
        )


@dataclass(frozen=True)
class CastShadow:
    """Prior over shadows of one thing a picture: `shapes` of `shadow_shapes.py` by chance.

    The level is such that a share of the picture within `coverage` lies in shadow.

    Example:
        >>> prior = CastShadow(shapes=("polygon",), coverage=(0.3, 0.3))
        >>> params = prior.sample((1, 3, 40, 60), torch.Generator().manual_seed(0))
        >>> (shadow_mask(params) > 0.5).float().mean()
        tensor(0.3000)
    """

    shapes: tuple[str, ...] = tuple(SHAPES)
    coverage: Range = (0.05, 0.7)
    softness_px: Range = (0.4, 8.0)  # in the middle of the picture
    penumbra: float = 1.0  # greatest of the logarithm of the width, between middle and border
    gain: Range = (0.06, 0.5)
    blueness: Range = (1.0, 2.0)  # gain of the last channel over that of the first
    attenuation: Range = (0.0, 0.4)  # standard deviation of the logarithm of the light in the umbra

    apply = staticmethod(add_shadow)

    def __post_init__(self) -> None:
        unknown = [shape for shape in self.shapes if shape not in SHAPES]
        if unknown or not self.shapes:
            raise ValueError(f"shapes must be some of {', '.join(SHAPES)}, got {self.shapes}")
        check_values("coverage", self.coverage, "share of the picture", 0, 1)
        check_values("softness_px", self.softness_px, "px", above=True)
        check_values("penumbra", self.penumbra, "of the logarithm of its width")
        check_values("gain", self.gain, "share of the light")
        check_values("blueness", self.blueness, "last channel over the first", above=True)
        check_values("attenuation", self.attenuation, "of the logarithm of the light")

    def sample(self, shape: Shape, generator: torch.Generator) -> ShadowParams:
        batch, channels, height, width = shape
        rows = [self._one(height, width, generator) for _ in range(batch)]
        fields, levels, penumbras, attenuations = zip(*rows, strict=True)
        grey = uniform(self.gain, (batch, 1), generator, log=self.gain[0] > 0)
        ramp = torch.linspace(0, 1, channels) if channels > 1 else torch.zeros(channels)
        gain = (grey * uniform(self.blueness, (batch, 1), generator) ** ramp).clamp(max=1)
        most = (1 / gain.amax(1).clamp_min(1e-3)).view(-1, 1, 1, 1)  # a shadow adds no light
        return ShadowParams(
            field=torch.stack(fields).unsqueeze(1),
            level=torch.tensor(levels),
            softness=uniform(self.softness_px, (batch,), generator, log=True),
            gain=gain,
            penumbra=torch.stack(penumbras).unsqueeze(1),
            attenuation=torch.stack(attenuations).unsqueeze(1).minimum(most),
        )

    def _one(
        self, height: int, width: int, generator: torch.Generator
    ) -> tuple[Tensor, float, Tensor, Tensor]:
        kind = self.shapes[int(torch.randint(len(self.shapes), (), generator=generator))]
        field, level = shadow_field(height, width, kind, self.coverage, generator)
        across = torch.linspace(-1, 1, width).view(1, -1)
        down = torch.linspace(-1, 1, height).view(-1, 1)
        right, below = uniform((-self.penumbra / 2, self.penumbra / 2), (2,), generator)
        width_log = right * across + below * down + math.log(_WIDER.get(kind, 1.0))
        varied = uniform(self.attenuation, (), generator) * noise(height, width, 3, generator)
        return field, level, width_log.exp(), varied.exp()
