"""A denoiser on every s-th pixel, for noise that neighbouring pixels share.

    restored = merge(denoise(split(I)))

`split` sorts the pixels into s^2 pictures of 1/s the size, pixel-shuffle down-sampling: noise whose
correlation ends within s pixels is white in each, and a loss that takes pixels for independent does
not collapse. The price is texture finer than s pixels, which folds over. Reference: Zhou et al.,
"When AWGN-based denoiser meets real noises", AAAI 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_restore.networks import denoiser
from ssl_restore.restorer import Restorer, Wrapped


class Shuffled(Wrapped):
    """image (B, 3, H, W), sides multiples of `stride`, -> restored, the same shape."""

    def __init__(self, inner: Restorer, shuffle: int) -> None:
        super().__init__(inner)
        self.shuffle = shuffle
        self.stride = shuffle * inner.stride
        self.reach = shuffle * inner.reach + shuffle - 1

    def forward(self, image: Tensor) -> Tensor:
        return merge(self.inner(split(image, self.shuffle)), self.shuffle)


def split(image: Tensor, step: int) -> Tensor:
    """(B, C, H, W) -> (B step^2, C, H / step, W / step): every step-th pixel, from each start."""
    if step == 1:
        return image
    batch, channels, height, width = image.shape
    parts = F.pixel_unshuffle(image, step).unflatten(1, (channels, step**2))
    small = parts.transpose(1, 2).reshape(batch * step**2, channels, height // step, width // step)
    return small.contiguous(memory_format=torch.channels_last)


def merge(parts: Tensor, step: int) -> Tensor:
    """The inverse of `split`."""
    if step == 1:
        return parts
    count, channels, height, width = parts.shape
    stacked = parts.reshape(count // step**2, step**2, channels, height, width).transpose(1, 2)
    return F.pixel_shuffle(stacked.reshape(-1, channels * step**2, height, width), step)


def build(*, width: int = 32, blocks: tuple[int, ...] = (2, 2, 4), shuffle: int = 2) -> Shuffled:
    """A `denoiser` of `width` channels and `blocks` on every `shuffle`-th pixel."""
    if shuffle < 1:
        raise ValueError(f"shuffle must be at least 1, got {shuffle}")
    return Shuffled(denoiser.build(width=width, blocks=blocks), shuffle)
