"""Restore from restored: what was restored once is degraded anew, and the way back is learned.

    P = D_0(I),   loss = distance(D(degrade(P)), P)

The degradation is that of the video, as the task measures it in the frames. What is left of it in P
is less at a smaller scale, where the patterns of a scene recur, so that P is also seen at half its
size; photographs of other scenes are the rest of a batch. No flow: scene cuts and single frames do
not matter. Online P is what the restorer as it is by then makes of a frame. What was learned is not
used where the task finds it worse than the start (a derainer that leaves more light in lines along
the rain, or less texture).

Reference: Lee, Cho, Kim and Kim, "Restore from restored: video restoration with pseudo clean
video", CVPR 2021 (offline and online; patch recurrence in their section 3).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels, eight_bit_rgb
from ssl_restore.restorer import Restorer
from ssl_restore.training import data, material
from ssl_restore.types import Batch, StreamModel

MEASURED = 8  # frames, in which the degradation is measured
LR = 5e-4
JUDGED = 3  # frames, about, on which what was learned must do as well as the start


def build(
    model: StreamModel,
    *,
    lr: float = 0.0,
    batch: int = 8,
    patch: int = 64,
    photographs: float = 0.5,
) -> Adapter:
    """Settings: `lr` (0: that of the task, or 5e-4), `batch`, `patch` px, share of `photographs` in
    a batch."""

    def adapt(
        restorer: Restorer, frames: Iterable[Pixels], course: Course = AS_USUAL
    ) -> Iterator[Pixels]:
        rate = lr or model.lr.get("restore_from_restored", LR)
        student = _Student(restorer, model, course, rate, batch, patch, photographs)
        return learn(student, frames, course)

    return adapt


@dataclass(frozen=True)
class _Restored:
    frame: Pixels  # (H, W, 3) uint8
    clean: Pixels  # the same restored; where rain falls, turned by a quarter


class _Student:
    """Frames that were restored, and what degrades them anew."""

    def __init__(
        self,
        restorer: Restorer,
        model: StreamModel,
        course: Course,
        lr: float,
        batch: int,
        patch: int,
        photographs: float,
    ) -> None:
        learner, ema = copy.deepcopy(restorer), copy.deepcopy(restorer)
        undoing = model.undo(learner, ema, model.prior)
        self.objective = undoing.objective
        self.recipe = recipe(learner, ema, undoing.objective, undoing.weights, lr=lr)
        self.model, self.course = model, course
        self.frames = model.frames(restorer)
        self.batch, self.patch = batch, patch
        self.photographs = round(photographs * batch)
        self.device = next(learner.parameters()).device
        self.stride = restorer.stride
        self.memory = Memory[_Restored](newest=course.online)
        self.others: data.Pictures | None = None
        self.taken, self.failure = 0, ""

    def take(self, frame: Pixels, restored: Pixels) -> None:
        measured = self.frames.prior is not None
        if not measured or self.taken < MEASURED // 2 or self.taken % MEASURED == 0:
            try:
                self.frames.measure("", frame)
            except UserError as error:
                self.failure = str(error).removeprefix(": ")
            else:
                setattr(self.objective, "prior", self.frames.prior)  # noqa: B010
        self.taken += 1
        clean = eight_bit_rgb(restored)
        if self.model.upright:  # what was left in it lies across what falls, then
            clean = np.ascontiguousarray(np.rot90(clean))
        self.memory.add(_Restored(eight_bit_rgb(frame), clean), room(frame))

    def unusable_reason(self) -> str | None:
        return self.failure if self.frames.prior is None else None

    def rejection_reason(self, before: Restore, after: Restore) -> str | None:
        kept = self.memory.kept
        judged = kept[-1:] if self.course.online else kept[:: max(1, len(kept) // JUDGED)]
        for item in judged:
            frame = item.frame
            reason = self.frames.rejected_reason(frame, before(frame), after(frame))
            if reason is not None:
                return reason
        return None

    def draw(self, step: int, progress: float) -> Batch:
        least = min(min(memory_item.clean.shape[:2]) for memory_item in self.memory.kept)
        size = min(self.patch, least) // self.stride * self.stride
        if self.others is None:
            photographs = images.find(material.bundled_photographs())
            self.others = data.load(photographs, patch=self.patch, seed=self.course.seed)

        def drawn(name: str, pictures: data.Pictures, count: int, upright: bool) -> Tensor:
            generator = rng.derive(self.course.seed, name, step)
            return data.patches(pictures, count, size, generator, upright=upright, shrink=2)

        kept = self.memory.kept
        ours = data.Pictures(tuple(memory_item.clean for memory_item in kept), (), "")
        frames = data.Pictures(tuple(memory_item.frame for memory_item in kept), (), "")
        parts = []
        if self.photographs > 0:
            parts.append(drawn("photographs", self.others, self.photographs, False))
        if self.photographs < self.batch:
            count = self.batch - self.photographs
            parts.append(drawn("restored", ours, count, self.model.upright))
        clean = torch.cat(parts)
        order = torch.randperm(self.batch, generator=rng.derive(self.course.seed, "mix", step))
        return Batch(
            clean=clean[order].to(self.device, memory_format=torch.channels_last),
            degraded=drawn("frames", frames, self.batch, True).to(
                self.device, memory_format=torch.channels_last
            ),
            progress=progress,
            warm=True,
        )
