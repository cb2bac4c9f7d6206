"""Cast shadows: direct light is missing under a soft mask, the light of the sky is left.

    I_c = J_c (1 - m (1 - g_c)),      m = logistic((field - level) / softness)

Linear light; `add_shadow` converts from display values and back. The sky is blue, so that the gain
g of the blue channel is above that of the red.

Reference: Le and Samaras, "Shadow removal via shadow image decomposition", ICCV 2019, eqs. 3 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .color import to_display, to_linear
from .types import Range, Shape, check_image, check_map, check_values, follow, per_image, uniform


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


def shadow_mask(params: ShadowParams) -> Tensor:
    """m = logistic((field - level) / softness): 0 in the light, 1 in the umbra.

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
    return torch.sigmoid((params.field - level) / softness)


def add_shadow(image: Tensor, params: ShadowParams) -> Tensor:
    """J (1 - m (1 - g)) in linear light.

    Args:
        image: (B, C, H, W) display values.
        params: one row an image.

    Returns:
        (B, C, H, W) display values.

    Raises:
        ValueError: for a field of another size, a softness that is not above 0, a gain below 0.

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
    lost = shadow_mask(follow(params, image)) * (1 - per_image(params.gain, image))
    return to_display(to_linear(image) * (1 - lost))


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
