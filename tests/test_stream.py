"""What the loop of the adapters remembers."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_restore.adapters import stream
from ssl_restore.adapters.memory import Memory
from ssl_restore.adapters.stream import Course


def test_newest_are_kept_online():
    memory = Memory(newest=True)
    for number in range(10):
        memory.add(number, 4)
    assert memory.kept == [6, 7, 8, 9]


@pytest.mark.parametrize("count", [3, 9, 100, 1000])
def test_kept_are_spread_evenly_over_a_video_of_any_length(count):
    memory = Memory(newest=False)
    for number in range(count):
        memory.add(number, 8)
    steps = np.diff(memory.kept)
    assert min(count, 4) <= len(memory.kept) <= 8
    assert memory.kept[0] == 0
    assert len(set(steps)) == 1
    assert count - memory.kept[-1] <= steps[0]


def test_large_frames_are_fewer():
    small, large, huge = (
        stream.room(np.empty((side, side, 3), np.uint8)) for side in (64, 1200, 5000)
    )
    assert small == stream.MOST_KEPT > large > huge == stream.LEAST_KEPT


def test_steps_and_seconds_together_are_a_mistake():
    with pytest.raises(ValueError, match="not both"):
        Course(steps=1, seconds=1.0)


def test_seconds_are_kept():
    """Of each frame online: so long is learned from every frame, and no step more."""
    steps = iter(range(10**6))
    stream._some(steps, Course(online=True, seconds=0.01))
    first = next(steps)
    assert first > 0
    stream._some(steps, Course(online=True, steps=7))
    assert next(steps) == first + 8
