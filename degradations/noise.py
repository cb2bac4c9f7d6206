"""Noise of light, electronics, lost and broken pixels.

    Noise             I = J + sqrt(gain max(J, 0) + sigma^2) eps      Gaussian, Poisson's variance
    PoissonNoise      I = gain n,   n ~ Poisson(max(J, 0) / gain)     photons counted
    CorrelatedNoise   I = J + sigma (k * eps),   sum k^2 = 1          after demosaicking, of scans
    BernoulliNoise    I = J m / (1 - share),  m = 0 with chance share pixels lost, all channels
    ImpulseNoise      I = v with chance `share`, else J               pixels broken, v uniform

All act on the values that they are given, so that those but the last are zero-mean in them (what
Noise2Noise-type losses rest on): on display values, as the public denoising sets do it. The laws of
photons are those of a sensor for linear light: convert with `color.py` before and after. Never
clamped. ValueError for gains, deviations, widths and shares out of their range and for draws of
another size than the picture.

References: Foi, Trimeche, Katkovnik and Egiazarian, "Practical Poissonian-Gaussian noise modeling
and fitting for single-image raw-data", IEEE TIP 2008, eq. 3 (variance a y + b); Lehtinen et al.,
"Noise2Noise", ICML 2018, section 3 (Poisson, Bernoulli, impulses).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .lost_pixels import (
    LOST,
    MOST_LOST,
    BernoulliParams,
    ImpulseParams,
    break_pixels,
    drop_pixels,
    sample_ranks,
)
from .noise_field import noise_field
from .types import (
    Degradation,
    Range,
    Shape,
    check_image,
    check_map,
    check_values,
    per_image,
    tensors,
    uniform,
)

_RANGE = "units of the image range"
_PHOTON = "light of a photon, units of the image range"


def redraw_grain(
    self: Degradation,
    params: Any,
    number: int,
    shape: Shape,
    *,
    fps: float | None = None,
    generator: torch.Generator,
) -> Any:
    """Noise of a frame: its levels, floats (B,), are those of the shot; the grain is drawn anew."""
    grain = self.sample(shape, generator)
    levels = {n: t for n, t in tensors(params) if t.ndim == 1 and t.is_floating_point()}
    return replace(grain, **levels)


@dataclass(frozen=True)
class NoiseParams:
    """Parameters of `add_noise`, one row an image.

    Example:
        >>> NoiseParams(torch.zeros(1, 1, 2, 2), torch.zeros(1), torch.ones(1)).sigma
        tensor([1.])
    """

    eps: Tensor  # (B, C, H, W) standard normal
    gain: Tensor  # (B,) light of one photon, units of the image range; 0 is no shot noise
    sigma: Tensor  # (B,) standard deviation of the read noise, units of the image range


def noise_std(image: Tensor, params: NoiseParams) -> Tensor:
    """sqrt(gain max(J, 0) + sigma^2); 0 with gradient 0 where there is none.

    Args:
        image: (B, C, H, W).
        params: one row an image.

    Returns:
        (B, C, H, W) standard deviations.

    Example:
        >>> params = NoiseParams(torch.zeros(1, 1, 1, 2), torch.tensor([0.01]), torch.zeros(1))
        >>> noise_std(torch.tensor([[[[0.0, 1.0]]]]), params)
        tensor([[[[0.0000, 0.1000]]]])
    """
    gain, sigma = per_image(params.gain, image), per_image(params.sigma, image)
    variance = gain * image.clamp_min(0) + sigma.square()
    noisy = variance > 0
    return torch.where(noisy, variance, 1).sqrt() * noisy


def add_noise(image: Tensor, params: NoiseParams) -> Tensor:
    """J + sqrt(gain max(J, 0) + sigma^2) eps: zero-mean.

    Args:
        image: (B, C, H, W).
        params: one row an image.

    Returns:
        (B, C, H, W), not clamped.

    Example:
        >>> params = NoiseParams(torch.ones(1, 1, 1, 2), torch.zeros(1), torch.tensor([0.1]))
        >>> add_noise(torch.full((1, 1, 1, 2), 0.5), params)
        tensor([[[[0.6000, 0.6000]]]])
    """
    check_image(image)
    check_map("eps", params.eps, image)
    check_values("gain", params.gain, _PHOTON)
    check_values("sigma", params.sigma, _RANGE)
    return image + noise_std(image, params) * params.eps.to(image)


@dataclass(frozen=True)
class Noise:
    """Prior over cameras; `Noise(gain=(0, 0), sigma=(s, s))` is white Gaussian noise of level s.

    Example:
        >>> white = Noise(gain=(0, 0), sigma=(0.1, 0.1))
        >>> white.sample((2, 3, 8, 8), torch.Generator().manual_seed(0)).sigma
        tensor([0.1000, 0.1000])
    """

    gain: Range = (0.0, 0.01)
    sigma: Range = (0.0, 0.1)

    apply = staticmethod(add_noise)
    at_frame = redraw_grain

    def __post_init__(self) -> None:
        check_values("gain", self.gain, _PHOTON)
        check_values("sigma", self.sigma, _RANGE)

    def sample(self, shape: Shape, generator: torch.Generator) -> NoiseParams:
        return NoiseParams(
            gain=uniform(self.gain, shape[:1], generator),
            sigma=uniform(self.sigma, shape[:1], generator),
            eps=torch.randn(shape, generator=generator),
        )


@dataclass(frozen=True)
class PoissonParams:
    """Parameters of `count_photons`, one row an image.

    Example:
        >>> PoissonParams(gain=torch.tensor([0.01]), seed=torch.tensor([7])).gain
        tensor([0.0100])
    """

    gain: Tensor  # (B,) light of one photon, units of the image range
    seed: Tensor  # (B,) whole number: of the stream that counts this image's photons


def count_photons(image: Tensor, params: PoissonParams) -> Tensor:
    """gain n, n exactly Poisson with mean max(J, 0) / gain.

    The gradient is that of J + sqrt(gain J) eps with the drawn eps held (reparameterised), so that
    it reaches both; a pixel without light has none.

    Args:
        image: (B, C, H, W).
        params: one row an image.

    Returns:
        (B, C, H, W), whole multiples of the gain.

    Example:
        >>> params = PoissonParams(torch.tensor([0.25]), torch.tensor([7]))
        >>> count_photons(torch.tensor([[[[0.0, 0.5, 1.0]]]]), params) % 0.25
        tensor([[[[0., 0., 0.]]]])
    """
    check_image(image)
    check_values("gain", params.gain, _PHOTON, above=True)
    gain = per_image(params.gain, image)
    light = image.clamp_min(0)
    mean = (light / gain).detach()
    photons = torch.stack(
        [
            torch.poisson(m.cpu(), generator=torch.Generator().manual_seed(int(seed)))
            for m, seed in zip(mean, params.seed, strict=True)
        ]
    ).to(image)
    lit = mean > 0
    eps = (photons - mean) / torch.where(lit, mean, 1).sqrt()
    like_it = light + (gain * torch.where(lit, light, 1)).sqrt() * eps * lit
    return gain.detach() * photons + (like_it - like_it.detach())


@dataclass(frozen=True)
class PoissonNoise:
    """Prior over the light of a photon, log-uniformly.

    Example:
        >>> PoissonNoise((0.01, 0.01)).sample((1, 3, 8, 8), torch.Generator().manual_seed(0)).gain
        tensor([0.0100])
    """

    gain: Range = (0.002, 0.05)

    apply = staticmethod(count_photons)
    at_frame = redraw_grain

    def __post_init__(self) -> None:
        check_values("gain", self.gain, _PHOTON, above=True)

    def sample(self, shape: Shape, generator: torch.Generator) -> PoissonParams:
        gain = uniform(self.gain, shape[:1], generator, log=True)
        return PoissonParams(gain, torch.randint(2**62, shape[:1], generator=generator))


@dataclass(frozen=True)
class CorrelatedParams:
    """Parameters of `add_correlated_noise`, one row an image.

    Example:
        >>> CorrelatedParams(torch.zeros(1, 1, 6, 6), torch.ones(1), torch.ones(1)).width_px
        tensor([1.])
    """

    eps: Tensor  # (B, C, H + 2 r, W + 2 r) standard normal, r beyond every border
    sigma: Tensor  # (B,) standard deviation of a pixel, units of the image range
    width_px: Tensor  # (B,) standard deviation of the kernel


def add_correlated_noise(image: Tensor, params: CorrelatedParams) -> Tensor:
    """J + sigma (k * eps), k Gaussian with sum k^2 = 1: zero-mean.

    Args:
        image: (B, C, H, W).
        params: one row an image.

    Returns:
        (B, C, H, W), not clamped.

    Example:
        >>> params = CorrelatedParams(torch.ones(1, 1, 3, 3), torch.tensor([0.1]), torch.ones(1))
        >>> add_correlated_noise(torch.full((1, 1, 1, 1), 0.5), params)
        tensor([[[[0.7822]]]])
    """
    check_image(image)
    check_values("sigma", params.sigma, _RANGE)
    smooth = noise_field(params.eps, params.width_px, image)
    return image + per_image(params.sigma, image) * smooth


@dataclass(frozen=True)
class CorrelatedNoise:
    """Prior over levels and widths of correlated noise.

    Example:
        >>> noise = CorrelatedNoise(width_px=(0.5, 0.5))
        >>> noise.sample((1, 3, 8, 8), torch.Generator().manual_seed(0)).eps.shape
        torch.Size([1, 3, 12, 12])
    """

    sigma: Range = (0.01, 0.1)
    width_px: Range = (0.3, 2.0)

    apply = staticmethod(add_correlated_noise)
    at_frame = redraw_grain

    def __post_init__(self) -> None:
        check_values("sigma", self.sigma, _RANGE)
        check_values("width_px", self.width_px, "px", above=True)

    def sample(self, shape: Shape, generator: torch.Generator) -> CorrelatedParams:
        batch, channels, height, width = shape
        reach = math.ceil(4 * self.width_px[1])
        size = (batch, channels, height + 2 * reach, width + 2 * reach)
        return CorrelatedParams(
            eps=torch.randn(size, generator=generator),
            sigma=uniform(self.sigma, (batch,), generator),
            width_px=uniform(self.width_px, (batch,), generator),
        )


@dataclass(frozen=True)
class BernoulliNoise:
    """Prior over the share of lost pixels.

    Example:
        >>> BernoulliNoise((0.2, 0.2)).sample((1, 3, 8, 8), torch.Generator().manual_seed(0)).share
        tensor([0.2000])
    """

    share: Range = (0.05, 0.5)

    apply = staticmethod(drop_pixels)
    at_frame = redraw_grain

    def __post_init__(self) -> None:
        check_values("share", self.share, LOST, 0, MOST_LOST)

    def sample(self, shape: Shape, generator: torch.Generator) -> BernoulliParams:
        share = uniform(self.share, shape[:1], generator)
        return BernoulliParams(share, sample_ranks(shape, generator))


@dataclass(frozen=True)
class ImpulseNoise:
    """Prior over the share of broken pixels.

    Example:
        >>> ImpulseNoise((0.2, 0.2)).sample((1, 3, 8, 8), torch.Generator().manual_seed(0)).share
        tensor([0.2000])
    """

    share: Range = (0.01, 0.3)

    apply = staticmethod(break_pixels)
    at_frame = redraw_grain

    def __post_init__(self) -> None:
        check_values("share", self.share, LOST, 0, 1)

    def sample(self, shape: Shape, generator: torch.Generator) -> ImpulseParams:
        share = uniform(self.share, shape[:1], generator)
        value = torch.rand(shape, generator=generator)
        return ImpulseParams(share, sample_ranks(shape, generator), value)
