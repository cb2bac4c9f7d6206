"""Layers of real rain, taken from clips, on other pictures.

    I = J + g R

Display space. R is a window of a layer (frame minus background) of a camera that did not move,
mirrored and of another size; g is its gain. The light was added when the frame was taken, and what
was behind it is not known any more, so that it is added here, too.

Reference: Wang et al., "Spatial attentive single-image deraining with a high quality real rain
dataset", CVPR 2019 (layers by medians in time).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from .types import Range, Shape, check_image, check_map, check_values, per_image, uniform


@dataclass(frozen=True)
class HarvestedRainParams:
    """Parameters of `add_layer`, one row an image.

    Example:
        >>> HarvestedRainParams(torch.zeros(1, 1, 2, 2), torch.ones(1)).gain
        tensor([1.])
    """

    layer: Tensor  # R (B, 1 or C, H, W) display units
    gain: Tensor  # (B,)


def add_layer(image: Tensor, params: HarvestedRainParams) -> Tensor:
    """J + g R in display space.

    Args:
        image: (B, C, H, W) display values.
        params: one row an image, of its size.

    Returns:
        (B, C, H, W) display values, not clamped.

    Raises:
        ValueError: for a layer of another size than the image.

    Example:
        >>> params = HarvestedRainParams(torch.full((1, 1, 1, 2), 0.25), torch.full((1,), 2.0))
        >>> add_layer(torch.full((1, 1, 1, 2), 0.1), params)
        tensor([[[[0.6000, 0.6000]]]])
    """
    check_image(image)
    check_values("gain", params.gain, "factor")
    check_values("layer", params.layer, "display units")
    check_map("layer", params.layer, image)
    return image + per_image(params.gain, image) * params.layer.to(image)


def render_layer(image: Tensor, params: HarvestedRainParams) -> tuple[Tensor, Tensor]:
    """`add_layer`, and the mean of g R over the colours."""
    light = per_image(params.gain, image) * params.layer.to(image).mean(dim=1, keepdim=True)
    return add_layer(image, params), light


@dataclass(frozen=True)
class HarvestedRain:
    """Prior over windows of given layers; `rain_free` is the share of images without any.

    Example:
        >>> prior = HarvestedRain((torch.full((3, 9, 9), 0.5),), gain=(1, 1), rain_free=0)
        >>> params = prior.sample((1, 3, 4, 4), torch.Generator().manual_seed(0))
        >>> params.layer.shape, params.layer.max()
        (torch.Size([1, 3, 4, 4]), tensor(0.5000))
    """

    layers: tuple[Tensor, ...]  # (1 or 3, H, W) each: display units, or uint8 of 255
    gain: Range = (0.7, 1.4)
    size: Range = (0.6, 1.6)  # of the streaks, over what it was
    rain_free: float = 0.06

    apply = staticmethod(add_layer)
    render = staticmethod(render_layer)

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("layers: none given; harvest some from a clip first")
        check_values("gain", self.gain, "factor")
        check_values("size", self.size, "factor", above=True)
        check_values("rain_free", self.rain_free, "share")

    def sample(self, shape: Shape, generator: torch.Generator) -> HarvestedRainParams:
        batch, channels, height, width = shape
        gain = uniform(self.gain, (batch,), generator)
        rainy = torch.rand(batch, generator=generator) >= self.rain_free
        sizes = uniform(self.size, (batch,), generator, log=True).tolist()
        drawn = torch.rand(batch, 4, generator=generator).tolist()
        windows = [
            _window(self.layers[int(which * len(self.layers))], height, width, size, *where)
            for size, (which, *where) in zip(sizes, drawn, strict=True)
        ]
        layer = torch.stack([w.expand(max(channels, len(w)), -1, -1)[:channels] for w in windows])
        return HarvestedRainParams(layer, gain * rainy)

    def without_streaks(self, params: HarvestedRainParams) -> HarvestedRainParams:
        return replace(params, gain=torch.zeros_like(params.gain))


def _window(
    layer: Tensor, height: int, width: int, size: float, down: float, right: float, mirrored: float
) -> Tensor:
    """(C, height, width) of a layer, its streaks `size` times as large; tiled where it is small."""
    rows, columns = max(1, round(height / size)), max(1, round(width / size))
    if layer.shape[-2] < rows or layer.shape[-1] < columns:
        times = -(-rows // layer.shape[-2]), -(-columns // layer.shape[-1])
        layer = layer.repeat(1, *times)
    top = int(down * (layer.shape[-2] - rows + 1))
    left = int(right * (layer.shape[-1] - columns + 1))
    part = layer[None, :, top : top + rows, left : left + columns]
    if not part.is_floating_point():
        part = part.float() / 255
    part = F.interpolate(part, (height, width), mode="bilinear", antialias=size < 1)[0]
    return part.flip(-1) if mirrored < 0.5 else part
