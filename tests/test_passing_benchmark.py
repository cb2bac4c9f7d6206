"""The bench of a thing that passes a fixed camera: the scenes that it makes."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def bench(script):
    return script("passing")


def test_the_thing_hides_what_is_behind_it_and_not_the_rain_before_it(bench):
    frames = [np.full((240, 200, 3), 60, np.uint8) for _ in range(25)]
    for number, frame in enumerate(frames):
        frame[:, 8 * number : 8 * number + 3] += np.uint8(50)
    photograph = np.full((200, 300, 3), 140, np.uint8)
    there = list(bench.scenes(frames, photograph, back=False))
    back = list(bench.scenes(frames, photograph, back=True))
    assert len(there) == 25
    for (rainy, truth, without, mask), frame in zip(there, frames, strict=True):
        assert (without == 60).all()
        assert (truth[mask] == 140).all()
        assert (truth[~mask] == 60).all()
        assert (rainy[~mask] == frame[~mask]).all()
        assert (rainy[mask] == 140 + frame[mask] - 60).all()
    seen, seen_back = (
        [mask.any(axis=0).nonzero()[0].mean() for *_, mask in scenes if mask.any()]
        for scenes in (there, back)
    )
    assert len(seen) == 9
    assert np.all(np.diff(seen) > 10)
    assert seen == seen_back[::-1]
