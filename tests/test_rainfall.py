"""Rain from the weather: meteorology and optics against textbooks and against counting."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from degradations.haze import HazeParams, add_haze
from degradations.rainfall import (
    Rainfall,
    add_rainfall,
    drop_density,
    extinction_per_m,
    fall_speed,
)

PINHOLE = Rainfall(
    rate_mm_per_h=(40, 40), wind_m_per_s=(0, 0), gusts_m_per_s=0, focal_px=(500, 500),
    exposure_s=(0.002, 0.002), aperture_m=(1e-9, 1e-9), near_m=0.5, far_m=4,
)  # fmt: skip


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def streaks_of(prior, shape=(4, 3, 60, 80), seed=0):
    """The drawn parameters, and the fields of the streaks that are there."""
    params = prior.sample(shape, stream(seed))
    there = params.rain.present
    fields = dataclasses.asdict(params.rain)
    return params, {n: v[there] for n, v in fields.items() if v.shape == there.shape}


# The numbers of meteorology


@pytest.mark.parametrize(
    ("diameter_mm", "cm_per_s"),
    [(0.5, 206), (1, 403), (1.4, 517), (2, 649), (2.6, 757), (3, 806), (4, 883), (5, 909)],
)
def test_drops_fall_as_gunn_and_kinzer_measured_within_two_percent(diameter_mm, cm_per_s):
    assert fall_speed(torch.tensor(diameter_mm)).item() == pytest.approx(cm_per_s / 100, rel=0.02)


def test_no_drop_falls_upwards():
    assert fall_speed(torch.tensor([0.0, 0.05, 0.1])).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("rate", "flux"), [(1.0, 1.18), (5.0, 5.90), (25.0, 28.2), (100.0, 105.0)])
def test_the_water_that_falls_is_the_rate_as_well_as_marshall_and_palmer_fit_it(rate, flux):
    step = 0.002
    mm = torch.arange(step / 2, 10, step, dtype=torch.float64)
    water_m = math.pi / 6 * (mm / 1000) ** 3 * fall_speed(mm)  # a second, per drop and m^2
    density = drop_density(mm, torch.tensor(rate, dtype=torch.float64))
    assert ((density * water_m).sum() * step * 3600 * 1000).item() == pytest.approx(flux, rel=0.005)


def test_extinction_of_a_downpour():
    assert extinction_per_m(torch.tensor(1.0)).item() == pytest.approx(0.312e-3)
    assert extinction_per_m(torch.tensor(50.0)).item() == pytest.approx(4.29e-3, rel=0.01)


# The numbers of the camera


def test_a_pinhole_covers_each_streak_by_the_drop_that_drew_it():
    _, streaks = streaks_of(PINHOLE)
    ratio = streaks["length_px"] / streaks["width_px"]  # v T / D
    opacity = 1 - (-streaks["brightness"]).exp()
    torch.testing.assert_close(opacity, math.pi / 4 / ratio, rtol=1e-3, atol=1e-5)
    mm = torch.linspace(0.5, 6, 200)
    possible = fall_speed(mm) * 0.002 / (mm / 1000)
    assert possible.min() * 0.999 <= ratio.min()
    assert ratio.max() <= possible.max() * 1.001


def test_streaks_grow_with_the_exposure():
    def ratio(exposure):
        prior = dataclasses.replace(PINHOLE, exposure_s=(exposure, exposure), faintest=0.001)
        _, streaks = streaks_of(prior)
        return (streaks["length_px"] / streaks["width_px"]).median().item()

    assert ratio(0.004) == pytest.approx(2 * ratio(0.002), rel=0.1)


def test_as_many_drops_are_seen_as_the_air_before_the_lens_holds():
    prior = dataclasses.replace(PINHOLE, far_m=0.8, faintest=1e-6)
    _, streaks = streaks_of(prior, (64, 3, 240, 320))
    x, y = streaks["x_px"], streaks["y_px"]
    inside = ((x >= 0) & (x < 320) & (y >= 0) & (y < 240)).sum().item()
    volume = 240 * 320 / 500**2 * (0.8**3 - 0.5**3) / 3
    mm = torch.arange(0.5005, 6, 0.001)
    expected = 64 * volume * drop_density(mm, torch.tensor(40.0)).sum().item() * 0.001
    assert expected > 1000
    assert inside == pytest.approx(expected, abs=4 * math.sqrt(expected))


def test_defocus_spreads_the_light_of_a_drop_and_keeps_its_amount():
    def blocked(aperture):
        prior = dataclasses.replace(PINHOLE, aperture_m=(aperture, aperture), faintest=0.001)
        _, streaks = streaks_of(prior, (16, 3, 60, 80))
        opacity = 1 - (-streaks["brightness"]).exp()
        return (opacity * streaks["length_px"] * streaks["width_px"]).median().item()

    assert blocked(0.005) == pytest.approx(blocked(1e-9), rel=0.1)


@pytest.mark.parametrize("wind", [-4.0, 4.0])
def test_the_wind_turns_the_streaks_its_way(wind):
    prior = dataclasses.replace(PINHOLE, wind_m_per_s=(wind, wind))
    _, streaks = streaks_of(prior)
    slowest, fastest = fall_speed(torch.tensor(0.5)).item(), fall_speed(torch.tensor(6.0)).item()
    angle = streaks["angle_rad"] * math.copysign(1, wind)
    assert math.atan2(4, fastest) - 1e-4 <= angle.min()
    assert angle.max() <= math.atan2(4, slowest) + 1e-4


# The picture


def test_a_drop_in_even_light_is_not_seen():
    params = PINHOLE.sample((2, 3, 40, 40), stream())
    grey = torch.full((2, 3, 40, 40), 0.5)
    rain = dataclasses.replace(params.rain, airlight=torch.full((2,), 0.5))
    params = dataclasses.replace(params, rain=rain, around=torch.ones(2))
    torch.testing.assert_close(add_rainfall(grey, params), grey, atol=1e-5, rtol=0)
    bright = dataclasses.replace(params, around=torch.full((2,), 2.0))
    assert (add_rainfall(grey, bright) - grey).max() > 0.01


def test_without_streaks_it_is_haze():
    params = PINHOLE.sample((2, 3, 20, 30), stream())
    absent = torch.zeros_like(params.rain.present)
    params = dataclasses.replace(params, rain=dataclasses.replace(params.rain, present=absent))
    image = torch.rand(2, 3, 20, 30, generator=stream(1))
    distance = torch.full((2, 1, 1, 1), 100.0)
    beta = -params.rain.transmission.log() / 100
    haze = HazeParams(distance, beta, params.rain.airlight[:, None].expand(2, 3))
    torch.testing.assert_close(add_rainfall(image, params), add_haze(image, haze))


@pytest.mark.parametrize("name", ["rate_mm_per_h", "focal_px", "exposure_s", "aperture_m"])
def test_what_cannot_be_is_refused_by_its_name(name):
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        dataclasses.replace(Rainfall(), **{name: (-1.0, 2.0)}).sample((1, 3, 8, 8), stream())


def test_the_air_must_begin_before_it_ends():
    with pytest.raises(ValueError, match="near_m < far_m"):
        Rainfall(near_m=5, far_m=2).sample((1, 3, 8, 8), stream())
