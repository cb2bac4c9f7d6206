"""Rain rendered on scenes of the user's own pictures, as what a run starts from restores them.

    P = f0(I; thorough 1),    I' = rain on P,    loss of the way back to P, that of `rendered_rain`

f0 rests. P is not quite clean, but as soft, noisy and compressed as the pictures in which rain is
to be found: a restorer that knows photographs alone is careful with what does not look like them.
They are turned by a quarter, so that the rain that was left in them lies across what falls.

Reference: Lee, Cho, Kim and Kim, "Restore from restored: video restoration with pseudo clean
video", CVPR 2021.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from degradations.types import Degradation
from ssl_restore.objectives.rendered_rain import RenderedRain
from ssl_restore.objectives.synthetic_rain import EXPOSURE, WIDE, SyntheticRain
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

# Patterns, leaves, focus and mist are the scenes' own.
SHARES = replace(WIDE, patterns=0.0, foliage=0.0, defocus=0.0, mist=0.0, resampled=0.2)


class OwnScenes(SyntheticRain):
    """Terms: `restore`, `veil`.  Needs degraded patches only.

    Args:
        restorer: What learns.
        start: f0.
        rain: Any degradation.
    """

    def __init__(self, restorer: Restorer, start: Restorer, rain: Degradation) -> None:
        super().__init__(restorer, rain, EXPOSURE, SHARES)
        self.start = start.requires_grad_(False).eval()

    def prepare(self, batch: Batch, generator: torch.Generator) -> RenderedRain:
        """The batch with rain on what its degraded pictures are without it."""
        assert batch.degraded is not None
        return self.render(self.pseudo_clean(batch.degraded), generator).of(batch)

    @torch.no_grad()
    def pseudo_clean(self, degraded: Tensor) -> Tensor:
        """P of I, (B, 3, N, N) display values, turned."""
        if self.start.thorough is None:
            restored = self.start(degraded)
        else:
            told: Any = self.start  # its `layers` takes it
            restored = told.layers(degraded, thorough=degraded.new_ones(len(degraded)))["clean"]
        return torch.rot90(restored, 1, (2, 3)).clamp(0, 1).to(degraded)
