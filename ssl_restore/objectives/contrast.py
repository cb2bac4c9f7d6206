"""Contrast between embeddings."""

from __future__ import annotations

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
