"""Haze like that of measured pictures: the prior of what learns from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from degradations.haze import Haze
from degradations.types import Shape, uniform
from degradations.veil import VeilParams, add_veil, veil_layers
from ssl_restore.calibration.haze import QUANTILES, PictureHaze

DOUBT = 0.2  # of the optical depth, either way


@dataclass(frozen=True)
class HazeLike:
    """Every image takes the haze of one of the `rows`, somewhat thicker or thinner, over distances
    of `Haze`: their ranks take the quantiles of the optical depth."""

    rows: tuple[PictureHaze, ...]

    apply = staticmethod(add_veil)
    affine_veil = staticmethod(veil_layers)

    def sample(self, shape: Shape, generator: torch.Generator) -> VeilParams:
        """ValueError without any row."""
        if not self.rows:
            raise ValueError("haze like that of no frame at all: rows is empty")
        chosen = torch.randint(len(self.rows), shape[:1], generator=generator).tolist()
        rows = [self.rows[row] for row in chosen]
        depth = Haze().sample(shape, generator).depth_m
        factor = uniform((1 - DOUBT, 1 + DOUBT), (shape[0], 1, 1, 1), generator)
        tau = torch.stack([as_thick(one, row) for one, row in zip(depth, rows, strict=True)])
        light = torch.tensor([[row.red, row.green, row.blue] for row in rows])
        return VeilParams(factor * tau, light[:, : shape[1]])


def as_thick(depth: Tensor, row: PictureHaze) -> Tensor:
    """Distances of any scale as optical depths with the quantiles of a row, in the same order."""
    ranks = torch.tensor([0.0, *QUANTILES.values(), 1.0])
    taus = torch.tensor([row.nearest, *(getattr(row, key) for key in QUANTILES), row.farthest])
    known = torch.quantile(depth.flatten()[:: max(1, depth.numel() // 10_000)], ranks)
    after = torch.searchsorted(known, depth.contiguous()).clamp(1, len(ranks) - 1)
    low, high = known[after - 1], known[after]
    share = ((depth - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)
    return torch.lerp(taus[after - 1], taus[after], share)
