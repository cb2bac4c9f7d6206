"""JPEG: what is lost when a picture is stored, all of it but the entropy coding, which loses none.

    I = round(D^T (q * round(D P D^T / q)) D),     q = clip(floor((scale Q + 50) / 100), 1, 255)

P are the 8x8 blocks of the rounded Y, Cb and Cr (each channel of the colour at half the size with
4:2:0), D is the discrete cosine transform, Q the table of the standard's annex K, and libjpeg's
scale is 5000 / quality below 50 and 200 - 2 quality above. Display values; 8 bits go in and come
out, as of `sensor.quantise`, and the transform rounds where that of libjpeg does. Every rounding
has the gradient of the identity (straight-through): the image receives that of the transform
without its loss, and `quality` that of the error, which a coarser table makes larger.

References: ITU-T T.81 (1992), tables K.1 and K.2, and A.3.3 (transform); JFIF 1.02 (colours);
Shin and Song, "JPEG-resistant adversarial images", NIPS workshops 2017 (differentiable JPEG).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .sensor import quantise
from .types import Range, Shape, check_image, check_values, per_image, uniform

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_CORNER = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
_CHROMA = tuple(
    tuple(_CHROMA_CORNER[row][column] if max(row, column) < 4 else 99 for column in range(8))
    for row in range(8)
)
_KR, _KB = 0.299, 0.114  # ITU-R BT.601, as JFIF has it
_FIRST_PASS = 4 * math.sqrt(8)  # steps of the numbers between libjpeg's two passes of a transform
_TIE = 1e-3 / 4  # below every distance from a tie that sums of 8-bit values have; above float32's


@dataclass(frozen=True)
class JpegParams:
    """Parameters of `store_jpeg`, one row an image.

    Example:
        >>> JpegParams(quality=torch.tensor([75.0])).subsampled
        True
    """

    quality: Tensor  # (B,) from 1 to 100, as of libjpeg
    subsampled: bool = True  # 4:2:0: colour at half the size along each axis; else 4:4:4


def _straight(values: Tensor, rounded: Tensor) -> Tensor:
    return values + (rounded - values).detach()


def _rounded(values: Tensor) -> Tensor:
    """To the nearest whole number, ties away from zero (also those that float32 just misses)."""
    return _straight(values, values.sign() * (values.abs() + 0.5 + _TIE).floor())


def _fixed(values: Tensor, steps: float) -> Tensor:
    return _rounded(values * steps) / steps


def quantisation(quality: Tensor, table: tuple[tuple[int, ...], ...] = _LUMA) -> Tensor:
    """q, the steps by which the waves of a block are rounded.

        q = clip(floor((scale Q + 50) / 100), 1, 255)

    Args:
        quality: (B,) from 1 to 100, as of libjpeg.
        table: Q (8, 8), that of luma or of colour.

    Returns:
        (B, 8, 8), whole numbers from 1 to 255.

    Example:
        >>> quantisation(torch.tensor([50.0]))[0, 0]
        tensor([16., 11., 10., 16., 24., 40., 51., 61.])
    """
    low = 5000 / quality
    scale = torch.where(quality < 50, _straight(low, low.floor()), 200 - 2 * quality)
    scaled = (quality.new_tensor(table) * scale.view(-1, 1, 1) + 50) / 100
    return _straight(scaled, scaled.floor()).clamp(1, 255)


def _cosines(like: Tensor) -> Tensor:
    """D (8, 8), orthonormal: row u is the cosine of u half-waves in a block."""
    place = torch.arange(8, device=like.device, dtype=like.dtype)
    waves = torch.cos((2 * place + 1) * place[:, None] * (math.pi / 16)) / 2
    return torch.cat([waves[:1] / math.sqrt(2), waves[1:]])


def _coded(plane: Tensor, table: Tensor) -> Tensor:
    """A plane (B, C, H, W) from 0 to 255, stored and read; sides need not be multiples of 8."""
    height, width = plane.shape[-2:]
    padded = functional.pad(plane - 128, (0, -width % 8, 0, -height % 8), mode="replicate")
    blocks = padded.unflatten(2, (-1, 8)).unflatten(4, (-1, 8))  # (B, C, rows, 8, columns, 8)
    cosines, steps = _cosines(plane), table[:, None, None, :, None, :]
    across = _fixed(torch.einsum("vy,bcixjy->bcixjv", cosines, blocks), _FIRST_PASS)
    waves = _fixed(torch.einsum("ux,bcixjv->bciujv", cosines, across), 8)
    quantised = _rounded(waves / steps) * steps
    down = _fixed(torch.einsum("ux,bciujv->bcixjv", cosines, quantised), _FIRST_PASS)
    plane = torch.einsum("vy,bcixjv->bcixjy", cosines, down)
    plane = plane.flatten(4, 5).flatten(2, 3)[..., :height, :width] + 128
    return _rounded(_straight(plane, plane.clamp(0, 255)))


def _halved(plane: Tensor) -> Tensor:
    """Means of 2x2 pixels; ties fall and rise by turns along a row, as libjpeg has it."""
    height, width = plane.shape[-2:]
    even = functional.pad(plane, (0, width % 2, 0, height % 2), mode="replicate")
    mean = functional.avg_pool2d(even, 2)
    turns = torch.arange(mean.shape[-1], device=plane.device) % 2
    return _straight(mean, (mean + (1 + turns) / 4 + _TIE).floor())


def _doubled(plane: Tensor, size: torch.Size) -> Tensor:
    """libjpeg's triangle filter, which is bilinear interpolation."""
    height, width = size
    wide = functional.interpolate(plane, scale_factor=2, mode="bilinear", align_corners=False)
    return _rounded(wide[..., :height, :width])


def store_jpeg(image: Tensor, params: JpegParams) -> Tensor:
    """The image as its JPEG file shows it.

    Args:
        image: (B, 3, H, W), or (B, 1, H, W) of a grey file; display values.
        params: one row an image.

    Returns:
        The same shape: values that 8 bits hold.

    Raises:
        ValueError: for another number of channels, and a quality that is not from 1 to 100.

    Example:
        >>> ramp = torch.linspace(0, 1, 8).view(1, 1, 1, 8)
        >>> 255 * store_jpeg(ramp, JpegParams(torch.tensor([30.0])))
        tensor([[[[  1.,  33.,  77., 113., 143., 179., 223., 255.]]]])
    """
    check_image(image)
    check_values("quality", params.quality, "of libjpeg", 1, 100)
    if image.shape[1] not in {1, 3}:
        raise ValueError(f"a JPEG has 1 or 3 channels (B, C, H, W), got {tuple(image.shape)}")
    quality = per_image(params.quality, image).flatten()
    pixels = 255 * quantise(image)
    if len(pixels[0]) == 1:
        return quantise(_coded(pixels, quantisation(quality)) / 255)
    red, green, blue = pixels.split(1, dim=1)
    y = _KR * red + (1 - _KR - _KB) * green + _KB * blue
    cb, cr = (blue - y) / (2 - 2 * _KB) + 128, (red - y) / (2 - 2 * _KR) + 128
    y, colour = _rounded(y), _rounded(torch.cat([cb, cr], dim=1))
    y = _coded(y, quantisation(quality))
    table = quantisation(quality, _CHROMA)
    if params.subsampled:
        colour = _doubled(_coded(_halved(colour), table), image.shape[-2:])
    else:
        colour = _coded(colour, table)
    cb, cr = (colour - 128).split(1, dim=1)
    red, blue = y + (2 - 2 * _KR) * cr, y + (2 - 2 * _KB) * cb
    green = (y - _KR * red - _KB * blue) / (1 - _KR - _KB)
    return quantise(_rounded(torch.cat([red, green, blue], dim=1)) / 255)


@dataclass(frozen=True)
class Jpeg:
    """Prior over the qualities of pictures on the web; cameras and browsers halve the colour.

    Example:
        >>> Jpeg(quality=(80, 80)).sample((2, 3, 8, 8), torch.Generator().manual_seed(0)).quality
        tensor([80., 80.])
    """

    quality: Range = (30.0, 95.0)
    subsampled: bool = True

    apply = staticmethod(store_jpeg)

    def __post_init__(self) -> None:
        check_values("quality", self.quality, "of libjpeg", 1, 100)

    def sample(self, shape: Shape, generator: torch.Generator) -> JpegParams:
        return JpegParams(uniform(self.quality, shape[:1], generator).round(), self.subsampled)
