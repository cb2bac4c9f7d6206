"""Contrast of a restored picture with its truth and what it was made from, in a critic's features.

    pcl      drawn to sharpened versions of the truth, away from slightly blurred ones
    aecr     |phi(f) - phi(J)| / |phi(f) - phi(I)| over layers, the deeper the heavier
    triplet  the truth nearer than the degraded picture, by a margin

f is the restored picture, J its truth, I the degraded one, phi the layers of a critic that knows
only details (`networks/critic.py`) and rests while the restorer learns.

References: Wu, Jiang and Liu, TNNLS 2023 (pcl); Wu et al., "Contrastive learning for compact single
image dehazing", CVPR 2021 (aecr); Schroff et al., CVPR 2015 (triplet).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_restore.networks.critic import Critic, features_at_rest
from ssl_restore.objectives.contrast import distance_ratio, pixel_contrast, triplet
from ssl_restore.objectives.positives import blurred, sharpened

Judged = tuple[Critic, str]  # a critic that learns in turn, and the kind that it is used for

KINDS = ("pcl", "aecr", "triplet")
MARGIN = 0.2  # of the triplet, between vectors of length one


@dataclass(frozen=True)
class Contrasts:
    """Of `pcl`: how many of each, and the temperature."""

    positives: int = 4
    negatives: int = 4
    temperature: float = 0.1


USUAL = Contrasts()


def pcl(
    critic: Critic,
    restored: Tensor,
    truth: Tensor,
    generator: torch.Generator,
    contrasts: Contrasts = USUAL,
) -> Tensor:
    """Over all layers of a critic at rest, scalar; pictures (B, 3, H, W)."""
    others = (
        sharpened(truth, contrasts.positives, generator),
        blurred(truth, contrasts.negatives, generator),
    )
    with torch.no_grad():
        known = [
            [maps.unflatten(0, (len(truth), -1)) for maps in critic.features(each.flatten(0, 1))]
            for each in others
        ]
    layers = zip(features_at_rest(critic, restored), *known, strict=True)
    losses = [pixel_contrast(a, p, n, contrasts.temperature) for a, p, n in layers]
    return torch.stack(losses).mean()


def picture_contrast(
    kind: str,
    critic: Critic,
    restored: Tensor,
    truth: Tensor,
    degraded: Tensor,
    generator: torch.Generator,
    contrasts: Contrasts = USUAL,
) -> Tensor:
    """The contrast of a kind, scalar; pictures (B, 3, H, W)."""
    if kind == "pcl":
        return pcl(critic, restored, truth, generator, contrasts)
    anchor = features_at_rest(critic, restored)
    with torch.no_grad():
        positive, negative = critic.features(truth), critic.features(degraded)
    if kind == "aecr":
        weights = [2.0 ** (level - len(anchor) + 1) for level in range(len(anchor))]
        return distance_ratio(anchor, positive, negative, weights)
    return pooled_triplet(anchor[-1], positive[-1], negative[-1])


def pooled_triplet(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Triplet loss of feature maps (B, C, H, W): of their absolute means, scaled to length one."""
    maps = (anchor, positive, negative)
    pooled = [F.normalize(one.abs().mean(dim=(2, 3)), dim=1) for one in maps]
    return triplet(pooled[0], pooled[1], pooled[2], MARGIN)
