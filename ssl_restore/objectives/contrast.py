"""Contrast between embeddings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce(anchor: Tensor, positive: Tensor, temperature: float) -> Tensor:
    """InfoNCE with the other anchors of the batch as negatives; (B, D), (B, D) -> scalar.

        l_i = -log exp(s(a_i, p_i)/T) / (exp(s(a_i, p_i)/T) + sum_{n != i} exp(s(a_i, a_n)/T))

    s is the cosine similarity, T the temperature; the mean over i is returned. Zero for a batch
    of one, which has no negatives. Reference: van den Oord, Li and Vinyals, arXiv 1807.03748.
    """
    anchor, positive = F.normalize(anchor, dim=1), F.normalize(positive, dim=1)
    attraction = (anchor * positive).sum(dim=1) / temperature
    similarity = anchor @ anchor.T / temperature
    similarity.fill_diagonal_(float("-inf"))
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
