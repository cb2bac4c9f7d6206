"""Film grain and noise of luma: shared by the colours, coarse, and following the brightness.

    I_c = J_c + s(Y) (sqrt(shared) u_0 + sqrt(1 - shared) u_c),   Y = mean of the colours, in [0, 1]
    s(Y) = sigma (1 - midtones (2 Y - 1)^2) (1 + tilt (2 Y - 1))

u are the fields of `noise_field`; `shared` is the correlation between colours: 1 is noise of luma,
as of black-and-white film and after conversion to grey. `midtones` 1 is the grain of film, none in
black and white; `tilt` above 0 is stronger in bright places. Display values; zero-mean, not
clamped.

References: Newson, Delon and Galerne, "A stochastic film grain model for resolution-independent
rendering", Computer Graphics Forum 2017 (variance by brightness); AV1 bitstream specification,
section 7.18.3 (grain: scaling by brightness, correlation over pixels and with luma).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .noise import redraw_grain
from .noise_field import noise_field
from .types import Range, Shape, check_image, check_values, per_image, uniform

_RANGE = "units of the image range"


@dataclass(frozen=True)
class GrainParams:
    """Parameters of `add_grain`, one row an image.

    Example:
        >>> Grain(shared=(1, 1)).sample((1, 3, 8, 8), torch.Generator().manual_seed(0)).eps.shape
        torch.Size([1, 4, 20, 20])
    """

    eps: Tensor  # (B, C + 1, H + 2 r, W + 2 r) standard normal, r beyond every border; u_0 first
    sigma: Tensor  # (B,) standard deviation at mid-grey, units of the image range
    size_px: Tensor  # (B,) standard deviation of the kernel
    shared: Tensor  # (B,) correlation between colours
    midtones: Tensor  # (B,) share of the strength that black and white lack
    tilt: Tensor  # (B,) from -1, all in dark places, to 1, all in bright ones


def grain_std(image: Tensor, params: GrainParams) -> Tensor:
    """s(Y) = sigma (1 - midtones (2 Y - 1)^2) (1 + tilt (2 Y - 1)).

    Args:
        image: (B, C, H, W), display values.
        params: one row an image.

    Returns:
        (B, 1, H, W) standard deviations.

    Example:
        >>> film = Grain(sigma=(0.1, 0.1), midtones=(1, 1), tilt=(0, 0))
        >>> params = film.sample((1, 1, 1, 3), torch.Generator().manual_seed(0))
        >>> grain_std(torch.tensor([[[[0.0, 0.5, 0.75]]]]), params)
        tensor([[[[0.0000, 0.1000, 0.0750]]]])
    """
    off = 2 * image.mean(1, keepdim=True).clamp(0, 1) - 1
    midtones = 1 - per_image(params.midtones, image) * off.square()
    return per_image(params.sigma, image) * midtones * (1 + per_image(params.tilt, image) * off)


def add_grain(image: Tensor, params: GrainParams) -> Tensor:
    """J + s(Y) (sqrt(shared) u_0 + sqrt(1 - shared) u_c).

    Args:
        image: (B, C, H, W), display values.
        params: one row an image.

    Returns:
        (B, C, H, W), not clamped.

    Raises:
        ValueError: for parameters out of their range, and an eps of another size.

    Example:
        >>> grey, stream = torch.full((1, 3, 64, 64), 0.5), torch.Generator().manual_seed(0)
        >>> luma = degrade(grey, Grain(sigma=(0.1, 0.1), shared=(1, 1)), stream)
        >>> torch.equal(luma[:, 0], luma[:, 2]), round(luma.std().item(), 1)
        (True, 0.1)
    """
    check_image(image)
    check_values("sigma", params.sigma, _RANGE)
    check_values("size_px", params.size_px, "px", above=True)
    check_values("shared", params.shared, "correlation", 0, 1)
    check_values("midtones", params.midtones, "share", 0, 1)
    check_values("tilt", params.tilt, "from dark to bright", -1, 1)
    fields = noise_field(params.eps, params.size_px, image, extra=1)
    shared = per_image(params.shared, image)
    common, own = _root(shared) * fields[:, :1], _root(1 - shared) * fields[:, 1:]
    return image + grain_std(image, params) * (common + own)


def _root(share: Tensor) -> Tensor:
    """Square root, with gradient 0 at 0."""
    some = share > 0
    return torch.where(some, share, 1).sqrt() * some


@dataclass(frozen=True)
class Grain:
    """Prior over film and over noise of luma.

    Example:
        >>> Grain(sigma=(0.1, 0.1)).sample((2, 3, 8, 8), torch.Generator().manual_seed(0)).sigma
        tensor([0.1000, 0.1000])
    """

    sigma: Range = (0.01, 0.15)
    size_px: Range = (0.25, 1.5)
    shared: Range = (0.0, 1.0)
    midtones: Range = (0.0, 1.0)
    tilt: Range = (-0.5, 0.5)

    apply = staticmethod(add_grain)
    at_frame = redraw_grain

    def __post_init__(self) -> None:
        check_values("sigma", self.sigma, _RANGE)
        check_values("size_px", self.size_px, "px", above=True)
        check_values("shared", self.shared, "correlation", 0, 1)
        check_values("midtones", self.midtones, "share", 0, 1)
        check_values("tilt", self.tilt, "from dark to bright", -1, 1)

    def sample(self, shape: Shape, generator: torch.Generator) -> GrainParams:
        batch, channels, height, width = shape
        reach = 2 * math.ceil(4 * self.size_px[1])
        size = (batch, channels + 1, height + reach, width + reach)
        return GrainParams(
            eps=torch.randn(size, generator=generator),
            sigma=uniform(self.sigma, (batch,), generator),
            size_px=uniform(self.size_px, (batch,), generator),
            shared=uniform(self.shared, (batch,), generator),
            midtones=uniform(self.midtones, (batch,), generator),
            tilt=uniform(self.tilt, (batch,), generator),
        )
