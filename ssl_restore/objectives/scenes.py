"""Scenes as cameras see them in rain: out of focus, behind mist, compressed; and files as they are.

    before the rain   J' = m (k * J) + (1 - m) J,   mist,   JPEG
    after it          I' = store(sharpen or soften(I)),   alike for what is restored

Photographs chosen for beauty are sharp, and what is sharp before a blurred ground is an object in
them: a restorer that has learned from nothing else keeps sharp streaks before such a ground.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from degradations.blur import Blur, BlurParams, blur_kernel
from degradations.color import to_display, to_linear
from degradations.jpeg import Jpeg
from degradations.sampling import degrade_chosen, degrade_share, sample_params
from degradations.sensor import quantise
from degradations.types import Range, uniform
from degradations.veil import Veil

PARTLY = 0.4  # share of the pictures out of focus that are so in a part only
DEFOCUS = Blur(sigma_px=(0.5, 7.0), radius_px=(0.0, 9.0), length_px=(0.0, 0.0))
BLOCKS = Jpeg(quality=(10.0, 60.0))
FILES = Jpeg(quality=(10.0, 95.0))
SCALED = 0.5  # share of stored pictures that were stored at another size
STORED_SIZE: Range = (0.5, 1.6)  # over that in which they are seen
SOFT_SIGMA_PX: Range = (0.4, 1.3)
SHARPER: Range = (0.2, 1.5)


def out_of_focus(clean: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W) display values, a random `share` of them blurred, in a part or all over."""
    chosen = (torch.rand(len(clean), generator=generator) < share).nonzero()[:, 0]
    if not len(chosen):
        return clean
    sharp = clean[chosen.to(clean.device)]
    blurred = _blurred(sharp, sample_params(DEFOCUS, sharp, generator))
    coarse = torch.randn(len(chosen), 1, 3, 3, generator=generator)
    part = torch.sigmoid(8 * F.interpolate(coarse, clean.shape[-2:], mode="bicubic"))
    whole = torch.rand(len(chosen), 1, 1, 1, generator=generator) >= PARTLY
    mask = torch.where(whole, 1.0, part).to(clean.device)
    return clean.index_copy(0, chosen.to(clean.device), sharp + mask * (blurred - sharp))


def _blurred(clean: Tensor, params: BlurParams) -> Tensor:
    """`degradations.blur` by the Fourier transform: several times as fast for large kernels."""
    blurred = []
    for number, light in enumerate(to_linear(clean)):
        kernel = blur_kernel(params, number)
        reach = min(len(kernel) // 2, min(light.shape[-2:]) - 1)
        wide = F.pad(light[None], (reach,) * 4, mode="reflect")[0]
        product = torch.fft.rfft2(wide) * torch.fft.rfft2(kernel, s=wide.shape[-2:])
        spread = torch.fft.irfft2(product, s=wide.shape[-2:])
        blurred.append(spread.roll((-(len(kernel) // 2),) * 2, (-2, -1)))
        blurred[-1] = blurred[-1][:, reach:, reach:][:, : light.shape[-2], : light.shape[-1]]
    return to_display(torch.stack(blurred).clamp_min(0))


def in_mist(clean: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A random `share` of them behind a veil that belongs to the scene."""
    return degrade_share(share, clean, Veil(), generator)


def blocky(clean: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A random `share` of them as strong compression has left them."""
    return degrade_share(share, clean, BLOCKS, generator)


def resampled(
    images: tuple[Tensor, ...], share: float, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """The same random `share` of pictures that belong together sharpened, or as soft as enlarged
    ones: I + s (I - g * I), s = -1 for soft ones."""
    batch = len(images[0])
    chosen = torch.rand(batch, generator=generator) < share
    sigma = uniform(SOFT_SIGMA_PX, (batch,), generator)
    soft = torch.rand(batch, generator=generator) < 0.6
    gain = torch.where(soft, -1.0, uniform(SHARPER, (batch,), generator)) * chosen
    if not chosen.any():
        return images
    taps = torch.arange(-4.0, 5.0)
    kernel = (-(taps**2) / (2 * sigma[:, None] ** 2)).exp()
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(images[0])
    gain = gain.view(-1, 1, 1, 1).to(images[0])

    def changed(image: Tensor) -> Tensor:
        size = image.shape
        smooth = F.pad(image, (4, 4, 4, 4), mode="reflect").transpose(0, 1)  # images as groups
        smooth = F.conv2d(smooth, kernel.view(-1, 1, 9, 1), groups=batch)
        smooth = F.conv2d(smooth, kernel.view(-1, 1, 1, 9), groups=batch).transpose(0, 1)
        return image + gain * (image - smooth.reshape(size))

    return tuple(changed(image) for image in images)


def stored(
    images: tuple[Tensor, ...], share: float, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """The same random `share` of pictures that belong together stored as JPEG, half of them at
    another size: blocks of pictures from the web are seldom of eight pixels."""
    chosen = torch.rand(len(images[0]), generator=generator) < share
    scaled = chosen & (torch.rand(len(images[0]), generator=generator) < SCALED)
    images = degrade_chosen(chosen & ~scaled, images, FILES, generator)
    where = scaled.nonzero()[:, 0].to(images[0].device)
    if not len(where):
        return images
    size = images[0].shape[-2:]
    factor = float(uniform(STORED_SIZE, (1,), generator, log=True))
    other = [max(8, round(side * factor)) for side in size]
    smaller = tuple(_resized(image[where], other) for image in images)
    every = torch.ones(len(where), dtype=torch.bool)
    smaller = degrade_chosen(every, smaller, FILES, generator)
    return tuple(
        image.index_copy(0, where, quantise(_resized(one, size)))
        for image, one in zip(images, smaller, strict=True)
    )


def _resized(image: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(image, tuple(size), mode="bilinear", antialias=True)
