"""Degradations on a photograph: in bands, in order, over frames, and in numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from degradations import (
    Chain,
    Haze,
    Noise,
    PoissonNoise,
    Rain,
    Rainfall,
    RainParams,
    add_rain,
    add_rainfall,
    at_frame,
    bands,
    describe,
    extinction_per_m,
    quantise,
    render,
    streak_layer,
    to_display,
    to_linear,
)
from ssl_restore import discover, rng
from ssl_restore.errors import UserError
from ssl_restore.io.shots import Frame
from ssl_restore.synthesis import presets
from ssl_restore.synthesis.degrader import Degrader

SHAPE = (1, 3, 90, 70)


def stream(seed=3):
    return rng.derive(seed, "test")


def frame(number=None, shot="a.png", variant=0):
    return Frame(Path(shot), shot, "a", variant, number)


def degrader(**steps):
    return Degrader(steps, ("rainy", "clean", "rain"), {}, seed=1, fps=25)


@pytest.fixture
def photo():
    return quantise(0.1 + 0.7 * torch.rand(SHAPE, generator=stream(4)))


def test_bands_render_what_the_whole_picture_renders(monkeypatch, photo):
    params = presets.PRESETS["storm"].sample(SHAPE, stream())
    monkeypatch.setattr(bands, "BAND_PIXELS", 70 * 13)
    rainy, streaks = render(Rain(), photo, params)
    torch.testing.assert_close(rainy, add_rain(photo, params), rtol=0, atol=1e-4)
    torch.testing.assert_close(streaks, streak_layer(params, 90, 70), rtol=0, atol=1e-4)
    assert streaks.max() > 0.05


def test_bands_of_rainfall_gather_the_light_of_the_whole_picture_black_bands_too(
    monkeypatch, photo
):
    params = Rainfall(rate_mm_per_h=(50, 50), focal_px=(70, 70), around=(4, 4)).sample(
        SHAPE, stream()
    )
    photo[:, :, :40] = 0
    monkeypatch.setattr(bands, "BAND_PIXELS", 70 * 13)
    rainy, streaks = render(Rainfall(), photo, params)
    torch.testing.assert_close(rainy, add_rainfall(photo, params), rtol=0, atol=1e-4)
    torch.testing.assert_close(streaks, streak_layer(params.rain, 90, 70), rtol=0, atol=1e-4)
    assert streaks[:, :, :40].max() > 0.02


def test_haze_rain_drops_and_noise_come_in_this_order(photo):
    made = presets.rain(seed=1, preset="moderate", haze=True, drops=True, noise=True)
    (rainy, clean, streaks), drawn = made.layers(photo, frame())
    assert list(drawn) == ["haze", "rain", "drops", "noise"]
    image = photo
    for name in drawn:
        prior = made.steps[name]
        params = prior.sample(SHAPE, rng.derive(1, f"synth/a.png/{name}", 0))
        image = prior.apply(image, params)
    torch.testing.assert_close(rainy, quantise(image), rtol=0, atol=1.01 / 255)
    assert torch.equal(clean, photo)
    assert streaks.max() > 0.02


@pytest.mark.parametrize("haze", [False, True])
def test_further_steps_leave_the_rain_as_it_was(photo, haze):
    alone, _ = presets.rain(preset="heavy").layers(photo, frame())
    with_haze, _ = presets.rain(preset="heavy", haze=haze).layers(photo, frame())
    assert torch.equal(alone[2], with_haze[2])
    assert torch.equal(alone[0], with_haze[0]) is not haze


def test_what_is_logged_of_rainfall_is_what_was_drawn(photo):
    made = degrader(rain=Rainfall())
    _, drawn = made.layers(photo, frame())
    rain = drawn["rain"]
    beta = extinction_per_m(torch.tensor(rain["rate_mm_per_h"]))
    expected = (-beta * rain["scene_m"]).exp()
    assert rain["transmission"] == pytest.approx(float(expected), rel=1e-4)
    assert 2 <= rain["rate_mm_per_h"] <= 100


@dataclass(frozen=True)
class OneStreak(Rain):
    """A streak of 8 pixels that falls a little to the right."""

    def sample(self, shape, generator):
        def one(value):
            return torch.full((1, 1), float(value))

        return RainParams(
            one(20), one(25), one(0.3), one(8), one(1.5), one(0.2), one(0.5),
            one(0), one(1), one(0),
            torch.ones(1, 1, dtype=torch.bool), torch.ones(1), torch.ones(1), torch.ones(1),
        )  # fmt: skip


def middle(layer):
    """(x, y) of the light's centre of mass."""
    y, x = torch.meshgrid(torch.arange(90.0), torch.arange(70.0), indexing="ij")
    return torch.stack([(layer[0, 0] * side).sum() / layer.sum() for side in (x, y)])


def test_a_streak_moves_by_its_length_over_the_shutter_from_frame_to_frame(photo):
    made = degrader(rain=OneStreak())
    places = [middle(made.layers(photo, frame(number))[0][2]) for number in (1, 2, 3)]
    torch.testing.assert_close(places[0], torch.tensor([20.0, 25.0]), rtol=0, atol=0.05)
    way = 8 / 0.5 * torch.tensor([0.3]).sin(), 8 / 0.5 * torch.tensor([0.3]).cos()
    for before, after in pairwise(places):
        torch.testing.assert_close(after - before, torch.cat(way), rtol=0, atol=0.1)


def test_a_drop_of_rainfall_falls_for_the_time_between_frames(photo):
    exposure, fps = 0.004, 25.0
    prior = Rainfall(
        rate_mm_per_h=(50, 50), exposure_s=(exposure, exposure), focal_px=(90, 90), near_m=3.0
    )
    params = prior.sample(SHAPE, stream()).rain
    nested = prior.sample(SHAPE, stream())
    later = at_frame(prior, nested, 2, SHAPE, fps=fps, generator=stream()).rain
    fell = later.y_px - params.y_px
    way = params.length_px * params.angle_rad.cos() / (exposure * fps)
    inside = later.y_px > params.y_px  # has not come in again above
    assert inside.sum() > 10
    torch.testing.assert_close(fell[inside], way[inside], rtol=1e-3, atol=0.01)


def test_the_first_frame_is_the_picture_alone(photo):
    made = degrader(haze=Haze(), rain=presets.PRESETS["heavy"])
    one, _ = made.layers(photo, frame())
    first, _ = made.layers(photo, frame(1))
    assert all(torch.equal(a, b) for a, b in zip(one, first, strict=True))
    second, _ = made.layers(photo, frame(2))
    assert not torch.equal(first[2], second[2])


def test_haze_stays_over_the_frames(photo):
    made = degrader(haze=Haze())
    first, second = (made.layers(photo, frame(number))[0][0] for number in (1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, photo)


def test_haze_at_night_is_haze_by_day_that_was_darkened(photo):
    day, _ = degrader(haze=Haze()).layers(photo, frame())
    night, drawn = replace(degrader(haze=Haze()), light=(0.2, 0.2)).layers(photo, frame())
    assert drawn["light"] == pytest.approx(0.2)
    darkened = to_display(0.2 * to_linear(day[0]))
    torch.testing.assert_close(night[0], darkened, rtol=0, atol=2.5 / 255)


@pytest.mark.parametrize("prior", [Noise(gain=(0.001, 0.01)), PoissonNoise()])
def test_noise_keeps_its_level_over_the_frames_and_draws_its_grain_anew(photo, prior):
    made = degrader(noise=prior)
    (first, *_), drawn = made.layers(photo, frame(1))
    (second, *_), later = made.layers(photo, frame(2))
    assert drawn["noise"]["gain"] == later["noise"]["gain"]
    assert (first != second).float().mean() > 0.3


@pytest.mark.parametrize("name", discover.degradations())
def test_every_degradation_is_logged_as_json_that_gives_its_scalars_back(name):
    prior = discover.degradation(name)()
    params = prior.sample((1, 3, 12, 10), stream())
    said = describe(prior, params, 12, 10)
    assert said
    assert json.loads(json.dumps(said)) == said
    for key, value in vars(params).items():
        if key in said and isinstance(value, torch.Tensor) and value.shape == (1,):
            assert said[key] == pytest.approx(value.item(), rel=1e-5)


def test_a_map_is_logged_by_its_mean_and_range(photo):
    params = Haze().sample(SHAPE, stream())
    said = describe(Haze(), params, 90, 70)
    assert said["depth_m"]["min"] == pytest.approx(float(params.depth_m.min()), rel=1e-5)
    assert len(said["airlight"]) == 3


def test_ranges_that_nothing_can_be_drawn_from_are_refused():
    with pytest.raises(UserError, match="rain: a range needs low <= high"):
        degrader(rain=replace(Rain(), angle_rad=(1, 0))).check()
    with pytest.raises(UserError, match=r"exposure_s: 0\.1 s do not fit into 25 frames"):
        degrader(rain=Rainfall(exposure_s=(0.01, 0.1))).check()
    degrader(rain=Chain((Haze(), Noise()))).check()
