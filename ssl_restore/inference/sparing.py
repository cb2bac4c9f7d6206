"""A restorer that spares pictures in which it finds next to nothing.

    restored = I + s (R(I) - I),     s = clip((odds f c - FROM) / (TO - FROM), 0, 1)^2

c is the share of the whole picture, or of SMALL_PX where it has fewer pixels, that all stages of R
change alike, by more than LEAST; f = min(1, sharpness / SHARP)^3. Drops on the lens are many and
out of focus before a scene in focus; what is taken for one on a dry lens is a thing or two, or a
scene of which no part is sharp, and close up all look the same. R looks once at the picture, before
its tiles. The odds of drops are 8^(2 thorough - 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from degradations.color import luma
from degradations.smoothing import smooth
from ssl_restore.device import autocast
from ssl_restore.inference.tiles import to_multiple
from ssl_restore.inference.wrappers import Strength
from ssl_restore.objectives.rendered_rain import ODDS
from ssl_restore.restorer import Restorer, Wrapped

FROM, TO = 0.08, 0.12  # shares of the picture
LEAST = 2 / 255  # mean of the channels
SMALL_PX = 256**2  # of a whole picture
SMOOTH_PX = 3.0
SHARP = 1.8  # below which drops are less likely
PART_PX = 24  # side of a part whose sharpness is seen
DETAIL = 2 / 255  # in a part, below which nothing is to be seen of that
SHARPEST = 0.98  # quantile of the parts
LITTLE = 0.5  # a share below which that is said

USUAL = 0.5  # how thorough it is unless told

UNSEEN = "hardly any drops are seen in it, so little is taken"
REMEDY = "; give `thorough` (say 0.8) to take more, or for large drops a `scale` (say 4)"


class Sparing(Wrapped):
    """image (B, 3, H, W), sides multiples of `stride`, -> the same shape, by the restorer inside;
    `suited` gives the one that takes a share alone.

    Args:
        inner: One with `stages`, the restored pictures of each.
    """

    def __init__(self, inner: Restorer) -> None:
        super().__init__(inner)
        self.chooses, self.thorough, self.looks_at = True, USUAL, 1.0

    def suited(self, windows: Tensor) -> Restorer:
        assert self.thorough is not None
        odds = ODDS ** (2 * self.thorough - 1)
        odds *= min(1.0, sharpness(windows) / SHARP) ** 3
        found = (odds * self.coverage(windows) - FROM) / (TO - FROM)
        return self.inner if found >= 1 else Share(self, max(0.0, found) ** 2)

    @torch.inference_mode()
    def coverage(self, windows: Tensor) -> float:
        """c of a picture of which these are windows."""
        whole = to_multiple(windows, self.stride)
        core: Any = self.core  # a network of stages
        with autocast(whole.device):
            stages = core.stages(whole.contiguous(memory_format=torch.channels_last))
        height, width = windows.shape[-2:]
        return coverage([stage[..., :height, :width] for stage in stages], windows)

    def forward(self, image: Tensor) -> Tensor:
        restored: Tensor = self.inner(image)
        return restored

    def _around(self, inner: Restorer) -> Restorer:
        copied = super()._around(inner)
        copied.chooses, copied.looks_at = True, self.looks_at
        return copied


class Share(Strength):
    """A share of what a restorer takes; where that is little, it looks again at smaller sizes, for
    larger drops."""

    def __init__(self, looking: Sparing, share: float) -> None:
        super().__init__(looking.inner, share)
        self.looking = looking
        if share < LITTLE:
            self.note = UNSEEN + (REMEDY if looking.thorough == USUAL else "")

    def at_smaller_sizes(self) -> Restorer:
        return self.looking if self.strength < LITTLE else super().at_smaller_sizes()


def coverage(stages: Sequence[Tensor], image: Tensor) -> float:
    """The share of (B, 3, H, W), parts of one picture, that all restored ones change alike, by more
    than LEAST; of SMALL_PX where that is more."""
    changes = torch.stack([stage.to(image) - image for stage in stages])
    agreed = changes.amin(dim=0).relu() + (-changes.amax(dim=0)).relu()
    width = torch.full((len(image),), SMOOTH_PX).to(image)
    found = smooth(agreed.mean(dim=1, keepdim=True), width) > LEAST
    return float(found.sum()) / max(found.numel(), SMALL_PX)


def sharpness(image: Tensor) -> float:
    """Detail of 1 px over that of 2 px in the sharpest parts of (B, 3, H, W): about 2 in a picture
    in focus, below 1 in one out of focus; infinite where there is no detail."""
    grey, ones = luma(image), torch.ones(len(image)).to(image)
    fine, coarse = smooth(grey, ones), smooth(grey, 2 * ones)
    side = [min(PART_PX, size) for size in grey.shape[-2:]]
    detail, wider = (
        F.avg_pool2d(part.square(), side, stride=PART_PX // 3).flatten()
        for part in (grey - fine, fine - coarse)
    )
    seen = wider > DETAIL**2
    ratio = (detail[seen] / wider[seen]).sqrt()
    return float(ratio.quantile(SHARPEST)) if len(ratio) else math.inf
