"""The strength of the noise in one picture, told by what a denoiser takes out of it.

    r = y - f(y),    var n = mean r^2 / (1 - d),    d = mean df/dy

where f is the mean of the clean picture given the noisy one: then E (f - J)^2 = s^2 d (Stein;
Tweedie's formula) and E r^2 = s^2 - 2 s^2 d + E (f - J)^2 = s^2 (1 - d). The built-in denoiser is
about that for white Gaussian noise. d is probed by one draw b of +1 and -1. The
smoothest squares of each of eight levels of brightness, where d is least, give gain and sigma^2 of
`var n = gain J + sigma^2`.

Noise that neighbouring pixels or channels share passes for texture with a denoiser that does not
know it. It is measured as `calibrate` does, in flat patches (`calibration.noise`), and taken for
Gaussian in its correlation.

On five crops of 256 px of McMaster, noise of 40, 25, 10 and 5 of 255 is told to 1, 2, 3.5 and 6 %;
`calibration.noise`, which knows no denoiser, tells 4 to 27 % too much for 25.
Reference: Efron, "Tweedie's formula and selection bias", JASA 2011.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from degradations.noise_field import unit_noise
from ssl_restore.calibration.broken_pixels import LEVELS
from ssl_restore.calibration.noise import (
    LEAST_SIDE_PX,
    WHITE_BELOW,
    PictureNoise,
    fit_line,
    measure,
)
from ssl_restore.calibration.noise_verdict import MAYBE_TEXTURE, WHITE_ONES
from ssl_restore.calibration.noise_width import width_of
from ssl_restore.errors import UserError
from ssl_restore.inference.tiles import restore_tensor
from ssl_restore.restorer import Restorer

MOST_PIXELS = 1_000_000  # of the middle of the picture, in which noise is told
LEAST_LEVEL = 3 / 255  # below it texture passes for noise
MOST_OUTLIERS = 0.01  # share of the pixels beyond FAR deviations; 0.00006 of Gaussian noise
FAR = 4.0
LEAST_SHARED = 8 / 255  # of noise that pixels share: weaker one is not told from texture
SURELY_SHARED = 0.6  # correlation of what is taken: that of noise of luma is 0.9, with texture 0.5
TAKEN = 0.5  # share of a level that the denoiser takes away where it knows the noise
CUT_OFF = 2.0  # deviations from black or white, nearer than which noise is cut off
SMOOTH = 0.3  # share of the pixels of a brightness in the smoothest squares, which are measured
SQUARE_PX = 16
STEP = 0.02  # of the probe, display units


@dataclass(frozen=True)
class EstimatedNoise:
    """Variance gain J + sigma^2, display units, shared by neighbouring pixels and channels or not.

    A part of the noise, sqrt(share), is the same in all channels, the rest of each channel's own.
    """

    gain: float
    sigma: float
    grey: bool = False  # the same in all three channels, as the picture is
    width_px: float = 0.0  # of the Gaussian kernel that correlates it; 0: independent
    share: float = 0.0  # correlation of two channels

    @property
    def is_shared(self) -> bool:
        """By neighbouring pixels, or by channels of a colour picture."""
        return self.width_px > 0 or self.share > 0

    def deviation(self, clean: Tensor) -> Tensor:
        """Of every pixel of an image (B, 3, H, W) that is about clean."""
        return (self.gain * clean.clamp(0, 1) + self.sigma**2).sqrt()

    def draw(self, deviation: Tensor, generator: torch.Generator) -> Tensor:
        """Noise (B, 3, H, W) of this deviation."""
        channels = deviation[:, :1] if self.grey else deviation
        own = unit_noise(channels, self.width_px, generator)
        if self.share:
            common = unit_noise(deviation[:, :1], self.width_px, generator)
            own = (1 - self.share) ** 0.5 * own + self.share**0.5 * common
        return deviation * own


def estimate(
    restorer: Restorer, image: Tensor, generator: torch.Generator
) -> tuple[EstimatedNoise | None, str]:
    """The noise of a picture (1, 3, H, W), or None and why it is not of a kind that can be told:
    with outliers, hardly any, shared but too weak to be told from texture, or in too few pixels."""
    height, width = image.shape[2:]
    if min(height, width) < LEAST_SIDE_PX:
        return None, f"{width}x{height} is too small to tell its noise"
    grey = is_grey(image)
    part = _middle(image)
    clean, slope = _probed(restorer, part, grey, generator)
    residual = part - clean
    if grey:
        clean, slope, residual = clean[:, :1], slope[:, :1], residual[:, :1]
    measured = _measured(part)
    if measured is not None and _is_shared(measured, residual):
        return _shared(measured, grey), ""
    level = residual.std().item()
    if level < LEAST_LEVEL:
        return None, f"hardly any noise was found ({255 * level:.1f} of 255)"
    room = CUT_OFF * level if cut_off(image) else -torch.inf
    inside = (clean > room) & (clean < 1 - room)
    return _independent(clean, slope, residual, inside, grey)


def _independent(
    clean: Tensor, slope: Tensor, residual: Tensor, inside: Tensor, grey: bool
) -> tuple[EstimatedNoise | None, str]:
    """As `estimate`, of noise of each pixel's own, in the pixels `inside` of black and white."""
    among = correlation(residual)
    if among >= WHITE_BELOW:
        return None, (
            f"neighbouring pixels share their noise (correlation {among:.2f}), which only a folder "
            "of its kind tells (`ssl-restore fit`)"
        )
    if inside.float().mean() < 0.05:
        return None, "it is black or white nearly everywhere, where noise is cut off"
    local = _local_mean(slope)
    found = EstimatedNoise(*_line(clean[inside], residual[inside], local[inside]), grey)
    far = (residual.abs() > FAR * found.deviation(clean).clamp_min(1 / 255)).float().mean().item()
    if far > MOST_OUTLIERS:
        return None, f"{100 * far:.0f} % of the pixels are far off what is around them"
    return found, ""


def _measured(image: Tensor) -> PictureNoise | None:
    """The noise of a picture (1, 3, H, W) as `calibrate` tells it; None where it cannot."""
    try:
        return measure("", image[0].permute(1, 2, 0).cpu().numpy())
    except UserError:
        return None


def _is_shared(measured: PictureNoise, residual: Tensor) -> bool:
    """Whether neighbours or channels share the noise. Texture is shared as well: where the denoiser
    takes most of it away, what it takes says so, and else it must be strong."""
    colours = residual.shape[1] > 1
    shared = max(measured.correlation, measured.channel_correlation if colours else 0.0)
    if shared < WHITE_ONES or measured.level < LEAST_SHARED:
        return False
    if residual.std().item() < TAKEN * measured.level:
        return measured.level >= MAYBE_TEXTURE
    alike = channel_correlation(residual) if colours else 0.0
    return max(correlation(residual), alike) >= SURELY_SHARED


def _shared(measured: PictureNoise, grey: bool) -> EstimatedNoise:
    among = measured.correlation if measured.correlation >= WHITE_BELOW else 0.0
    return EstimatedNoise(
        gain=measured.gain,
        sigma=measured.sigma,
        grey=grey,
        width_px=width_of(among) if among else 0.0,
        share=0.0 if grey else min(max(measured.channel_correlation, 0.0), 1.0),
    )


def _line(clean: Tensor, residual: Tensor, slope: Tensor) -> tuple[float, float]:
    """(gain, sigma) by a line through the variances of pixels of like brightness, (N,) each: of
    those in the smoothest squares, where the denoiser is surest."""
    levels, variances = [], []
    for alike in clean.argsort().chunk(LEVELS):
        count = max(1, round(SMOOTH * len(alike)))
        own = alike[slope[alike].argsort()[:count]]
        levels.append(float(clean[own].mean()))
        kept = 1 - min(0.8, max(0.0, float(slope[own].mean())))
        variances.append(float(residual[own].square().mean()) / kept)
    gain, dark = fit_line(np.array(levels), np.array(variances))
    return gain, dark**0.5


def _local_mean(slope: Tensor) -> Tensor:
    """Of every pixel the mean over its square and all channels."""
    mean = slope.mean(dim=1, keepdim=True)
    wide = F.avg_pool2d(mean, SQUARE_PX, ceil_mode=True)
    wide = wide.repeat_interleave(SQUARE_PX, 2).repeat_interleave(SQUARE_PX, 3)
    return wide[..., : slope.shape[2], : slope.shape[3]].expand_as(slope)


def _middle(image: Tensor) -> Tensor:
    side = int(MOST_PIXELS**0.5)
    top, left = (max(0, length - side) // 2 for length in image.shape[2:])
    return image[..., top : top + side, left : left + side]


def _probed(
    restorer: Restorer, image: Tensor, grey: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """f(y), and a draw for each pixel whose mean is df/dy; in full precision, which it needs."""
    size = (1, 1 if grey else 3, *image.shape[2:])
    probe = (2 * torch.randint(2, size, generator=generator) - 1).to(image).expand_as(image)
    clean, moved = (
        restore_tensor(restorer, picture, precision="fp32")
        for picture in (image, image + STEP * probe)
    )
    return clean, probe * (moved - clean) / STEP


def correlation(residual: Tensor) -> float:
    """With the next pixel, of a residual (B, C, H, W): the larger of across and down."""
    off = residual - residual.mean(dim=(2, 3), keepdim=True)
    power = off.square().mean().clamp_min(1e-12)
    across, down = (
        (off[..., 1:] * off[..., :-1]).mean(),
        (off[..., 1:, :] * off[..., :-1, :]).mean(),
    )
    return float(torch.maximum(across, down) / power)


def channel_correlation(residual: Tensor) -> float:
    """Correlation of two channels of a residual (B, 3, H, W), the mean of the three pairs."""
    table = torch.corrcoef(residual.transpose(0, 1).flatten(1))
    return float((table.sum() - 3) / 6)


def is_grey(image: Tensor) -> bool:
    """Whether the three channels of a picture (B, 3, H, W) are one."""
    return torch.equal(image[:, 0], image[:, 1]) and torch.equal(image[:, 0], image[:, 2])


def cut_off(image: Tensor) -> bool:
    """Whether nothing of a picture goes beyond black and white, as in every file."""
    return bool(image.min() >= 0 and image.max() <= 1)
