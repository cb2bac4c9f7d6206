"""Restore from restored: what was restored once is degraded anew, and the way back is learned.

    P = D_0(I),   loss = distance(D(degrade(P)), P)

The degradation is that of the video: noise as `noise_calibration` measures it in the frames, or
rain as `calibrate` does. What is left of it in P is less at a smaller scale, where the patterns of
a scene recur, so that P is also seen at half its size; photographs of other scenes are the rest of
a batch. No flow: scene cuts and single frames do not matter. Online P is what the restorer as it is
by then makes of a frame. A derainer that learned to leave more light in lines along the rain, or
less texture, than it did at the start is not used (the guard of `derain --adapt`).

Reference: Lee, Cho, Kim and Kim, "Restore from restored: video restoration with pseudo clean
video", CVPR 2021 (offline and online; patch recurrence in their section 3).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from degradations.rain_like import RainLike
from degradations.sensor import quantise
from degradations.types import Degradation
from ssl_restore import rng, weights
from ssl_restore.adapters.noise_like import NoiseLike
from ssl_restore.adapters.stream import (
    AS_USUAL,
    Adapter,
    Course,
    Memory,
    Restore,
    learn,
    recipe,
    room,
)
from ssl_restore.calibration import noise as noise_calibration
from ssl_restore.calibration import rain as rain_calibration
from ssl_restore.calibration import rain_estimator
from ssl_restore.calibration.noise import PictureNoise
from ssl_restore.calibration.rain_file import PictureRain
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels
from ssl_restore.networks.unet import RainUNet
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.objectives.rain_transfer import RainTransfer
from ssl_restore.solvers.rerained_fine_tuning import guarded
from ssl_restore.training import data, session
from ssl_restore.types import Batch, Recipe

MEASURED = 8  # frames, of which the degradation is told
JUDGED = 3  # frames, about, on which what was learned must do as well as the start


def build(
    *,
    lr: float = 5e-4,
    rain_lr: float = 2e-4,
    batch: int = 8,
    patch: int = 64,
    photographs: float = 0.5,
) -> Adapter:
    """Settings: `lr`, of a derainer `rain_lr`, `batch`, `patch` px, share of `photographs` in a
    batch."""

    def adapt(
        restorer: nn.Module, frames: Iterable[Pixels], course: Course = AS_USUAL
    ) -> Iterator[Pixels]:
        rain = isinstance(restorer, RainUNet)
        kind = _Rain(restorer, rain_lr) if rain else _Noise(restorer, lr)
        student = _Student(kind, course, batch, patch, photographs)
        return learn(student, frames, course)

    return adapt


class Undo(nn.Module):
    """Terms: `restore`.  Patches (B, 3, P, P) are degraded by the prior, stored in 8 bits as a
    frame is, and restored."""

    def __init__(self, restorer: nn.Module, prior: Degradation) -> None:
        super().__init__()
        self.restorer = restorer
        self.prior = prior

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.clean is not None
        clean = batch.clean
        params = self.prior.sample(tuple(clean.shape), generator)  # type: ignore[arg-type]
        noisy = quantise(self.prior.apply(clean, params))
        return {"restore": relative(charbonnier(self.restorer(noisy) - clean), floor=0.01)}


class _Kind(Protocol):
    """What degrades a video."""

    recipe: Recipe
    falls: bool  # down: its pictures stay upright

    @property
    def measured(self) -> bool:
        """Whether some frame showed it."""

    def measure(self, name: str, frame: Pixels) -> None:
        """Make the prior that of a further frame, too; UserError for one that does not show it."""

    def rejection_reason(self, frame: Pixels, before: Restore, after: Restore) -> str | None:
        """Why the start restored the frame better; None where nothing says so."""


class _Noise:
    falls = False

    def __init__(self, restorer: nn.Module, lr: float) -> None:
        learner, ema = copy.deepcopy(restorer), copy.deepcopy(restorer)
        self.objective = Undo(learner, NoiseLike(()))
        self.recipe = recipe(learner, ema, self.objective, {"restore": 1.0}, lr=lr)
        self.rows = Memory[PictureNoise](newest=True)

    @property
    def measured(self) -> bool:
        return bool(self.rows.kept)

    def measure(self, name: str, frame: Pixels) -> None:
        values = frame.astype(np.float32) / np.float32(np.iinfo(frame.dtype).max)
        self.rows.add(noise_calibration.measure(name, values), MEASURED)
        self.objective.prior = NoiseLike(tuple(self.rows.kept))

    def rejection_reason(self, frame: Pixels, before: Restore, after: Restore) -> str | None:
        return None


class _Rain:
    falls = True

    def __init__(self, restorer: nn.Module, lr: float) -> None:
        learner, ema = copy.deepcopy(restorer), copy.deepcopy(restorer)
        self.objective = RainTransfer(
            learner, ema, RainLike(()), share=0.25, gain=(0.9, 1.6), threshold=0.01, coarse=0.0
        )
        weights_of = {"restore": 1.0, "veil": 0.1}
        self.recipe = recipe(learner, ema, self.objective, weights_of, lr=lr)
        self.device = next(restorer.parameters()).device
        self.start = copy.deepcopy(restorer).eval()
        self.estimator = rain_estimator.load(weights.rain_estimator()).to(self.device)
        self.rows = Memory[PictureRain](newest=True)

    @property
    def measured(self) -> bool:
        return bool(self.rows.kept)

    def measure(self, name: str, frame: Pixels) -> None:
        picture = images.to_tensor(frame)[0].to(self.device)
        found = rain_calibration.measure(name, picture, self.start, self.estimator)
        if found.probability < rain_calibration.RAINY_FROM:
            raise UserError(f"{name}: no rain found to learn from")
        self.rows.add(found, MEASURED)
        rows = tuple(row.rain for row in self.rows.kept)
        uncertainty = rain_calibration.uncertainty(self.estimator)
        self.objective.rain = RainLike(rows, uncertainty, rain_free=0.06, mirrored=True)

    def rejection_reason(self, frame: Pixels, before: Restore, after: Restore) -> str | None:
        found = guarded(frame, before(frame), after(frame), self.rows.kept[-1])
        return None if found.kept else found.reason


@dataclass(frozen=True)
class _Restored:
    frame: Pixels  # (H, W, 3) uint8
    clean: Pixels  # the same restored; where rain falls, turned by a quarter


class _Student:
    """Frames that were restored, and what degrades them anew."""

    def __init__(
        self, kind: _Kind, course: Course, batch: int, patch: int, photographs: float
    ) -> None:
        self.kind, self.course, self.recipe = kind, course, kind.recipe
        self.batch, self.patch = batch, patch
        self.photographs = round(photographs * batch)
        self.device = next(self.recipe.restorer.parameters()).device
        self.stride = int(self.recipe.restorer.stride)  # type: ignore[arg-type]
        self.memory = Memory[_Restored](newest=course.online)
        self.others: data.Pictures | None = None
        self.taken, self.failure = 0, ""

    def take(self, frame: Pixels, restored: Pixels) -> None:
        if not self.kind.measured or self.taken < MEASURED // 2 or self.taken % MEASURED == 0:
            try:
                self.kind.measure("", frame)
            except UserError as error:
                self.failure = str(error).removeprefix(": ")
        self.taken += 1
        clean = data.eight_bit_rgb(restored)
        if self.kind.falls:  # streaks that were left in it lie across the rain
            clean = np.ascontiguousarray(np.rot90(clean))
        self.memory.add(_Restored(data.eight_bit_rgb(frame), clean), room(frame))

    def unusable_reason(self) -> str | None:
        return None if self.kind.measured else self.failure

    def rejection_reason(self, before: Restore, after: Restore) -> str | None:
        kept = self.memory.kept
        judged = kept[-1:] if self.course.online else kept[:: max(1, len(kept) // JUDGED)]
        for memory_item in judged:
            reason = self.kind.rejection_reason(memory_item.frame, before, after)
            if reason is not None:
                return reason
        return None

    def draw(self, step: int, progress: float) -> Batch:
        least = min(min(memory_item.clean.shape[:2]) for memory_item in self.memory.kept)
        size = min(self.patch, least) // self.stride * self.stride
        if self.others is None:
            found = images.find(session.bundled_photographs())
            self.others = data.load(found, patch=self.patch, seed=self.course.seed)

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
            parts.append(drawn("restored", ours, count, self.kind.falls))
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
