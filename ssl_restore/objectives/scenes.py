"""Scenes as cameras see them in rain: out of focus, behind mist, compressed; and files as they are.

    before the rain   J' = m (k * J) + (1 - m) J,   k * (J + points of light),   mist,   JPEG
    after it          I' = store(sharpen or soften(I)),   alike for what is restored

Photographs chosen for beauty are sharp, and what is sharp before a blurred ground is an object in
them: a restorer that has learned from nothing else keeps sharp streaks before such a ground.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from degradations.blur import Blur, BlurParams, blur_kernel
from degradations.color import luma, to_display, to_linear
from degradations.jpeg import Jpeg
from degradations.sampling import degrade_chosen, degrade_share, sample_params
from degradations.sensor import quantise
from degradations.types import Range, uniform
from degradations.veil import Veil

PARTLY = 0.4  # share of the pictures out of focus that are so in a part only
DEFOCUS = Blur(sigma_px=(0.5, 7.0), radius_px=(0.0, 9.0), length_px=(0.0, 0.0))
LIGHTS = Blur(sigma_px=(0.0, 2.0), radius_px=(2.0, 16.0), defocused=1.0, shaken=0.0)
LIGHT_COUNT: Range = (1.0, 5.0)  # natural logarithm
LIGHT_LEVEL: Range = (-3.5, 0.5)  # natural logarithm of the linear light of a disc
GRADED_SATURATION: Range = (0.0, 1.6)  # over that of the picture
GAIN_SPREAD = 0.2  # of the channels, natural logarithm
GROUP = 6  # points of light
GROUP_SPREAD: Range = (0.02, 0.5)  # standard deviation, over the side of the picture
SATURATION: Range = (0.0, 1.5)
BLOCKS = Jpeg(quality=(10.0, 60.0))
FILES = Jpeg(quality=(10.0, 95.0))
SCALED = 0.5  # share of batches that were stored at another size
CLIPS = 0.35  # and of those that were so in a clip
RESIDUALS = 0.5  # of which, of those whose coder kept the ground and coded what changed
CHANGES = Jpeg(quality=(5.0, 60.0))  # of what changed
GREY = 128 / 255  # that JPEG keeps
FLAT: Range = (0.01, 0.1)  # standard deviation of blocks, below which they become their mean
STORED_SIZE: Range = (0.4, 1.6)  # over that in which they are seen
REPEATED = 0.4  # share of what was stored smaller that is enlarged by repeating its pixels
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


def recoloured(clean: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W), a random `share` of them with their channels in another order: the same shapes
    in colours that no photograph has."""
    order = torch.rand(len(clean), 3, generator=generator).argsort(dim=1)
    chosen = torch.rand(len(clean), 1, generator=generator) < share
    order = torch.where(chosen, order, torch.arange(3)).to(clean.device)
    return clean.gather(1, order[..., None, None].expand_as(clean))


def graded(clean: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W), a random `share` of them with other gains of the channels and another
    saturation: g (Y + s (J - Y))."""
    return _on_share((clean,), share, generator, _graded)[0]


def _graded(images: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
    (clean,) = images
    gain = (GAIN_SPREAD * torch.randn(len(clean), 3, 1, 1, generator=generator)).exp()
    saturation = uniform(GRADED_SATURATION, (len(clean), 1, 1, 1), generator)
    return (gain.to(clean) * luma(clean).lerp(clean, saturation.to(clean)),)


def with_lights(clean: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W) display values, a random `share` of them out of focus with points of light among
    what they show, which become discs of the circle of confusion."""
    return _on_share((clean,), share, generator, _lit)[0]


def _lit(images: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
    (clean,) = images
    params = sample_params(LIGHTS, clean, generator)
    return (_blurred(clean, params, [_points(one, generator) for one in clean]),)


def _points(clean: Tensor, generator: torch.Generator) -> Tensor:
    """(3, H, W) linear light of the discs of points, in groups, in colours between their own and
    that of what is there."""
    height, width = clean.shape[-2:]
    count = int(uniform(LIGHT_COUNT, (), generator).exp())
    groups = torch.rand(2, 1 + count // GROUP, generator=generator)
    spread = uniform(GROUP_SPREAD, (), generator) * torch.randn(2, count, generator=generator)
    group = torch.randint(groups.shape[1], (count,), generator=generator)
    down, right = (groups[:, group] + spread) % 1
    y = (down * height).long().clamp_max(height - 1)  # what is just below 0 is 1 by rounding
    x = (right * width).long().clamp_max(width - 1)
    own = torch.rand(3, count, generator=generator) ** uniform(SATURATION, (), generator)
    there = clean[:, y, x].cpu()
    there = there / there.amax(dim=0).clamp_min(1 / 255)
    colour = own.lerp(there, torch.rand((), generator=generator))
    varied = 0.5 * torch.randn(count, generator=generator)
    level = (uniform(LIGHT_LEVEL, (), generator) + varied).exp() * colour
    points = torch.zeros(3, height, width).index_put_((torch.arange(3)[:, None], y, x), level)
    return points.to(clean)


def _blurred(clean: Tensor, params: BlurParams, points: Sequence[Tensor] | None = None) -> Tensor:
    """`degradations.blur` by the Fourier transform: several times as fast for large kernels; with
    points, (3, H, W) each, of which discs of so much light are added."""
    blurred = []
    for number, linear in enumerate(to_linear(clean)):
        kernel = blur_kernel(params, number)
        added = 0 if points is None else points[number] / kernel.square().sum()
        light = linear + added
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
    """A random `share` of them as strong compression has left them: of pictures, or of clips."""
    if torch.rand((), generator=generator) < 0.5:
        return degrade_share(share, clean, BLOCKS, generator)
    return _on_share((clean,), share, generator, low_rate)[0]


def low_rate(images: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
    """As clips of a low bit rate are: blocks of 16, 8 and 4 pixels a side that differ little from
    their mean become it, colours in larger ones than light.

    Of each picture by itself: a block in which rain is bright keeps its detail.
    """
    batch = len(images[0])
    limit = uniform(FLAT, (batch, 1, 1, 1), generator, log=True).to(images[0])
    shift = torch.randint(16, (2,), generator=generator).tolist()
    return tuple(_flattened(image, limit, (shift[0], shift[1])) for image in images)


def residual(images: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
    """As a coder keeps what has not changed and codes the rest coarsely: V + code(I - V).

    The last image is V, the ground, which stays as it is: (..., V) -> (V + code(... - V), V).
    """
    ground = images[-1]
    every = torch.ones(len(ground), dtype=torch.bool)
    differences = tuple(GREY + (image - ground) / 2 for image in images[:-1])
    coded = degrade_chosen(every, differences, CHANGES, generator)
    return *((ground + 2 * (one - GREY)).clamp(0, 1) for one in coded), ground


def _flattened(image: Tensor, limit: Tensor, shift: tuple[int, int]) -> Tensor:
    height, width = image.shape[-2:]
    below, beside = -(height + shift[0]) % 16, -(width + shift[1]) % 16
    whole = F.pad(image, (shift[1], beside, shift[0], below), mode="replicate")
    flat = whole
    for sides in ((4, 4), (8, 4), (4, 8), (8, 8), (16, 8), (8, 16), (16, 16)):
        mean = _blocks_of(F.avg_pool2d(whole, sides), sides)
        error = (whole - mean).square().mean(dim=1, keepdim=True)
        spread = F.avg_pool2d(error, sides).sqrt()
        flat = torch.where(_blocks_of((spread < limit).to(whole), sides) > 0, mean, flat)
    colour = F.avg_pool2d(flat, 4)
    colour = colour - colour.mean(dim=1, keepdim=True)
    flat = flat.mean(dim=1, keepdim=True) + F.interpolate(colour, flat.shape[-2:], mode="bilinear")
    return flat[..., shift[0] : shift[0] + height, shift[1] : shift[1] + width]


def _blocks_of(values: Tensor, sides: tuple[int, int]) -> Tensor:
    return values.repeat_interleave(sides[0], dim=-2).repeat_interleave(sides[1], dim=-1)


def _on_share(
    images: tuple[Tensor, ...],
    share: float,
    generator: torch.Generator,
    change: Callable[[tuple[Tensor, ...], torch.Generator], tuple[Tensor, ...]],
) -> tuple[Tensor, ...]:
    """The same random share of pictures that belong together, changed."""
    chosen = torch.rand(len(images[0]), generator=generator) < share
    where = chosen.nonzero()[:, 0].to(images[0].device)
    if not len(where):
        return images
    changed = change(tuple(image[where] for image in images), generator)
    pairs = zip(images, changed, strict=True)
    return tuple(image.index_copy(0, where, quantise(one)) for image, one in pairs)


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
    """The same random `share` of pictures that belong together stored as JPEG or in a clip, half of
    them at another size: blocks of what is on the web are seldom of eight pixels. Smaller ones are
    enlarged smoothly, or by repeating their pixels."""

    def coded(images: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        in_clip = torch.rand((), generator=generator) < CLIPS
        changes = torch.rand((), generator=generator) < RESIDUALS
        scaled = torch.rand((), generator=generator) < SCALED
        factor = float(uniform(STORED_SIZE, (1,), generator, log=True)) if scaled else 1.0
        size = images[0].shape[-2:]
        other = [max(8, round(side * factor)) for side in size]
        repeated = factor < 1 and torch.rand((), generator=generator) < REPEATED
        smaller = tuple(_resized(image, other) for image in images) if scaled else images
        if in_clip and changes:
            smaller = residual(smaller, generator)
        elif in_clip:
            smaller = low_rate(smaller, generator)
        else:
            every = torch.ones(len(images[0]), dtype=torch.bool)
            smaller = degrade_chosen(every, smaller, FILES, generator)
        if repeated:
            return tuple(F.interpolate(image, size, mode="nearest-exact") for image in smaller)
        return tuple(_resized(image, size) for image in smaller) if scaled else smaller

    return _on_share(images, share, generator, coded)


def _resized(image: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(image, tuple(size), mode="bilinear", antialias=True)
