"""What a restorer had learned before, so that it is not forgotten while it learns from a folder.

A trained restorer that learns from one kind of rain alone forgets the others within minutes. After
a warm start it therefore restores rendered rain of all kinds besides, as it first learned to: in
the words of continual learning, it rehearses.

Reference: Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection Science
1995.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_restore.objectives.synthetic_rain import SyntheticRain
from ssl_restore.types import Batch


class Rehearsal(nn.Module):
    """Terms: `restore`, `veil` of what was `learned`; both 0 where a run starts from nothing."""

    def __init__(self, learned: SyntheticRain) -> None:
        super().__init__()
        self.learned = learned

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        if batch.warm:
            terms: dict[str, Tensor] = self.learned(batch, generator)
            return terms
        assert batch.clean is not None
        return {name: batch.clean.new_zeros(()) for name in ("restore", "veil")}

    def prepare(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch, after a warm start with rain on its clean pictures besides."""
        return self.learned.prepare(batch, generator) if batch.warm else batch
