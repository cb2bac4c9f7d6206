"""Frame to frame: the neighbour, warped by optical flow, is the target.

    loss = mean over trusted x of | D(I_t)(x) - I_s(x + f(x)) |,   s = t - 1 and s = t + 1

The noise of a neighbour is another draw and cannot be told from frame t, so that what minimises
this is the clean frame (Noise2Noise). The distance is absolute, because clipping at black and white
moves the mean of noise, but not its median. It needs no model of the noise. Rain only adds light,
and where it is dense its median is no dry picture: of a derainer the target is the neighbour as the
restorer left it, whose remaining streaks lie elsewhere.

Reference: Ehret, Davy, Morel, Facciolo and Arias, "Model-blind video denoising via frame-to-frame
training", CVPR 2019 (section 3; offline and online).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ssl_restore import rng
from ssl_restore.adapters.memory import Memory
from ssl_restore.adapters.stream import (
    AS_USUAL,
    Adapter,
    Course,
    Restore,
    learn,
    recipe,
    room,
)
from ssl_restore.calibration import motion
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch, StreamModel

TRIES = 8  # for a place that can be trusted, of each patch
LR = 1e-3
EPS = 1e-3  # display units: below it the distance is a square


def build(model: StreamModel, *, lr: float = 0.0, batch: int = 8, patch: int = 64) -> Adapter:
    """Settings: `lr` (0: that of the task, or 1e-3), `batch`, `patch` px."""

    def adapt(
        restorer: Restorer, frames: Iterable[Pixels], course: Course = AS_USUAL
    ) -> Iterator[Pixels]:
        rate = lr or model.lr.get("frame2frame", LR)
        restored = model.learns_from_restored
        student = _Pairs(restorer, course, rate, batch, patch, restored=restored)
        return learn(student, frames, course)

    return adapt


@dataclass(frozen=True)
class Matched(Batch):
    """`degraded`, its warped neighbour as `clean`, and where that is to be believed."""

    trusted: Tensor | None = None  # (B, 1, P, P) of zeros and ones


@dataclass(frozen=True)
class _Frame:
    came: Tensor  # (3, H, W)
    target: Tensor  # (3, H, W), what its neighbours shall become
    grey: motion.Values  # (H, W), restored and smoothed


@dataclass(frozen=True)
class _Pair:
    frame: Tensor  # (3, H, W) float16
    target: Tensor  # (3, H, W) float16, the neighbour warped onto it
    trusted: Tensor  # (1, H, W) bool


class FrameToFrame(nn.Module):
    """Terms: `match`."""

    def __init__(self, restorer: Restorer) -> None:
        super().__init__()
        self.restorer = restorer

    def forward(self, batch: Matched, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.degraded is not None
        assert batch.clean is not None
        assert batch.trusted is not None
        error = self.restorer(batch.degraded) - batch.clean
        distance = (error.square() + EPS**2).sqrt().mean(dim=1, keepdim=True)
        return {"match": (distance * batch.trusted).sum() / batch.trusted.sum().clamp_min(1)}


class _Pairs:
    """Neighbours in both directions, of frames that were taken one after the other."""

    def __init__(
        self,
        restorer: Restorer,
        course: Course,
        lr: float,
        batch: int,
        patch: int,
        *,
        restored: bool = False,  # neighbours are the targets, not as they came
    ) -> None:
        learner, ema = copy.deepcopy(restorer), copy.deepcopy(restorer)
        self.recipe = recipe(learner, ema, FrameToFrame(learner), {"match": 1.0}, lr=lr)
        self.device = next(learner.parameters()).device
        self.course, self.batch, self.patch, self.restored = course, batch, patch, restored
        self.stride = restorer.stride
        self.memory = Memory[_Pair](newest=course.online)
        self.last: _Frame | None = None
        self.taken = 0

    def take(self, frame: Pixels, restored: Pixels) -> None:
        if min(frame.shape[:2]) < max(motion.LEAST_SIDE_PX, self.stride):
            raise UserError(
                f"{self.course.name}: {frame.shape[1]}x{frame.shape[0]} is too small; "
                f"{max(motion.LEAST_SIDE_PX, self.stride)} pixels are needed"
            )
        self.taken += 1
        came = images.to_tensor(frame)[0]
        target = images.to_tensor(restored)[0] if self.restored else came
        now = _Frame(came, target, motion.grey(restored))
        before, self.last = self.last, now
        if before is None:
            return
        forward, backward = motion.flows(before.grey, now.grey)
        pairs = [_pair(before, now, forward, backward), _pair(now, before, backward, forward)]
        for pair in pairs:
            if motion.neighbours(pair.trusted.numpy()):
                self.memory.add(pair, room(frame))

    def unusable_reason(self) -> str | None:
        if self.memory.kept:
            return None
        if self.taken == 1:
            return (
                "one frame, and this method learns from neighbours; "
                "use `method=restore_from_restored`"
            )
        return (
            "no frame is found in its neighbour (cuts, or too fast); "
            "use `method=restore_from_restored`"
        )

    def rejection_reason(self, before: Restore, after: Restore) -> str | None:
        return None

    def draw(self, step: int, progress: float) -> Matched:
        generator = rng.derive(self.course.seed, "pairs", step)
        drawn = torch.stack([self._patch(generator) for _ in range(self.batch)]).to(self.device)
        frame, target, mask = drawn.contiguous(memory_format=torch.channels_last).split(
            [3, 3, 1], 1
        )
        return Matched(clean=target, degraded=frame, progress=progress, warm=True, trusted=mask)

    def _patch(self, generator: torch.Generator) -> Tensor:
        """(7, P, P) of a random pair: frame, target, mask; mirrored left to right or not, as rain
        falls down."""
        at = int(torch.randint(len(self.memory.kept), (), generator=generator))
        pair = self.memory.kept[at]
        height, width = pair.frame.shape[1:]
        rows, columns = (min(self.patch, s) // self.stride * self.stride for s in (height, width))
        best: tuple[slice, slice] | None = None
        most = -1.0
        for _ in range(TRIES):
            top = int(torch.randint(height - rows + 1, (), generator=generator))
            left = int(torch.randint(width - columns + 1, (), generator=generator))
            place = slice(top, top + rows), slice(left, left + columns)
            share = float(pair.trusted[0][place].float().mean())
            if share > most:
                best, most = place, share
            if share > 0.5:
                break
        assert best is not None
        whole = (pair.frame, pair.target, pair.trusted)
        crop = torch.cat([part[:, best[0], best[1]].float() for part in whole])
        return crop.flip(2) if torch.rand((), generator=generator) < 0.5 else crop


def _pair(here: _Frame, other: _Frame, there: motion.Values, back: motion.Values) -> _Pair:
    mask = motion.trusted(here.grey, other.grey, there, back)
    moved = motion.warp(np.ascontiguousarray(other.target.permute(1, 2, 0).numpy()), there)
    return _Pair(
        frame=here.came.half(),
        target=torch.from_numpy(moved).permute(2, 0, 1).half(),
        trusted=torch.from_numpy(mask)[None],
    )
