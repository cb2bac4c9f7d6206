"""Pairs of degraded and clean pictures from a folder, among those that are rendered.

What happens to rain in a coded clip cannot be rendered step by step while something learns
(`benchmarks/coded_rain.py`). The folder holds `rainy/` and `clean/` under the same names, as
`synth-rain` writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels, eight_bit_rgb
from ssl_restore.objectives.rendered_rain import RenderedRain


@dataclass(frozen=True)
class StoredPairs:
    """Pictures (H, W, 6) uint8 each: the rainy one, then the clean one."""

    pixels: tuple[Pixels, ...]

    def draw(self, count: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """So many patches (count, 3, size, size) of both, mirrored at random."""
        patches = []
        for which, down, right, mirrored in torch.rand(count, 4, generator=generator).tolist():
            whole = self.pixels[int(which * len(self.pixels))]
            top = int(down * (whole.shape[0] - size + 1))
            left = int(right * (whole.shape[1] - size + 1))
            part = torch.from_numpy(whole[top : top + size, left : left + size])
            values = part.permute(2, 0, 1).float() / 255
            patches.append(values.flip(2) if mirrored < 0.5 else values)
        rainy, clean = torch.stack(patches).split(3, dim=1)
        return rainy, clean


def read(folder: Path, *, least: int) -> StoredPairs:
    """The pairs of a folder; UserError where there are none, for a picture without its pair, of
    another size, or with a side below `least`."""
    pairs = []
    for path in images.find(folder / "rainy"):
        other = folder / "clean" / path.name
        rainy, clean = (eight_bit_rgb(images.read(one).pixels) for one in (path, other))
        if rainy.shape != clean.shape or min(rainy.shape[:2]) < least:
            raise UserError(
                f"{path}: {rainy.shape[1]}x{rainy.shape[0]}, its pair "
                f"{clean.shape[1]}x{clean.shape[0]}; the same size is expected, and {least} or more"
            )
        pairs.append(np.concatenate([rainy, clean], axis=2))
    return StoredPairs(tuple(pairs))


def among(
    rendered: RenderedRain, pairs: StoredPairs, share: float, generator: torch.Generator
) -> RenderedRain:
    """The rendered pictures, a random share of them replaced by pairs without a veil."""
    chosen = torch.rand(len(rendered.rainy), generator=generator) < share
    where = chosen.nonzero()[:, 0].to(rendered.rainy.device)
    if not len(where):
        return rendered
    rainy, clean = (
        part.to(rendered.rainy)
        for part in pairs.draw(len(where), rendered.rainy.shape[-1], generator)
    )
    own = chosen.to(rendered.rainy.device).view(-1, 1, 1, 1)
    return replace(
        rendered,
        rainy=rendered.rainy.index_copy(0, where, rainy),
        veiled=rendered.veiled.index_copy(0, where, clean),
        transmission=torch.where(own, 1.0, rendered.transmission),
        light=torch.where(own, 0.0, rendered.light),
    )
