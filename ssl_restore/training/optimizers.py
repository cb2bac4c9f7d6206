"""The optimizer of most recipes, and factors on its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

WARM_UP_STEPS = 50


def adamw(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
    *,
    lr: float,
    weight_decay: float = 0.01,
) -> torch.optim.AdamW:
    """AdamW that forgets gradients sooner than torch's own: restorers learn for minutes.

    Args:
        parameters: What it moves, or groups of it with an `lr` of their own, as torch takes them.
        lr: Learning rate; the schedule of a player is a factor on it.
        weight_decay: Share of each weight that is taken off a step, times the learning rate.

    Example:
        >>> adamw([nn.Parameter(torch.ones(1))], lr=1e-3).defaults["betas"]
        (0.9, 0.95)
    """
    return torch.optim.AdamW(
        parameters, lr=lr, betas=(0.9, 0.95), weight_decay=weight_decay, fused=True
    )


def warm_up_cosine(step: int, progress: float, floor: float = 0.02) -> float:
    """Linear warm-up over 50 steps, then half a cosine from 1 to `floor` as progress goes to 1."""
    cosine = floor + (1 - floor) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return min(1.0, (step + 1) / WARM_UP_STEPS) * cosine


def constant(step: int, progress: float) -> float:
    """1: the learning rate stays what it is."""
    return 1.0
