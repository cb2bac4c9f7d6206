"""Noise as cameras make it: of the sensor, then developed with the picture.

    I = develop(raw + n) + noise_only (J - develop(raw)),     raw = to_raw(J)

n is that of `raw_noise`, the rest that of `camera`. Display values. What comes out of a camera is
correlated over neighbours and colours by demosaicing, blotchy in colour by smoothing, and stronger
where the tone curve is steep. With `noise_only` of 1 the picture, which has been through a camera,
keeps its detail and gets the camera's noise alone; with 0 it goes through the camera whole. JPEG,
the last step, is `jpeg.Jpeg`.

References: Brooks et al., "Unprocessing images for learned raw denoising", CVPR 2019; Guo, Yan,
Zhang, Zuo and Zhang, "Toward convolutional blind denoising of real photographs", CVPR 2019 (noise
through the camera's own steps).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from .camera import Camera, CameraParams, develop, to_raw
from .raw_noise import RawNoise, RawNoiseParams, add_raw_noise
from .types import Range, Shape, check_map, check_values, per_image, uniform


@dataclass(frozen=True)
class CameraNoiseParams:
    """Parameters of `add_camera_noise`, one row an image.

    Example:
        >>> params = CameraNoise(iso=(800, 800)).sample((1, 3, 4, 4), torch.Generator())
        >>> params.raw.iso, params.raw.eps.shape
        (tensor([800.]), torch.Size([1, 1, 4, 4]))
    """

    raw: RawNoiseParams
    camera: CameraParams
    noise_only: Tensor  # (B,) share of what the camera does to the picture that is undone


def add_camera_noise(image: Tensor, params: CameraNoiseParams) -> Tensor:
    """develop(raw + n) + noise_only (J - develop(raw)).

    Args:
        image: (B, 3, H, W), display values.
        params: one row an image.

    Returns:
        (B, 3, H, W), display values, not clamped.

    Raises:
        ValueError: for another number of channels, parameters out of their range, and draws of
            another size than the picture.

    Example:
        >>> image, noise = torch.full((1, 3, 64, 64), 0.4), []
        >>> for iso in (100, 6400):
        ...     stream = torch.Generator().manual_seed(0)
        ...     camera = CameraNoise(iso=(iso, iso), hot_share=(0, 0))
        ...     noise.append(degrade(image, camera, stream) - image)
        >>> bool(noise[1].std() > 7 * noise[0].std())
        True
    """
    raw = to_raw(image, params.camera)
    check_map("eps", params.raw.eps, image)
    check_values("noise_only", params.noise_only, "share", 0, 1)
    noisy = develop(add_raw_noise(raw, params.raw), params.camera)
    lost = image - develop(raw, params.camera)
    return noisy + per_image(params.noise_only, image) * lost


@dataclass(frozen=True)
class CameraNoise:
    """Prior over cameras and their ISO: the ranges of `RawNoise` and of `Camera`, and its own.

    Example:
        >>> CameraNoise(chroma_px=(2, 2)).sample((1, 3, 4, 4), torch.Generator()).camera.chroma_px
        tensor([2.])
    """

    noise_only: Range = (1.0, 1.0)
    iso: Range = RawNoise.iso
    full_well: Range = RawNoise.full_well
    read_electrons: Range = RawNoise.read_electrons
    row_banding: Range = RawNoise.row_banding
    column_banding: Range = RawNoise.column_banding
    hot_share: Range = RawNoise.hot_share
    correction: Range = Camera.correction
    red_gain: Range = Camera.red_gain
    blue_gain: Range = Camera.blue_gain
    overlap: Range = Camera.overlap
    contrast: Range = Camera.contrast
    luma_px: Range = Camera.luma_px
    chroma_px: Range = Camera.chroma_px
    sharpening: Range = Camera.sharpening

    apply = staticmethod(add_camera_noise)

    def __post_init__(self) -> None:
        check_values("noise_only", self.noise_only, "share", 0, 1)
        self._of(RawNoise)
        self._of(Camera)

    def sample(self, shape: Shape, generator: torch.Generator) -> CameraNoiseParams:
        batch, _, height, width = shape
        return CameraNoiseParams(
            raw=self._of(RawNoise).sample((batch, 1, height, width), generator),
            camera=self._of(Camera).sample(shape, generator),
            noise_only=uniform(self.noise_only, (batch,), generator),
        )

    def at_frame(
        self,
        params: CameraNoiseParams,
        number: int,
        shape: Shape,
        *,
        fps: float | None = None,
        generator: torch.Generator,
    ) -> CameraNoiseParams:
        """Of a later frame: the camera and its hot pixels stay, the rest is drawn anew."""
        batch, _, height, width = shape
        noise, size = self._of(RawNoise), (batch, 1, height, width)
        raw = noise.at_frame(params.raw, number, size, fps=fps, generator=generator)
        return replace(params, raw=raw)

    def _of(self, prior: type[Any]) -> Any:
        """The part of this prior that is one of these."""
        return prior(**{field.name: getattr(self, field.name) for field in fields(prior)})
