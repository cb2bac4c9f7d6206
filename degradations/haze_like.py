"""Haze like that of measured pictures: the prior of what learns from them.

    I = J t + A (1 - t),     t = exp(-tau)

Display values, as `veil`. What is known of a picture is the colour of its airlight A and the
quantiles of its optical depth tau = beta d, as beta and the distances d cannot be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .haze import Haze
from .types import Shape, check_values, uniform
from .veil import VeilParams, add_veil, veil_layers

QUANTILES = {"nearest": 0.05, "near": 0.25, "median": 0.5, "far": 0.75, "farthest": 0.95}
DOUBT = 0.2  # of the optical depth, either way


@dataclass(frozen=True)
class MeasuredHaze:
    """The haze of one picture in numbers.

    Example:
        >>> MeasuredHaze(median=0.3).median
        0.3
    """

    red: float = 0.85  # of the airlight, display values
    green: float = 0.85
    blue: float = 0.85
    nearest: float = 0.2  # optical depth, quantiles over the pixels
    near: float = 0.4
    median: float = 0.6
    far: float = 0.9
    farthest: float = 1.4

    def __post_init__(self) -> None:
        for name in ("red", "green", "blue"):
            check_values(name, getattr(self, name), "display values")
        for name in QUANTILES:
            check_values(name, getattr(self, name), "optical depth")


@dataclass(frozen=True)
class HazeLike:
    """Prior: every image takes the haze of one of the `rows`, somewhat thicker or thinner.

    Over distances of `Haze`, whose ranks take the quantiles of the optical depth.

    Example:
        >>> haze = HazeLike((MeasuredHaze(red=0.7),))
        >>> haze.sample((1, 3, 8, 8), torch.Generator().manual_seed(0)).airlight
        tensor([[0.7000, 0.8500, 0.8500]])
    """

    rows: tuple[MeasuredHaze, ...] = (MeasuredHaze(),)

    apply = staticmethod(add_veil)
    affine_veil = staticmethod(veil_layers)

    def sample(self, shape: Shape, generator: torch.Generator) -> VeilParams:
        """ValueError without any row."""
        if not self.rows:
            raise ValueError("haze like that of no picture at all: rows is empty")
        chosen = torch.randint(len(self.rows), shape[:1], generator=generator).tolist()
        rows = [self.rows[row] for row in chosen]
        depth = Haze().sample(shape, generator).depth_m
        factor = uniform((1 - DOUBT, 1 + DOUBT), (shape[0], 1, 1, 1), generator)
        tau = torch.stack([as_thick(one, row) for one, row in zip(depth, rows, strict=True)])
        light = torch.tensor([[row.red, row.green, row.blue] for row in rows])
        return VeilParams(factor * tau, light[:, : shape[1]])


def as_thick(depth: Tensor, row: MeasuredHaze) -> Tensor:
    """Distances of any scale as optical depths with the quantiles of a row, in the same order."""
    ranks = torch.tensor([0.0, *QUANTILES.values(), 1.0])
    taus = torch.tensor([row.nearest, *(getattr(row, key) for key in QUANTILES), row.farthest])
    known = torch.quantile(depth.flatten()[:: max(1, depth.numel() // 10_000)], ranks)
    after = torch.searchsorted(known, depth.contiguous()).clamp(1, len(ranks) - 1)
    low, high = known[after - 1], known[after]
    share = ((depth - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)
    return torch.lerp(taus[after - 1], taus[after], share)
