"""The truth that neighbours in time give, against the one that is known."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from moving import frames

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def rain_video(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("rain_video")
    sys.modules.pop("rain_video", None)


def dashed(clean, seed=0):
    """Frames with bright upright dashes, elsewhere in every frame."""
    draws, made = np.random.default_rng(seed), []
    for frame in clean:
        rainy = frame.copy()
        for top, left in draws.integers(0, (70, 94), (15, 2)):
            streak = rainy[top : top + 8, left : left + 2]
            streak += np.minimum(80, 255 - streak)
        made.append(rainy)
    return made


@pytest.fixture
def clean():
    return frames(11, step=1)


def level(a, b):
    return 10 * np.log10(255**2 / np.square(a.astype(np.float64) - b).mean())


def test_the_median_of_the_neighbours_is_the_frame_without_its_rain(rain_video, clean):
    rainy = dashed(clean)
    place = rain_video.place(rainy, 5, 5)
    assert place.trusted.mean() > 0.5
    found = level(place.median[place.trusted], clean[5][place.trusted])
    assert found > level(rainy[5][place.trusted], clean[5][place.trusted]) + 6


def test_figures_tell_the_clean_video_from_the_rainy_one(rain_video, clean):
    rainy = dashed(clean)
    places = [rain_video.place(rainy, 5, 5)]
    assert rain_video.decibels(clean, places) > rain_video.decibels(rainy, places) + 6
    assert rain_video.flicker(clean, places) < 0.2 * rain_video.flicker(rainy, places)


def test_the_frame_itself_is_no_part_of_its_truth(rain_video, clean):
    changed = list(clean)
    place = rain_video.place(clean, 5, 5)
    changed[5] = clean[5] ^ 1  # too little to move the flow much
    other = rain_video.place(changed, 5, 5)
    both = place.trusted & other.trusted
    assert np.abs(other.median - place.median)[both].mean() < 0.1
