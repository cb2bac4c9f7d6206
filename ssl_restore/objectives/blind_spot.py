"""A blind-spot network learns from noisy pictures as they are: it cannot see what it predicts.

    loss = mean |f(split(y, a)) - split(y, a)|

f predicts a pixel from those around it, without it (`networks/blind_spot.py`). The noise must be
independent from one to the next of every a-th pixel. The absolute difference is that of the
publication. Reference: Lee, Son and Lee, "AP-BSN", CVPR 2022, eq. 5.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_restore.networks.blind_spot import BlindSpot
from ssl_restore.networks.shuffled import split
from ssl_restore.types import Batch


class BlindSpotLoss(nn.Module):
    """Terms: `blind`.  Needs degraded patches only, their sides multiples of `shuffle`."""

    def __init__(self, restorer: BlindSpot, shuffle: int) -> None:
        super().__init__()
        self.restorer = restorer
        self.shuffle = shuffle

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.degraded is not None
        noisy = split(batch.degraded, self.shuffle)
        return {"blind": (self.restorer.predict(noisy) - noisy).abs().mean()}
