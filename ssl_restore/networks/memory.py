"""A memory of prototypes, which features are compared with and replaced by, at each pixel.

    w_i = exp(cos(q, m_i) / T) / sum_j exp(cos(q, m_j) / T),     read-out h = sum_i w'_i m_i
    w'_i = s_i / sum_j s_j,     s_i = max(w_i - lambda, 0) w_i / (|w_i - lambda| + eps)

q are the features of one pixel divided by their root mean square, m_i the N prototypes. Weights
below lambda vanish: prototypes that are far away give nothing. eps makes the cut continuous.

There are three levels. Prototypes of parts are learned; those of instances are weighted means of
parts, those of semantics weighted means of instances, of which the weights are learned: they begin
as means of an equal share of the level below. A pixel is compared with all prototypes of all
levels and with no other pixel, so that a tile computes what the whole picture computes.

The publication's temperature is 1, for 2000 prototypes: with a few dozen, addressing by a cosine
alone would be nearly even, and nothing would fall below lambda. Here it is `TEMPERATURE`.

References: Gong et al., "Memorizing normality to detect anomaly: memory-augmented deep autoencoder
for unsupervised anomaly detection", ICCV 2019, eqs. 3 to 7; Zhang, Gu and Zhu, "Memory augment is
all you need for image restoration", arXiv 2309.01377 (three levels).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = ("part", "instance", "semantic")
TEMPERATURE = 0.1  # of cosine similarities
SHRINKAGE = 0.0025  # lambda
EPS = 1e-4  # of the cut, in units of a weight: its slope is lambda / eps, and rounding stays small
OWN = 4.0  # logit by which a summary begins with its share of the level below
LEAST = 1e-6  # square of a norm, and sum of weights, that is divided by


def normalised(features: Tensor) -> Tensor:
    """q: features (B, C, H, W) over their root mean square at each pixel, float32 at least."""
    precise = features.to(torch.promote_types(features.dtype, torch.float32))
    return precise * (precise.square().mean(dim=1, keepdim=True) + LEAST).rsqrt()


def shrunk(weights: Tensor, threshold: float = SHRINKAGE) -> Tensor:
    """w': weights (B, N, H, W) without those below the threshold, summing to one over N."""
    if not threshold:
        return weights
    above = weights - threshold
    kept = F.relu(above) * weights / (above.abs() + EPS)
    return kept / kept.sum(dim=1, keepdim=True).clamp_min(LEAST)


def addressing(query: Tensor, prototypes: Tensor, shrinkage: float = SHRINKAGE) -> Tensor:
    """Queries (B, C, H, W) and prototypes (N, C) -> weights w' (B, N, H, W)."""
    known = F.normalize(prototypes.to(query.dtype), dim=1)[:, :, None, None]
    cosine = F.conv2d(F.normalize(query, dim=1), known)
    return shrunk((cosine / TEMPERATURE).softmax(dim=1), shrinkage)


def perplexity(weights: Tensor) -> Tensor:
    """Prototypes that a pixel uses, exp(-sum_i w_i log w_i): weights (B, N, H, W) -> scalar.

    The mean over pixels: 1 where each takes one prototype, N where each takes all alike.
    """
    return torch.special.entr(weights).sum(dim=1).exp().mean()


@dataclass(frozen=True)
class Reading:
    """What a memory made of features: of each level in the order of `LEVELS`."""

    query: Tensor  # (B, C, H, W)
    weights: tuple[Tensor, ...]  # (B, N, H, W), N prototypes of the level
    read: tuple[Tensor, ...]  # (B, C, H, W)

    def distance(self) -> Tensor:
        """Memory-reconstruction loss: mean (q - h)^2 over all levels, scalar."""
        return torch.stack([(self.query - h).square().mean() for h in self.read]).mean()


class Memory(nn.Module):
    """f + fuse(h of all levels): features (B, C, H, W) -> the same shape.

    Args:
        channels: C.
        sizes: Prototypes of each level, never more than of the level below.
        shrinkage: lambda, below the weight that even addressing gives.
    """

    def __init__(self, channels: int, sizes: tuple[int, ...], shrinkage: float = SHRINKAGE) -> None:
        super().__init__()
        if len(sizes) != len(LEVELS) or min(sizes) < 1 or list(sizes) != sorted(sizes)[::-1]:
            raise ValueError(f"prototypes must be {len(LEVELS)} falling numbers, got {sizes}")
        if not 0 <= shrinkage < 1 / sizes[0]:
            raise ValueError(
                f"shrinkage must be at least 0 and below 1 / {sizes[0]}, got {shrinkage:g}"
            )
        self.shrinkage = shrinkage
        self.parts = nn.Parameter(torch.randn(sizes[0], channels))
        self.summaries = nn.ParameterList(
            OWN * torch.eye(above).repeat(1, -(-below // above))[:, :below]
            for below, above in pairwise(sizes)
        )
        self.fuse = nn.Conv2d(len(LEVELS) * channels, channels, 1)

    def prototypes(self) -> list[Tensor]:
        """(N, C) of each level."""
        levels: list[Tensor] = [self.parts]
        for logits in self.summaries:
            levels.append(logits.softmax(dim=1) @ levels[-1])
        return levels

    def read(self, features: Tensor) -> Reading:
        """Weights and read-outs for features (B, C, H, W), float32 at least."""
        with torch.autocast(features.device.type, enabled=False):
            query, levels = normalised(features), self.prototypes()
            weights = tuple(addressing(query, known, self.shrinkage) for known in levels)
            read = tuple(
                F.conv2d(w, known.to(w.dtype).T[:, :, None, None])
                for w, known in zip(weights, levels, strict=True)
            )
        return Reading(query, weights, read)

    def forward(self, features: Tensor) -> Tensor:
        fused: Tensor = self.fuse(torch.cat(self.read(features).read, dim=1))
        return features + fused
