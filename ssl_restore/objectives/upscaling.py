"""Super-resolution without pairs: photographs made smaller by the library, and the way back.

    I = store(resample(k * J) + noise),     mean |f(I) - J| + alpha CL + beta E softplus(-D(f(I)))

A part of the pictures is the plain cubic one of the benchmarks, the rest is as people have them:
softer or aliased, a little out of focus, noisy, stored as JPEG. The contrast CL draws f(I) towards
sharpened versions of J and away from slightly blurred ones, as features of the critic D see them,
which knows only the detail bands of Haar's transform.

Reference: Wu, Jiang and Liu, "A practical contrastive learning framework for single-image
super-resolution", TNNLS 2023, arXiv 2111.13924.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from degradations.blur import Blur
from degradations.jpeg import Jpeg
from degradations.noise import Noise
from degradations.resample import Resample
from degradations.sampling import degrade, degrade_share
from degradations.sensor import quantise
from ssl_restore.networks.critic import Critic
from ssl_restore.networks.upscaler import enlarged
from ssl_restore.objectives.adversarial import judged
from ssl_restore.objectives.pairs import Pairs, given, pairs_of
from ssl_restore.objectives.picture_contrast import USUAL, Contrasts, picture_contrast
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

SOFT = Blur(sigma_px=(0.3, 1.5), radius_px=(0.0, 1.5), length_px=(0.0, 0.0))
NOISE = Noise(gain=(0.0, 0.003), sigma=(0.0, 0.02))
FILES = Jpeg(quality=(40.0, 98.0))


@dataclass(frozen=True)
class Shares:
    """Shares of the pictures."""

    plain: float = 0.4  # cubic, in 8 bits, and nothing else; the others may be
    soft: float = 0.4
    noise: float = 0.4
    jpeg: float = 0.7


def smaller(clean: Tensor, scale: int, shares: Shares, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W) -> (B, 3, H / scale, W / scale), in 8 bits."""
    plain = torch.rand(len(clean), 1, 1, 1, generator=generator) < shares.plain
    cubic = degrade(clean, Resample(scale, (1.0, 1.0)), generator)
    soft = degrade_share(shares.soft, clean, SOFT, generator)
    other = degrade(soft, Resample(scale, (0.6, 1.5)), generator)
    other = quantise(degrade_share(shares.noise, other, NOISE, generator))
    other = degrade_share(shares.jpeg, other, FILES, generator)
    return quantise(torch.where(plain.to(clean.device), cubic, other))


def small_and_large(
    batch: Batch, generator: torch.Generator, *, scale: int, shares: Shares | None
) -> tuple[Tensor, Tensor]:
    """What the clean pictures of a batch became, and they; without shares those of its pairs."""
    if shares is None:
        return given(batch, generator)
    assert batch.clean is not None
    return smaller(batch.clean, scale, shares, generator), batch.clean


class Upscaling(nn.Module):
    """Terms: `restore`; `contrast` of a kind, where one is given; `prior` where `adversarial`.

    Args:
        restorer: What learns; its `scale` is how much larger its pictures are.
        critic: Whose features are contrasted, and whose scores are the prior.
        shares: Of kinds of pictures; None: they come in pairs.
        contrast: A kind of `picture_contrast`; "": none.
        contrasts: Of `pcl`.
        adversarial: Whether the critic's scores count.
    """

    def __init__(
        self,
        restorer: Restorer,
        critic: Critic,
        shares: Shares | None = Shares(),
        contrast: str = "",
        contrasts: Contrasts = USUAL,
        adversarial: bool = False,
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.critic = critic
        self.make = partial(small_and_large, scale=restorer.scale, shares=shares)
        self.contrast = contrast
        self.contrasts = contrasts
        self.adversarial = adversarial

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        pairs = self.prepare(batch, generator)
        truth, restored = pairs.truth, self.restorer(pairs.picture)
        terms = {"restore": (restored - truth).abs().mean()}
        if self.contrast:
            cubic = enlarged(pairs.picture, self.restorer.scale)
            terms["contrast"] = picture_contrast(
                self.contrast, self.critic, restored, truth, cubic, generator, self.contrasts
            )
        if self.adversarial:
            terms["prior"] = F.softplus(-judged(self.critic, restored)).mean()
        return terms

    def prepare(self, batch: Batch, generator: torch.Generator) -> Pairs:
        """The batch with its clean pictures made smaller."""
        return pairs_of(batch, self.make, generator)
