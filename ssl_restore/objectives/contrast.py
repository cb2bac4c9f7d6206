"""Contrast: what shall be near to an anchor, and what shall not.

Between vectors: `info_nce`, `info_nce_against`, `multi_positive`, `triplet`. Between feature maps
of pictures: `pixel_contrast`, `distance_ratio`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_DISTANCE = 1e-6  # to a negative: equal ones have no ratio


def info_nce(
    anchor: Tensor, positive: Tensor, temperature: float, same: Tensor | None = None
) -> Tensor:
    """InfoNCE with the other anchors of the batch as negatives; (B, D), (B, D) -> scalar.

        l_i = -log exp(s(a_i, p_i)/T) / (exp(s(a_i, p_i)/T) + sum_{n != i} exp(s(a_i, a_n)/T))

    s is the cosine similarity, T the temperature; the mean over i is returned. Zero for a batch
    of one, which has no negatives. A negative that is the `same` (B, B) picture as the anchor is
    left out. Reference: van den Oord, Li and Vinyals, arXiv 1807.03748.
    """
    anchor, positive = F.normalize(anchor, dim=1), F.normalize(positive, dim=1)
    attraction = (anchor * positive).sum(dim=1) / temperature
    similarity = anchor @ anchor.T / temperature
    similarity.fill_diagonal_(float("-inf"))
    if same is not None:
        similarity = similarity.masked_fill(same, float("-inf"))
    logits = similarity.diagonal_scatter(attraction)  # own column: the positive
    return (logits.logsumexp(dim=1) - attraction).mean()


def info_nce_against(
    anchor: Tensor, positive: Tensor, negatives: Tensor, temperature: float
) -> Tensor:
    """InfoNCE with negatives of another kind; (N, K, D) each, scalar.

        l_ik = -log exp(s(a_ik, p_ik)/T) / (exp(s(a_ik, p_ik)/T) + sum_j exp(s(a_ik, n_ij)/T))

    s is the cosine similarity; the mean over i and k is returned.
    """
    anchor, positive, negatives = (
        F.normalize(each, dim=2) for each in (anchor, positive, negatives)
    )
    attraction = (anchor * positive).sum(dim=2, keepdim=True) / temperature
    repulsion = anchor @ negatives.transpose(1, 2) / temperature
    return (torch.cat([attraction, repulsion], dim=2).logsumexp(dim=2) - attraction[:, :, 0]).mean()


def multi_positive(anchor: Tensor, keys: Tensor, positive: Tensor, temperature: float) -> Tensor:
    """Supervised contrast, with several positives an anchor; (N, D), (M, D), (N, M) -> scalar.

        l_i = -mean_{p in P(i)} log( exp(s(a_i, k_p)/T) / sum_m exp(s(a_i, k_m)/T) )

    s is the cosine similarity; `positive` is true where m is in P(i). The mean over the anchors
    that have a positive is returned, zero where none has. Reference: Khosla et al., "Supervised
    contrastive learning", NeurIPS 2020, eq. 2.
    """
    anchor, keys = F.normalize(anchor, dim=1), F.normalize(keys, dim=1)
    share = (anchor @ keys.T / temperature).log_softmax(dim=1)
    count = positive.sum(dim=1)
    loss = -(share * positive).sum(dim=1) / count.clamp_min(1)
    return loss.sum() / (count > 0).sum().clamp_min(1)


def place_contrast(
    anchors: Sequence[Tensor],
    keys: Sequence[Tensor],
    heads: Sequence[Callable[[Tensor], Tensor]],
    *,
    temperature: float,
    places: int,
    generator: torch.Generator,
) -> Tensor:
    """InfoNCE between places of pictures, at every depth of their features; scalar.

    The positive of a place in an anchor (B, C, h, w) is the same place in its key, the negatives
    are the other places of all keys, of which `places` are drawn a picture; the mean over depths.
    `heads` embed (N, C) -> (N, D). Keys get no gradient. Reference: Park et al., "Contrastive
    learning for unpaired image-to-image translation", ECCV 2020.
    """
    losses = []
    for head, anchor, key in zip(heads, anchors, keys, strict=True):
        area = anchor.shape[2] * anchor.shape[3]
        chosen = torch.randperm(area, generator=generator)[:places].to(anchor.device)
        points, others = (
            head(maps.flatten(2)[..., chosen].transpose(1, 2).flatten(0, 1))
            for maps in (anchor, key.detach())
        )
        own = torch.eye(len(points), dtype=torch.bool, device=points.device)
        losses.append(multi_positive(points, others.detach(), own, temperature))
    return torch.stack(losses).mean()


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """mean_i max(0, |a_i - p_i|^2 - |a_i - n_i|^2 + margin); (N, D) each -> scalar.

    Reference: Schroff, Kalenichenko and Philbin, "FaceNet", CVPR 2015, eq. 3.
    """
    near, far = ((anchor - other).square().sum(dim=1) for other in (positive, negative))
    return F.relu(near - far + margin).mean()


def pixel_contrast(
    anchor: Tensor, positives: Tensor, negatives: Tensor, temperature: float
) -> Tensor:
    """Contrast of one layer of features, pixel by pixel; (B, C, H, W), (B, P, C, H, W) and
    (B, N, C, H, W) -> scalar.

        l_ip = -log( exp(s(a_i, p_ip)/T) / (exp(s(a_i, p_ip)/T) + sum_n exp(s(a_i, n_in)/T)) )

    s is the cosine similarity over the channels, averaged over the pixels; the mean over i and p is
    returned. Reference: Wu, Jiang and Liu, "A practical contrastive learning framework for
    single-image super-resolution", TNNLS 2023.
    """

    def similarity(others: Tensor) -> Tensor:
        return F.cosine_similarity(anchor[:, None], others, dim=2).mean(dim=(2, 3)) / temperature

    attraction, repulsion = similarity(positives), similarity(negatives)
    below = torch.logaddexp(attraction, repulsion.logsumexp(dim=1, keepdim=True))
    return (below - attraction).mean()


def distance_ratio(
    anchor: Sequence[Tensor],
    positive: Sequence[Tensor],
    negative: Sequence[Tensor],
    weights: Sequence[float],
) -> Tensor:
    """sum_l w_l mean |a_l - p_l| / mean |a_l - n_l| over layers of features, (B, C, H, W) each.

    Of every image by itself, and the mean over them: scalar. Reference: Wu et al., "Contrastive
    learning for compact single image dehazing", CVPR 2021, eq. 3.
    """
    total = anchor[0].new_zeros(())
    for a, p, n, weight in zip(anchor, positive, negative, weights, strict=True):
        near, far = ((a - other).abs().flatten(1).mean(dim=1) for other in (p, n))
        total = total + weight * (near / far.clamp_min(LEAST_DISTANCE)).mean()
    return total
