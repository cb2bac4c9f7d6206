"""Rain from the weather: meteorology and optics against textbooks and against counting."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from degradations import (
    HazeParams,
    Rainfall,
    Weather,
    add_haze,
    add_rainfall,
    drop_density,
    expected_coverage,
    extinction_per_m,
    fall_speed,
    implied_rate,
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
    fields = {n: v for n, v in dataclasses.asdict(params.rain).items() if v is not None}
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


def test_a_drop_that_covers_too_little_of_a_pixel_is_not_drawn():
    prior = dataclasses.replace(PINHOLE, exposure_s=(0.0005, 0.0005), far_m=20, faintest=0.02)
    _, streaks = streaks_of(prior, (16, 3, 60, 80))
    opacity = 1 - (-streaks["brightness"]).exp()
    core = streaks["width_px"].clamp(max=1) * streaks["length_px"].clamp(max=1)
    assert (streaks["length_px"] < 1).sum() > 100
    assert (opacity * core).min() > 0.02 * 0.8  # a class of sizes is judged by its middle


# Coverage and the rate it implies


@pytest.mark.parametrize(("rate", "focal", "exposure"), [(10, 300, 0.002), (60, 700, 0.008)])
def test_drawn_streaks_cover_as_much_as_expected(rate, focal, exposure):
    prior = dataclasses.replace(
        PINHOLE, rate_mm_per_h=(rate, rate), focal_px=(focal, focal),
        exposure_s=(exposure, exposure), near_m=0.3, far_m=20,
    )  # fmt: skip
    rain = prior.sample((200, 3, 60, 80), stream()).rain
    inside = (rain.x_px >= 0) & (rain.x_px < 80) & (rain.y_px >= 0) & (rain.y_px < 60)
    area = (rain.length_px * rain.width_px * (rain.present & inside)).double().sum(1) / (60 * 80)
    error = area.std().item() / math.sqrt(len(area))
    expected = expected_coverage(rate, focal, exposure).item()
    assert error < 0.1 * expected
    assert area.mean().item() == pytest.approx(expected, abs=3.5 * error)


def test_coverage_is_what_the_integral_over_sizes_says():
    mm = torch.arange(0.5005, 6, 0.001, dtype=torch.float64)
    density = drop_density(mm, torch.tensor(40.0, dtype=torch.float64))
    integral = (density * fall_speed(mm) * 0.002 * mm / 1000).sum().item() * 0.001 * (4 - 0.5)
    coverage = expected_coverage(40.0, 500.0, 0.002, faintest=1e-12, air_m=(0.5, 4.0))
    assert coverage.item() == pytest.approx(integral, rel=2e-3)


def test_coverage_is_linear_in_the_exposure_while_no_drop_is_too_faint():
    exposures = torch.tensor([0.005, 0.01, 0.02])
    coverage = expected_coverage(30.0, 500.0, exposures, faintest=1e-12)
    torch.testing.assert_close(coverage, coverage[0] * torch.tensor([1.0, 2.0, 4.0]).double())
    seen = expected_coverage(30.0, 500.0, exposures)
    assert seen[2] < 2 * seen[0]


@pytest.mark.parametrize("exposure", [1 / 60, 1 / 250, 1 / 2000])
def test_more_rain_covers_more(exposure):
    rates = torch.logspace(-1, 2.5, 30)
    coverage = expected_coverage(rates, 600.0, exposure)
    assert coverage.shape == rates.shape
    assert (coverage.diff() > 0).all()


@pytest.mark.parametrize("rate", [0.3, 5.0, 40.0, 250.0])
@pytest.mark.parametrize("exposure", [1 / 60, 1 / 1000])
def test_the_rate_comes_back_from_its_coverage(rate, exposure):
    coverage = expected_coverage(rate, 500.0, exposure, faintest=0.005).item()
    found = implied_rate(coverage, focal_px=500, exposure_s=exposure, faintest=0.005)
    assert found == pytest.approx(rate, rel=1e-6)


def test_a_coverage_beyond_the_rates_is_answered_by_the_nearer_end():
    assert implied_rate(0.0, focal_px=500, exposure_s=0.01) == 0.1
    assert implied_rate(1e3, focal_px=500, exposure_s=0.01) == 300


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"coverage": -0.1}, r"coverage must be at least 0 \(streak pixels per pixel\)"),
        ({"coverage": math.nan}, r"coverage must be at least 0 \(streak pixels per pixel\)"),
        ({"focal_px": 0.0}, r"focal_px must be above 0 \(px\)"),
        ({"exposure_s": -0.01}, r"exposure_s must be above 0 \(s\)"),
        ({"exposure_s": 60.0}, "no drop is seen singly at focal_px 500.0 px and exposure_s 60.0 s"),
        ({"air_m": (3.0, 1.0)}, "near_m < far_m expected, got 3.0, 1.0 m"),
    ],
)
def test_a_coverage_or_camera_that_cannot_be_is_refused_with_its_unit(wrong, said):
    arguments = {"coverage": 0.1, "focal_px": 500.0, "exposure_s": 0.01} | wrong
    with pytest.raises(ValueError, match=said):
        implied_rate(arguments.pop("coverage"), **arguments)


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


# The camera of a picture


def test_the_focal_length_of_weather_is_that_many_longer_sides_of_the_picture():
    prior = Weather(focal_sides=(0.5, 0.5), focal_px=(1, 1)).for_picture(30, 40, stream())
    assert type(prior) is Rainfall
    assert prior.focal_px == (20, 20)


def test_weather_draws_what_rainfall_of_its_focal_length_draws():
    weather = Weather(rate_mm_per_h=(50, 50), focal_sides=(1, 2))
    params = weather.sample((2, 3, 30, 40), stream())
    alike = Rainfall(rate_mm_per_h=(50, 50), focal_px=(40, 80)).sample((2, 3, 30, 40), stream())
    assert params.rain.present.any()
    assert torch.equal(params.rain.length_px, alike.rain.length_px)


def test_every_range_of_one_picture_is_a_point_within_the_range_of_the_prior():
    prior = Rainfall()
    point = prior.for_picture(30, 40, stream())
    for field in dataclasses.fields(prior):
        value = getattr(point, field.name)
        if isinstance(value, tuple):
            low, high = getattr(prior, field.name)
            assert value[0] == value[1]
            assert low <= value[0] <= high
        else:
            assert value == getattr(prior, field.name)
