"""What a camera makes of the light on its sensor, and the way back from its picture.

    develop(raw) = sharpen(smooth(tone(display(M demosaic(w raw)))))     w the white balance
    to_raw(J)    = mosaic(C linear(untone(J))) / w                       C = M^-1

J are display values, raw is linear light on a mosaic, 1 where a pixel is full. The three filters
overlap: C = (1 - o) I + o W, W = ((0, 1, 0), (1/2, 0, 1/2), (0, 1, 0)), so that grey stays grey;
since W^3 = W, M is a polynomial in W. A camera smooths colour (Y' is the luma of display values,
J - Y' the colour) more than brightness and sharpens brightness. Nothing is clamped: without
smoothing and sharpening, there and back loses what demosaicing loses (crops of eight
photographs came back at 24 to 36 dB), and nothing of flat ground.

References: Brooks, Mildenhall, Xue, Chen, Sharlet and Barron, "Unprocessing images for learned raw
denoising", CVPR 2019, section 3 (steps and their inverses); Ramanath, Snyder, Yoo and Drew, "Color
image processing pipeline", IEEE Signal Processing Magazine 2005.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .color import luma, to_display, to_linear
from .mosaic import PHASES, demosaic, mosaic
from .sensor import MOST_UNDONE, tone, undo_tone
from .smoothing import WIDEST_PX, sharpen, smooth
from .types import Range, Shape, check_image, check_values, per_image, uniform

_MOST_OVERLAP = 0.4  # at 0.5 the colours of the filters are no longer three
_WIDEST_LUMA_PX = 1.5
_OVERLAPPING = ((0.0, 1.0, 0.0), (0.5, 0.0, 0.5), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class CameraParams:
    """Parameters of `develop` and `to_raw`, one row an image.

    Example:
        >>> Camera(red_gain=(2, 2)).sample((1, 3, 8, 8), torch.Generator().manual_seed(0)).red_gain
        tensor([2.])
    """

    phase: Tensor  # (B,) whole number from 0 to 3, of the mosaic
    correction: Tensor  # (B,) of demosaicing: 0 bilinear, 1 Malvar's
    red_gain: Tensor  # (B,) of the white balance, green is 1
    blue_gain: Tensor  # (B,)
    overlap: Tensor  # (B,) o, of the filters
    contrast: Tensor  # (B,) of the tone curve, as of `sensor.tone`
    luma_px: Tensor  # (B,) standard deviation of the smoothing of brightness
    chroma_px: Tensor  # (B,) of colour
    sharpening: Tensor  # (B,) times the difference from the smoothed brightness


def to_raw(image: Tensor, params: CameraParams) -> Tensor:
    """The light on the sensor that a camera makes this picture of, on its mosaic.

    Args:
        image: (B, 3, H, W), display values.
        params: one row an image.

    Returns:
        (B, 1, H, W), linear light of the sensor, not clamped.

    Raises:
        ValueError: for another number of channels, and parameters out of their range.

    Example:
        >>> camera = Camera(red_gain=(2, 2), blue_gain=(2, 2), contrast=(0, 0))
        >>> params = camera.sample((1, 3, 1, 2), torch.Generator().manual_seed(0))
        >>> to_raw(torch.ones(1, 3, 1, 2), params).unique()
        tensor([0.5000, 1.0000])
    """
    check_image(image)
    _check(params)
    if image.shape[1] != 3:
        raise ValueError(f"a camera sees 3 channels (B, 3, H, W), got {tuple(image.shape)}")
    light = _odd(to_linear, undo_tone(image, params.contrast))
    return mosaic(_mixed(light, params.overlap, back=False) / _balance(params, image), params.phase)


def develop(raw: Tensor, params: CameraParams) -> Tensor:
    """The picture that a camera makes of the light on its mosaic.

    Args:
        raw: (B, 1, H, W), linear light of the sensor.
        params: one row an image.

    Returns:
        (B, 3, H, W), display values, not clamped.

    Raises:
        ValueError: for more than one channel, and parameters out of their range.

    Example:
        >>> flat = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
        >>> params = Camera().sample(flat.shape, torch.Generator().manual_seed(0))
        >>> develop(to_raw(flat, params), params)[0, :, 0, 0]
        tensor([0.2000, 0.4000, 0.6000])
    """
    check_image(raw)
    _check(params)
    wide = raw.expand(-1, 3, -1, -1)
    balanced = mosaic(wide * _balance(params, raw), params.phase)
    light = demosaic(balanced, params.phase, params.correction)
    light = _mixed(light, params.overlap, back=True)
    image = tone(_odd(to_display, light), params.contrast)
    brightness = luma(image)
    colour = smooth(image - brightness, params.chroma_px)
    return sharpen(smooth(brightness, params.luma_px, _WIDEST_LUMA_PX), params.sharpening) + colour


def photograph(image: Tensor, params: CameraParams) -> Tensor:
    """develop(to_raw(J)): what is lost on the way through a camera without noise.

    Args:
        image: (B, 3, H, W), display values.
        params: one row an image.

    Returns:
        (B, 3, H, W), display values, not clamped.

    Example:
        >>> params = Camera().sample((1, 3, 8, 8), torch.Generator().manual_seed(0))
        >>> photograph(torch.full((1, 3, 8, 8), 0.4), params).unique().round(decimals=3)
        tensor([0.4000])
    """
    return develop(to_raw(image, params), params)


def _odd(curve: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """The curve, the same below black: noise there stays as weak as above it."""
    return torch.where(values < 0, -curve(-values), curve(values))


def _balance(params: CameraParams, image: Tensor) -> Tensor:
    """(B, 3, 1, 1)"""
    green = torch.ones_like(params.red_gain)
    return per_image(torch.stack([params.red_gain, green, params.blue_gain], dim=1), image)


def _mixed(light: Tensor, overlap: Tensor, *, back: bool) -> Tensor:
    """C light, or M light where it goes `back`; W has the eigenvalues 1, 0 and -1."""
    o = per_image(overlap, light)
    none, once = 1 - o, o
    twice = torch.zeros_like(o)
    if back:
        none, once = 1 / (1 - o), -o / (1 - 2 * o)
        twice = 1 - none - once
    w = light.new_tensor(_OVERLAPPING)
    overlapping = torch.einsum("cd,bdhw->bchw", w, light)
    return none * light + once * overlapping + twice * torch.einsum("cd,bdhw->bchw", w, overlapping)


def _check(params: CameraParams) -> None:
    check_values("correction", params.correction, "share", 0, 1)
    for name in ("red_gain", "blue_gain"):
        check_values(name, getattr(params, name), "of the white balance", above=True)
    check_values("overlap", params.overlap, "of the filters", 0, _MOST_OVERLAP)
    check_values("contrast", params.contrast, "of the tone curve", 0, MOST_UNDONE)
    check_values("luma_px", params.luma_px, "px", 0, _WIDEST_LUMA_PX)
    check_values("chroma_px", params.chroma_px, "px", 0, WIDEST_PX)
    check_values("sharpening", params.sharpening, "times what smoothing takes")


@dataclass(frozen=True)
class Camera:
    """Prior over cameras: their filters, white balance, tone, smoothing and sharpening.

    Example:
        >>> plain = Camera(luma_px=(0, 0), chroma_px=(0, 0), sharpening=(0, 0))
        >>> plain.sample((2, 3, 8, 8), torch.Generator().manual_seed(0)).chroma_px
        tensor([0., 0.])
    """

    correction: Range = (0.0, 1.0)
    red_gain: Range = (1.2, 2.6)
    blue_gain: Range = (1.2, 2.6)
    overlap: Range = (0.1, 0.33)
    contrast: Range = (0.0, 0.8)
    luma_px: Range = (0.0, 0.7)
    chroma_px: Range = (0.0, 3.0)
    sharpening: Range = (0.0, 0.8)

    apply = staticmethod(photograph)

    def __post_init__(self) -> None:
        _check(self)  # type: ignore[arg-type]  # ranges have the names of their draws

    def sample(self, shape: Shape, generator: torch.Generator) -> CameraParams:
        def drawn(limits: Range) -> Tensor:
            return uniform(limits, shape[:1], generator)

        return CameraParams(
            phase=torch.randint(PHASES, shape[:1], generator=generator),
            correction=drawn(self.correction),
            red_gain=drawn(self.red_gain),
            blue_gain=drawn(self.blue_gain),
            overlap=drawn(self.overlap),
            contrast=drawn(self.contrast),
            luma_px=drawn(self.luma_px),
            chroma_px=drawn(self.chroma_px),
            sharpening=drawn(self.sharpening),
        )
