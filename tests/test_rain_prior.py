"""The prior over rain: what is drawn follows the numbers that were asked for."""

import math

import pytest
import torch

from degradations.rain import NEAR_LENGTH, NEAR_WIDTH_PX, Rain, add_rain
from degradations.streaks import streak_layer
from degradations.types import map_tensors


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def one_population(**ranges):
    return Rain(**({"populations": (1, 1), "rain_free": 0.0, "ceiling": (1e6, 1e6)} | ranges))


def mean_and_error(values):
    values = values.double()
    return float(values.mean()), 4 * float(values.std()) / len(values) ** 0.5 + 1e-9


def test_drawn_coverage_is_the_area_of_the_streaks_over_the_area_they_fall_on():
    height, width, length = 40, 30, 20.0
    rain = one_population(
        coverage=(0.3, 0.3), length_px=(length, length), width_px=(1, 3), length_spread=(0.3, 0.3)
    )
    params = rain.sample((2000, 3, height, width), stream())
    inside = (
        (params.x_px >= 0) & (params.x_px <= width) & (params.y_px >= 0) & (params.y_px <= height)
    )
    area = (params.length_px * params.width_px * (params.present & inside)).sum(1)
    mean, error = mean_and_error(area / (height * width))
    assert error < 0.02
    assert mean == pytest.approx(0.3, abs=error)


def test_scatter_keeps_the_mean_of_a_population():
    rain = one_population(
        brightness=(0.4, 0.4), brightness_spread=(0.5, 0.5), width_px=(2, 2),
        width_spread=(0.3, 0.3), angle_rad=(0.3, 0.3), population_spread_rad=(1e-6, 1e-6),
        coverage=(0.6, 0.6),
    )  # fmt: skip
    params = rain.sample((100, 3, 40, 40), stream())
    for name, expected in (("brightness", 0.4), ("width_px", 2.0), ("angle_rad", 0.3)):
        mean, error = mean_and_error(getattr(params, name)[params.present])
        assert error < 0.05 * expected
        assert mean == pytest.approx(expected, abs=error)
    spread = params.brightness[params.present].double().log().std()
    assert float(spread) == pytest.approx(0.5, rel=0.05)


def border_against_centre(rain, turned=False):
    """Light of the outermost lines over that of the middle ones, and its 4 sigma error."""
    layer = streak_layer(rain.sample((1600, 3, 48, 48), stream()), 48, 48)[:, 0]
    lines = layer.mean(1 if turned else 2)  # (B, 48)
    middle = lines[:, 16:32].mean(1)
    mean, error = mean_and_error(lines[:, [0, 1, -2, -1]].mean(1) - middle)
    return mean / float(middle.mean()), error / float(middle.mean())


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("spread", [0.05, 0.6])
def test_streaks_from_outside_leave_no_darker_border(spread, turned):
    angle = math.pi / 2 if turned else 0.0
    rain = one_population(
        angle_rad=(angle, angle), population_spread_rad=(1e-6, 1e-6), angle_spread_rad=(0.01, 0.01),
        length_px=(30, 30), length_spread=(spread, spread), coverage=(0.4, 0.4), taper=(0.2, 0.2),
        brightness=(0.3, 0.3), brightness_spread=(0.1, 0.1), width_px=(2, 2),
    )  # fmt: skip
    difference, error = border_against_centre(rain, turned)
    assert error < 0.05
    assert abs(difference) < error


def test_share_of_dry_and_of_veiled_images():
    rain = Rain(rain_free=0.25, veil=0.4, coverage=(0.5, 0.6))
    params = rain.sample((800, 3, 32, 32), stream())
    limit = 4 * 0.5 / 800**0.5
    rain_free, veiled = ~params.present.any(1), params.transmission < 1
    assert float(rain_free.double().mean()) == pytest.approx(0.25, abs=limit)
    assert float(veiled.double().mean()) == pytest.approx(0.4, abs=limit)
    assert torch.equal(rain_free, (streak_layer(params, 32, 32) == 0).all(-1).all(-1)[:, 0])


def test_the_wind_is_drawn_from_its_range_for_each_image():
    rain = one_population(
        angle_rad=(-0.2, 0.6), population_spread_rad=(1e-6, 1e-6), coverage=(0.6, 0.6)
    )
    params = rain.sample((400, 3, 32, 32), stream())
    wind = torch.stack(
        [a[p].mean() for a, p in zip(params.angle_rad, params.present, strict=True) if p.any()]
    )
    mean, error = mean_and_error(wind)
    assert mean == pytest.approx(0.2, abs=error)
    assert wind.min() < -0.1
    assert wind.max() > 0.5


def test_rows_of_a_batch_are_the_streaks_of_their_own_image():
    params = Rain().sample((5, 3, 20, 20), stream(2))
    image = torch.zeros(5, 1, 20, 20)
    backwards = add_rain(image, map_tensors(params, lambda t: t.flip(0))).flip(0)
    torch.testing.assert_close(add_rain(image, params), backwards, rtol=0, atol=1e-6)


def test_drops_near_the_camera_are_wide_and_short_and_come_in_their_share():
    plain, near = (
        Rain(populations=(1, 1), rain_free=0, near=share).populate(500, stream())
        for share in (0.0, 0.3)
    )
    shape = near.length_px / near.width_px
    low, high = NEAR_LENGTH
    is_near = (shape >= low) & (shape <= high) & (near.width_px >= NEAR_WIDTH_PX[0])
    by_chance = (plain.length_px / plain.width_px <= high).float().mean()
    assert 0.3 < is_near.float().mean() < 0.3 + float(by_chance) + 0.05
    assert near.width_px.max() > 8 > plain.width_px.max()
    assert near.length_px.min() < 6 < plain.length_px.min()
