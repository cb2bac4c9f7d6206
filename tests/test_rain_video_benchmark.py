"""The truth that neighbours in time give, against the one that is known."""

from __future__ import annotations

import numpy as np
import pytest
from moving import frames


@pytest.fixture
def rain_video(script):
    return script("rain_video")


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
    assert found > level(rainy[5][place.trusted], clean[5][place.trusted]) + 10


def test_figures_tell_the_clean_video_from_the_rainy_one(rain_video, clean):
    rainy = dashed(clean)
    places = [rain_video.place(rainy, 5, 5)]
    assert rain_video.decibels(clean, places) > rain_video.decibels(rainy, places) + 10
    assert rain_video.flicker(clean, places) < 0.2 * rain_video.flicker(rainy, places)


def test_the_truth_is_made_of_the_neighbours_within_reach_and_not_of_the_frame(rain_video, clean):
    assert sorted(rain_video.place(clean, 5, 4).flows) == [1, 2, 3, 4, 6, 7, 8, 9]
    assert sorted(rain_video.place(clean, 1, 5).flows) == [0, 2, 3, 4, 5, 6]


def test_the_light_of_drops_is_told_apart_from_what_else_changed(rain_video, clean):
    rainy = dashed(clean)
    places = [rain_video.place(rainy, 5, 5)]
    trusted = places[0].trusted
    assert rain_video.light_left(rainy, rainy, places) == pytest.approx(1)
    assert abs(rain_video.light_left(rainy, clean, places)) < 0.1
    whole = np.sqrt(np.square(rainy[5].astype(float) - clean[5])[trusted].mean())
    assert rain_video.changed(rainy, clean, places) < 0.5 * whole  # dashes cut by what is not
    darker = [frame - 10 for frame in rainy]
    assert rain_video.changed(rainy, darker, places) == pytest.approx(10)
    marked, dashes = rain_video.drops(rainy[5], places[0]), (rainy[5] != clean[5]).any(2) & trusted
    assert (marked & ~dashes).sum() < 0.05 * marked.sum()
    assert (marked & dashes).sum() > 0.6 * dashes.sum()


def test_no_drop_leaves_no_share_of_its_light(rain_video, clean):
    places = [rain_video.place(clean, 5, 5)]
    assert not rain_video.drops(clean[5], places[0]).any()
    assert np.isnan(rain_video.light_left(clean, clean, places))
