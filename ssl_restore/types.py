"""The few shapes that the parts agree on.  See the docstring of each for who makes and uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn

from degradations.types import Degradation
from ssl_restore.io.picture import Pixels
from ssl_restore.restorer import SQUARE, Restorer

AnyBatch = TypeVar("AnyBatch", bound="Batch")


@dataclass(frozen=True)
class Batch:
    """What one training step gets: patches, display values in [0, 1]; None: not needed.

    A subclass may hold further tensors; of all, the first dimension is that of the batch.
    """

    clean: Tensor | None  # (B, 3, P, P), of other scenes than `degraded`, but in pairs
    degraded: Tensor | None  # (B, 3, P, P); in pairs for an enlarging restorer P / scale
    progress: float = 0.0  # share of the run that is done, 0 to 1
    warm: bool = False  # the run started from a trained restorer
    observations: Tensor | None = None  # (B, 2, 3, P, P): one scene seen twice, noise of its own
    places: Tensor | None = None  # (B, 3, 3, P, P): frame, its background, 1 where that is known

    def tensors(self) -> dict[str, Tensor]:
        """Name -> tensor, of those that it holds."""
        named = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in named if isinstance(value, Tensor)}

    @property
    def size(self) -> int:
        """Patches of a kind; 1 where it holds no tensor."""
        return min((len(value) for value in self.tensors().values()), default=1)

    def split(self: AnyBatch, parts: int) -> list[AnyBatch]:
        """So many batches, one after the other, whose sizes differ by one at most."""
        bounds = [self.size * number // parts for number in range(parts + 1)]
        batches = []
        for start, end in pairwise(bounds):
            own: dict[str, Any] = {k: value[start:end] for k, value in self.tensors().items()}
            batches.append(replace(self, **own))
        return batches


@runtime_checkable
class Objective(Protocol):
    """A self-supervised loss, as an `nn.Module` that holds the networks it trains.

    Returns raw, unweighted scalars by name, means over the batch. All randomness comes from the
    generator. One that compares the pictures of a batch with each other says so by an attribute
    `whole_batch = True`; others may be given a batch in parts, side by side. What needs none of its
    networks may be split off into a method `prepare(batch, generator) -> batch`, of a type that
    `__call__` takes as prepared: it is called for a whole batch, and may be a step ahead.
    """

    def __call__(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]: ...

    def state_dict(self) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Player:
    """An objective with the weight of each of its terms and the optimizer that lowers their sum.

    Plain losses need one player, adversarial ones two or more, who take turns in order.

    Args:
        objective: What is lowered, an `Objective`.
        weights: Of each of its terms.
        optimizer: Of the parameters that this player moves.
        name: Before the terms in the log where there are several: `critic.penalty`.
        schedule: (step, progress) -> factor on the learning rate; by default a warm-up and half a
            cosine down to `lr_floor` of the recipe.
        largest_gradient: Norm above which a step is shortened.
    """

    objective: nn.Module
    weights: Mapping[str, float]
    optimizer: torch.optim.Optimizer
    name: str = "restorer"
    schedule: Callable[[int, float], float] | None = None
    largest_gradient: float = 1.0


@dataclass(frozen=True)
class Average:
    """`ema`, the exponential moving average of a network `of` the same shape, at rest itself."""

    ema: nn.Module
    of: nn.Module
    decay: float = 0.999

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {self.decay:g}")


@dataclass(frozen=True, kw_only=True)
class Learning:
    """What `fit` runs: the players, in the order of their turns, and what is averaged."""

    players: tuple[Player, ...]
    averages: tuple[Average, ...] = ()
    lr_floor: float = 0.02  # the cosine schedule ends at this share of the learning rate
    frozen_batchnorm: bool = False  # the norms of averaged networks keep the statistics they have


@dataclass(frozen=True, kw_only=True)
class Recipe(Learning):
    """Everything that learns a restorer from a folder; a file in `recipes/` builds it."""

    task: str  # what the restorer is for: a file in `tasks/`
    network: str
    keywords: dict[str, object]
    restorer: Restorer  # in training
    needs: frozenset[str] = field(default_factory=lambda: frozenset({"clean", "degraded"}))
    batch: int = 16
    patch: int = 64
    anchor: Restorer | None = None  # what the run started from, at rest: for an objective
    warm_rate: float = 1.0  # factor on the learning rates after a warm start
    forms: tuple[Recipe, ...] = ()  # the same learning for checkpoints of another network
    upright: bool = True  # degraded pictures are mirrored left to right only: rain falls down
    shrink: int = 3  # large pictures are also seen at up to this part of their size
    coarse_from: int | None = None  # of the restorer, as in `Restorer`
    keeps_scales: bool = False  # after a warm start that of the start
    paired: bool = False  # the clean pictures are of the same scenes as the degraded ones
    notes: tuple[str, ...] = ()  # what the recipe chose for these pictures, a line each

    @property
    def ema(self) -> Restorer:
        """What is saved and used: the average of the restorer; itself where it has none."""
        found = (average.ema for average in self.averages if average.of is self.restorer)
        return cast(Restorer, next(found, self.restorer))


class FrameDegradation(Protocol):
    """What the frames of one stream, or one picture, tell of their degradation."""

    def measure(self, name: str, frame: Pixels) -> None:
        """Take a further frame into account; UserError for one that does not show it."""

    @property
    def prior(self) -> Degradation | None:
        """The degradation of the frames measured so far; None where none showed it."""

    def rejected_reason(self, frame: Pixels, before: Pixels, after: Pixels) -> str | None:
        """Why `after` restores a frame worse than `before`; None where nothing says so."""


@dataclass(frozen=True)
class Undoing:
    """An objective that learns to undo its `prior`, an attribute that may be exchanged."""

    objective: nn.Module
    weights: Mapping[str, float]


@dataclass(frozen=True)
class StreamModel:
    """What an adapter knows of the degradation of a stream."""

    frames: Callable[[Restorer], FrameDegradation]  # of a stream that the restorer restores
    undo: Callable[[Restorer, Restorer, Any], Undoing]  # (restorer, ema, prior)
    prior: Degradation  # until a frame was measured
    upright: bool = False  # frames may not be rotated, as what falls down keeps falling
    learns_from_restored: bool = False  # frame2frame: the target is the neighbour as restored
    lr: Mapping[str, float] = field(default_factory=dict)  # by adapter, where not its own


@dataclass(frozen=True, kw_only=True)
class Task:
    """Everything particular about what is restored; a file in `tasks/` defines one as `task`.

    Its name is that of the file, of the command, and of the built-in weights.
    """

    name: str
    recipe: str  # that `fit` takes by default
    solver: str  # that learns from one picture
    solver_settings: Mapping[str, Any] = field(default_factory=dict)  # other than its defaults
    mask: str = ""  # which the solver cannot do without: white is what to "mend", or what to "fill"
    adapter: str = ""  # that learns from a stream; "": none does
    calibration: str = ""  # kind of that of a folder: a file in `calibration/`; "": none
    prior: Callable[[], Degradation]  # of all kinds, for what knows nothing of the pictures
    # The classical filter to beat, and its name. A result smaller than the truth is enlarged.
    baseline: tuple[str, Callable[[Pixels], Pixels]]
    # (degraded, restored), without a truth
    measure: Callable[[Pixels, Pixels], dict[str, float]] = lambda degraded, restored: {}
    stream: StreamModel | None = None  # what adapters know of it; None: it has no stream
    symmetry: tuple[int, ...] = SQUARE  # positions of a picture that it does not tell apart
    built_in: bool = True  # a restorer is installed; else the command runs the solver
    clip_recipe: str = ""  # that `fit` takes for a clip, or frames of one camera; "": none does
    # That `fit` takes for pictures with this file of a calibration, instead of `recipe`.
    recipe_for: Callable[[Path], str] | None = None
