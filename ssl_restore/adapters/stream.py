"""A copy of a restorer that learns from the frames it restores: the loop of all adapters.

    offline   take every frame,  learn,            then restore every frame
    online    of each frame:     take, learn, restore;   frames to come are not seen

What is learned with is an exponential average of the weights; the statistics of the norms rest,
because those of one video lead astray. Memory is bounded: offline the frames that are learned from
are spread over the video, online they are the last ones.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from torch import nn

from ssl_restore.device import out_of_memory
from ssl_restore.errors import UserError
from ssl_restore.inference.tiles import restore
from ssl_restore.inference.wrappers import with_quality
from ssl_restore.io.picture import Pixels
from ssl_restore.restorer import Restorer
from ssl_restore.training.fit import Row, fit
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Batch, Player, Recipe

STEPS_A_FRAME = 20  # online, unless said otherwise
SECONDS = 60.0  # offline
ENDLESS = 10**9  # steps: online the rate of learning stays what it is
KEPT_PIXELS = 16_000_000  # of the frames in memory, together
LEAST_KEPT, MOST_KEPT = 4, 48  # frames
DECAY = 0.99
Restore = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Course:
    """How long is learned: `steps` or `seconds`, online of each frame, else of the video.

    The same `steps` and `seed` give the same result. `name` is that of the video in errors,
    `progress(share)` gets the share of the learning that is done, `notify(line)` what was found.
    """

    online: bool = False
    steps: int | None = None
    seconds: float | None = None
    seed: int = 0
    precision: str = "auto"
    tile: int | None = None
    quality: str = "good"
    name: str = "the video"
    progress: Callable[[float], None] = lambda share: None
    notify: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        if self.steps is not None and self.seconds is not None:
            raise ValueError("give steps or seconds, not both")


AS_USUAL = Course()


class Adapter(Protocol):
    """What `build` of a file in this folder returns."""

    def __call__(
        self, restorer: Restorer, frames: Iterable[Pixels], course: Course = AS_USUAL
    ) -> Iterator[Pixels]:
        """Every frame restored: (H, W, 1 or 3) uint8 or uint16, of one size, in their order.

        `frames` is read twice offline, once online, one frame at a time. The restorer, which must
        not be folded, stays as it is.
        """


class Student(Protocol):
    """What one method learns from, and with."""

    recipe: Recipe

    def take(self, frame: Pixels, restored: Pixels) -> None:
        """A further frame, and what the restorer as it is now makes of it."""

    def unusable_reason(self) -> str | None:
        """Why nothing can be learned from what was taken; None where it can."""

    def draw(self, step: int, progress: float) -> Batch: ...

    def rejection_reason(self, before: Restore, after: Restore) -> str | None:
        """Why what was learned makes frames in memory worse than the start; None where it does
        not, or nothing tells."""


def room(frame: Pixels) -> int:
    """How many frames of this size are kept."""
    height, width = frame.shape[:2]
    return min(max(KEPT_PIXELS // (height * width), LEAST_KEPT), MOST_KEPT)


def recipe(
    learner: Restorer,
    ema: Restorer,
    objective: nn.Module,
    weights: Mapping[str, float],
    *,
    lr: float,
) -> Recipe:
    """One player, norms at rest."""
    device = next(learner.parameters()).device
    for module in (learner, ema, objective):
        module.to(device)
    optimizer = adamw(learner.parameters(), lr=lr)
    return Recipe(
        task=learner.task, network="", keywords={}, restorer=learner,
        averages=(Average(ema, learner, DECAY),),
        players=(Player(objective, weights, optimizer),), frozen_batchnorm=True,
    )  # fmt: skip


def learn(student: Student, frames: Iterable[Pixels], course: Course) -> Iterator[Pixels]:
    """Every frame, restored by the student's average.

    TypeError offline for frames that can be read only once.
    """
    if not course.online and iter(frames) is frames:
        raise TypeError("offline the frames are read twice: give a list, or a `video.Video`")
    return _online(student, frames, course) if course.online else _offline(student, frames, course)


def _restored(net: Restorer, frame: Pixels, course: Course) -> Pixels:
    try:
        whole = with_quality(net, course.quality)
        return restore(whole, frame, tile=course.tile, precision=course.precision)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise UserError(f"{course.name}: out of memory; try a smaller `tile`") from error


def _ready(net: Restorer) -> Restorer:
    """As it is now, for inference: faster where its norms can be folded."""
    return net.eval().folded()


def _offline(student: Student, frames: Iterable[Pixels], course: Course) -> Iterator[Pixels]:
    start = _ready(copy.deepcopy(student.recipe.ema))
    for frame in checked(frames, course.name):
        student.take(frame, _restored(start, frame, course))
    unusable_reason = student.unusable_reason()
    if unusable_reason is not None:
        raise UserError(f"{course.name}: {unusable_reason}")
    seconds = SECONDS if course.seconds is None and course.steps is None else course.seconds
    rows = fit(
        student.recipe, student.draw, seed=course.seed, steps=course.steps, seconds=seconds,
        precision=course.precision,
    )  # fmt: skip
    for row in rows:
        course.progress(row.progress)
    learned = _ready(student.recipe.ema)
    rejection_reason = _rejection_reason(student, start, learned, course)
    if rejection_reason is not None:
        course.notify(f"{course.name}: restored without what was learned: {rejection_reason}")
    for frame in checked(frames, course.name):
        yield _restored(learned if rejection_reason is None else start, frame, course)


def _online(student: Student, frames: Iterable[Pixels], course: Course) -> Iterator[Pixels]:
    rows = fit(
        student.recipe, student.draw, seed=course.seed, steps=ENDLESS, precision=course.precision
    )
    start = used = _ready(copy.deepcopy(student.recipe.ema))
    unusable_reason: str | None = None
    rejections: list[str] = []
    for frame in checked(frames, course.name):
        student.take(frame, _restored(used, frame, course))
        unusable_reason = student.unusable_reason()
        if unusable_reason is None:
            _some(rows, course)
            used = _ready(student.recipe.ema)
            rejection_reason = _rejection_reason(student, start, used, course)
            if rejection_reason is not None:
                rejections.append(rejection_reason)
                used = start
        yield _restored(used, frame, course)
    if unusable_reason is not None:
        course.notify(f"{course.name}: restored without learning: {unusable_reason}")
    elif rejections:
        many = f"{len(rejections)} frames restored without what was learned"
        course.notify(f"{course.name}: {many}: {rejections[-1]}")


def _rejection_reason(
    student: Student, start: Restorer, now: Restorer, course: Course
) -> str | None:
    return student.rejection_reason(
        lambda frame: _restored(start, frame, course), lambda frame: _restored(now, frame, course)
    )


def _some(rows: Iterator[Row], course: Course) -> None:
    """Learn for one frame."""
    if course.seconds is None:
        for _ in islice(rows, STEPS_A_FRAME if course.steps is None else course.steps):
            pass
        return
    until = time.monotonic() + course.seconds
    while time.monotonic() < until:
        next(rows)


def checked(frames: Iterable[Pixels], name: str) -> Iterator[Pixels]:
    """The frames; UserError where there is none, and where their size changes."""
    first: tuple[int, ...] | None = None
    for frame in frames:
        size = frame.shape[:2]
        if first is not None and size != first:
            raise UserError(
                f"{name}: a frame of {size[1]} x {size[0]} pixels after one of {first[1]} x "
                f"{first[0]}; frames of one video have one size"
            )
        first = size
        yield frame
    if first is None:
        raise UserError(f"{name}: has no frame; give a video or a folder of frames")
