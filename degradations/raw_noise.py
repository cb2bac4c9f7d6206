"""Noise of a sensor by its ISO: of light, of the read-out, of rows and columns, and hot pixels.

    I = J + sqrt(gain max(J, 0) + sigma^2) eps + sigma (rows r + columns c) + hot v
    gain = ISO / 100 / full_well,   sigma = read_electrons gain

Linear light of the sensor, 1 where a pixel is full at ISO 100: a photon is the electron that it
frees, and amplification makes both kinds of noise stronger. r and c are one value for each row and
column (banding); a hot pixel adds what leaks into it in the dark. All but hot pixels are zero-mean.
Never clamped. Hot pixels are the same in all frames of a shot, banding is not.

References: Foi, Trimeche, Katkovnik and Egiazarian, IEEE TIP 2008, eq. 3; Wei, Fu, Yang and Huang,
"A physics-based noise formation model for extreme low-light raw denoising", CVPR 2020
(electrons, gain, banding); EMVA standard 1288, release 4.0 (dark current, of hot pixels).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .lost_pixels import LOST, hit_pixels, sample_ranks
from .noise import NoiseParams, add_noise
from .types import Range, Shape, check_image, check_map, check_values, follow, per_image, uniform

_ELECTRONS = "electrons"
_OF_READ = "times the read noise"


@dataclass(frozen=True)
class RawNoiseParams:
    """Parameters of `add_raw_noise`, one row an image.

    Example:
        >>> RawNoise(iso=(400, 400)).sample((1, 1, 2, 2), torch.Generator().manual_seed(0)).iso
        tensor([400.])
    """

    eps: Tensor  # (B, C, H, W) standard normal
    iso: Tensor  # (B,)
    full_well: Tensor  # (B,) electrons of a full pixel at ISO 100
    read_electrons: Tensor  # (B,) standard deviation of the read-out
    row_banding: Tensor  # (B,) times the read noise
    column_banding: Tensor  # (B,) times the read noise
    row_eps: Tensor  # (B, H) standard normal
    column_eps: Tensor  # (B, W) standard normal
    hot_share: Tensor  # (B,) chance that a pixel is hot
    rank: Tensor  # (B, 1, H, W) whole number, uniform below 2^24: hot where below share * 2^24
    value: Tensor  # (B, 1, H, W) what a hot pixel adds


def noise_of_iso(params: RawNoiseParams) -> tuple[Tensor, Tensor]:
    """gain and sigma (B,) of the variance gain J + sigma^2.

    Args:
        params: one row an image.

    Returns:
        Light of one electron, and the deviation of the read-out, units of the image range.

    Example:
        >>> stream = torch.Generator().manual_seed(0)
        >>> camera = RawNoise(iso=(800, 800), full_well=(1e4, 1e4), read_electrons=(2, 2))
        >>> noise_of_iso(camera.sample((1, 1, 2, 2), stream))
        (tensor([0.0008]), tensor([0.0016]))
    """
    gain = params.iso / (100 * params.full_well)
    return gain, params.read_electrons * gain


def add_raw_noise(image: Tensor, params: RawNoiseParams) -> Tensor:
    """J + sqrt(gain max(J, 0) + sigma^2) eps + sigma (rows r + columns c) + hot v.

    Args:
        image: (B, C, H, W), linear light of the sensor: one channel of a mosaic, or more.
        params: one row an image.

    Returns:
        (B, C, H, W), not clamped.

    Raises:
        ValueError: for parameters out of their range, and draws of another size than the picture.

    Example:
        >>> stream, flat = torch.Generator().manual_seed(0), torch.full((1, 1, 64, 64), 0.5)
        >>> camera = RawNoise(iso=(6400, 6400), full_well=(2e4, 2e4), hot_share=(0, 0))
        >>> noisy = add_raw_noise(flat, camera.sample(flat.shape, stream))
        >>> round(noisy.std().item(), 2)
        0.04
    """
    check_image(image)
    _check(params, image)
    params = follow(params, image)
    gain, sigma = noise_of_iso(params)
    grain = add_noise(image, NoiseParams(params.eps, gain, sigma))
    rows = per_image(params.row_banding, image) * params.row_eps[:, None, :, None]
    columns = per_image(params.column_banding, image) * params.column_eps[:, None, None]
    hot = hit_pixels(image, params.hot_share, params.rank) * params.value
    return grain + per_image(sigma, image) * (rows + columns) + hot


def _check(params: RawNoiseParams, image: Tensor) -> None:
    for name in ("eps", "rank", "value"):
        check_map(name, getattr(params, name), image)
    for name, side in (("row_eps", 2), ("column_eps", 3)):
        values = getattr(params, name)
        if tuple(values.shape) != (len(image), image.shape[side]):
            raise ValueError(
                f"{name} must have the shape {(len(image), image.shape[side])} of its picture "
                f"{tuple(image.shape)}, got {tuple(values.shape)}"
            )
    check_values("iso", params.iso, "ISO")
    check_values("full_well", params.full_well, _ELECTRONS, above=True)
    check_values("read_electrons", params.read_electrons, _ELECTRONS)
    check_values("row_banding", params.row_banding, _OF_READ)
    check_values("column_banding", params.column_banding, _OF_READ)
    check_values("hot_share", params.hot_share, LOST, 0, 1)


@dataclass(frozen=True)
class RawNoise:
    """Prior over sensors, from those of telephones to full frame, and over their ISO.

    Example:
        >>> params = RawNoise(iso=(100, 100)).sample((1, 1, 4, 6), torch.Generator().manual_seed(0))
        >>> params.row_eps.shape, params.column_eps.shape
        (torch.Size([1, 4]), torch.Size([1, 6]))
    """

    iso: Range = (100.0, 12800.0)  # log-uniform
    full_well: Range = (6e3, 6e4)  # log-uniform
    read_electrons: Range = (1.0, 6.0)
    row_banding: Range = (0.0, 0.4)
    column_banding: Range = (0.0, 0.4)
    hot_share: Range = (0.0, 1e-3)

    apply = staticmethod(add_raw_noise)

    def __post_init__(self) -> None:
        check_values("iso", self.iso, "ISO", above=True)
        check_values("full_well", self.full_well, _ELECTRONS, above=True)
        check_values("read_electrons", self.read_electrons, _ELECTRONS)
        check_values("row_banding", self.row_banding, _OF_READ)
        check_values("column_banding", self.column_banding, _OF_READ)
        check_values("hot_share", self.hot_share, LOST, 0, 1)

    def sample(self, shape: Shape, generator: torch.Generator) -> RawNoiseParams:
        batch, _, height, width = shape

        def drawn(limits: Range, *, log: bool = False) -> Tensor:
            return uniform(limits, (batch,), generator, log=log)

        def normal(*size: int) -> Tensor:
            return torch.randn(size, generator=generator)

        return RawNoiseParams(
            eps=normal(*shape),
            iso=drawn(self.iso, log=True),
            full_well=drawn(self.full_well, log=True),
            read_electrons=drawn(self.read_electrons),
            row_banding=drawn(self.row_banding),
            column_banding=drawn(self.column_banding),
            row_eps=normal(batch, height),
            column_eps=normal(batch, width),
            hot_share=drawn(self.hot_share),
            rank=sample_ranks(shape, generator),
            value=torch.rand(batch, 1, height, width, generator=generator),
        )

    def at_frame(
        self,
        params: RawNoiseParams,
        number: int,
        shape: Shape,
        *,
        fps: float | None = None,
        generator: torch.Generator,
    ) -> RawNoiseParams:
        """Of a later frame: the camera and its hot pixels stay, the rest is drawn anew."""
        drawn = self.sample(shape, generator)
        return replace(params, eps=drawn.eps, row_eps=drawn.row_eps, column_eps=drawn.column_eps)
