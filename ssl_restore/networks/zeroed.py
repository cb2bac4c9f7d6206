"""Layers that give nothing before training: a network that adds them begins as the identity."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

Layer = TypeVar("Layer", bound=nn.Module)


def zeroed(layer: Layer) -> Layer:
    """The layer itself, its weights and biases set to zero."""
    for weight in layer.parameters():
        nn.init.zeros_(weight)
    return layer
