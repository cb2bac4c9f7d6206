"""The one training loop: an iterator of rows.  The caller logs, saves and stops."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from torch import nn

from ssl_restore.errors import UserError
from ssl_restore.training import parts as side
from ssl_restore.training.ema import MovingAverage
from ssl_restore.training.group import of_leader
from ssl_restore.training.turn import Part, Turns
from ssl_restore.types import Batch, Learning


@dataclass(frozen=True)
class Row:
    """One step: what the log holds."""

    step: int  # steps done
    progress: float  # share of the run done before it, 0 to 1
    seconds: float  # training time, this step included, over all sessions of the run
    lr: float  # of the first player
    losses: dict[str, float]
    scores: dict[str, float] = field(default_factory=dict)  # without a truth, where measured


def fit(
    learning: Learning,
    draw: Callable[[int, float], Batch],
    *,
    seed: int,
    steps: int | None = None,
    seconds: float | None = None,
    done: int = 0,
    spent: float = 0.0,
    precision: str = "auto",
    parts: int | None = None,
    ahead: bool = False,
) -> Iterator[Row]:
    """Train until `steps` steps or `seconds` of training are done, whichever is first.

    With `steps` alone the result depends on the seed and the number of parts: an interrupted run
    that goes on ends with the same bits. With `seconds` the learning rate follows the clock, and it
    cannot. At least one step is made.

    Processes that torchrun has started (`device.start`) each call it, for the same learning and
    batches of their own; gradients, running statistics and losses are their means.

    Args:
        learning: A recipe, or its players and averages alone; networks are trained where they are.
        draw: (step, progress) -> the batch of a step.
        seed: Of all that objectives draw.
        steps: At most; of all sessions of the run together.
        seconds: At most; of all sessions together.
        done: Steps of sessions before this one.
        spent: Seconds of sessions before this one.
        precision: As of `device.autocast`.
        parts: Into how many a batch is split, to be computed side by side with one thread each;
            None chooses by its size and the device. One leaves threads to the operations; it is
            always one in each of several processes.
        ahead: The next batch is drawn and prepared by another thread while this one is learned
            from, to the same bits. What `draw` gives must depend on the step alone then, but for
            the progress, and objectives must be left as they are between the steps.

    Yields:
        A row after each step. With several players its losses are named `player.term`.

    Raises:
        Diverged: Where a loss or gradient is not finite; it names the step and the term.
        UserError: For steps, seconds or parts that are not positive.
    """
    _check(learning, steps, seconds, parts)
    turns = [Turns(learning, number, seed=seed, precision=precision)
             for number in range(len(learning.players))]  # fmt: skip
    averages = [MovingAverage(average) for average in learning.averages]
    for average in learning.averages:
        average.of.train()
        average.ema.eval()
        if learning.frozen_batchnorm:
            freeze_batchnorm(average.of)

    def drawn(step: int, progress: float) -> list[list[Part]]:
        batch = draw(step, progress)
        count = parts or side.usual_parts(batch.size, turns[0].device)
        return [turn.parts(batch, step, count) for turn in turns]

    begun = time.monotonic() - spent
    with (
        side.side_by_side(parts or side.PARTS) as workers,
        side.drawing(drawn, ahead=ahead) as draws,
    ):
        while True:
            shares = [done / steps] if steps is not None else []
            if seconds is not None:
                shares.append(of_leader(time.monotonic() - begun, turns[0].device) / seconds)
            progress = min(1.0, max(shares))
            if progress >= 1 and done > 0:
                return
            own = draws.take(done, progress)
            following = partial(draws.begin, done + 1, progress)
            losses: dict[str, float] = {}
            with side.one_thread(max(map(len, own)) > 1):
                for turn, batches in zip(turns, own, strict=True):
                    last = turn is turns[-1]
                    losses |= turn.take(
                        batches, done, progress, workers, following if last else None
                    )
                done += 1
                for moving in averages:
                    moving.update(done)
            yield Row(done, progress, time.monotonic() - begun, turns[0].lr, losses)


def freeze_batchnorm(net: nn.Module) -> None:
    """Let norms use the statistics that they have, and not those of the batch."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _check(learning: Learning, steps: int | None, seconds: float | None, parts: int | None) -> None:
    names = [player.name for player in learning.players]
    if len(set(names)) < len(names):
        raise ValueError(f"players must have names of their own, got {names}")
    if steps is None and seconds is None:
        raise ValueError("give steps, seconds or both")
    if seconds is not None and not seconds > 0:
        raise UserError(f"more than 0 is expected, got {seconds:g}", parameter="seconds")
    for parameter, value in (("steps", steps), ("parts", parts)):
        if value is not None and value < 1:
            raise UserError(f"at least 1 is expected, got {value}", parameter=parameter)
