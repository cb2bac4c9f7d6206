"""Supervision made by physics: noise drawn on clean photographs, and the way back.

I = J + n,   n Gaussian, Poisson-Gaussian, correlated over neighbouring pixels, or of any kind
loss = relative(charbonnier(restorer(I) - J))

Half of the pictures are stored as files are, in 8 bits, the rest keeps values beyond black and
white. Camera noise is correlated, because raw pixels are interpolated and compressed. The colours
of most photographs are so alike that a restorer takes what is not for noise: a share of J is made
more or less colourful, to black and white, with its colours exchanged. A share is grey, which is
another picture than one without colour: its three channels are one, and so is their noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from degradations.color import luma
from degradations.jpeg import Jpeg
from degradations.sampling import degrade_chosen, degrade_share
from degradations.sensor import quantise
from degradations.types import Degradation, uniform
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

STORED = 0.5
RECOLOURED = 0.5
COLOURFULNESS = (0.0, 3.0)  # 0: black and white, 1: as it is


@dataclass(frozen=True, kw_only=True)
class Noisy(Batch):
    """A batch with noise on its clean pictures, and what they shall become; (B, 3, H, W) both."""

    noisy: Tensor
    target: Tensor


class SyntheticNoise(nn.Module):
    """Terms: `restore`.  Each of the `sorts` of noise (a prior and its share) gets its share of the
    pictures, what is left stays clean; then `jpeg` is the share that is compressed, and `grey` the
    share of all that is grey."""

    def __init__(
        self,
        restorer: Restorer,
        sorts: tuple[tuple[Degradation, float], ...],
        jpeg: float,
        grey: float = 0.0,
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.sorts = sorts
        self.jpeg = jpeg
        self.grey = grey

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        drawn = batch if isinstance(batch, Noisy) else self.prepare(batch, generator)
        return self.compare(drawn.noisy, drawn.target)

    def prepare(self, batch: Batch, generator: torch.Generator) -> Noisy:
        """The batch with noise on its clean pictures."""
        assert batch.clean is not None
        noisy, target = self.pair(batch.clean, generator)
        return Noisy(**vars(batch), noisy=noisy, target=target)

    def pair(self, photographs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noisy pictures and what they shall become, (B, 3, H, W) both."""
        photographs = recoloured(photographs, RECOLOURED, generator)
        grey = None
        if self.grey:
            grey = torch.rand(len(photographs), generator=generator) < self.grey
            photographs = as_grey(photographs, grey)
        drawn, stored = torch.rand(2, len(photographs), generator=generator)
        noisy, before = photographs, 0.0
        for sort, share in self.sorts:
            chosen = (drawn >= before) & (drawn < before + share)
            (noisy,) = degrade_chosen(chosen, (noisy,), sort, generator)
            before += share
        if grey is not None:
            noisy = one_for_all(noisy, grey, generator)
        in_file = (stored < STORED).view(-1, 1, 1, 1).to(noisy.device)
        noisy = torch.where(in_file, quantise(noisy), noisy)
        return degrade_share(self.jpeg, noisy, Jpeg(quality=(60.0, 98.0)), generator), photographs

    def compare(self, noisy: Tensor, clean: Tensor) -> dict[str, Tensor]:
        return {"restore": relative(charbonnier(self.restorer(noisy) - clean), floor=0.01)}


def recoloured(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A random `share` of (B, 3, H, W) with other colours: grey + s * (image - grey), grey the mean
    of the channels and s from `COLOURFULNESS`, cut off at black and white, in another order."""
    count = len(images)
    chosen = torch.rand(count, generator=generator) < share
    strength = uniform(COLOURFULNESS, (count, 1, 1, 1), generator).to(images.device)
    order = torch.rand(count, 3, generator=generator).argsort(dim=1)
    grey = images.mean(dim=1, keepdim=True)
    other = (grey + strength * (images - grey)).clamp(0, 1)
    other = other.gather(1, order.to(images.device).view(-1, 3, 1, 1).expand_as(other))
    return torch.where(chosen.view(-1, 1, 1, 1).to(images.device), other, images)


def as_grey(images: Tensor, chosen: Tensor) -> Tensor:
    """The chosen images (B,) of (B, 3, H, W) as their luma, in all three channels."""
    return torch.where(chosen.view(-1, 1, 1, 1).to(images.device), luma(images), images)


def one_for_all(images: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """The chosen images (B,) of (B, 3, H, W) with one of their channels, drawn, in all three: grey
    pictures whose noise is as strong as it was."""
    channel = torch.randint(3, (len(images), 1, 1, 1), generator=generator).to(images.device)
    one = images.gather(1, channel.expand(-1, 1, *images.shape[2:]))
    return torch.where(chosen.view(-1, 1, 1, 1).to(images.device), one, images)
