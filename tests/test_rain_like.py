"""Rain like that of measured pictures: drawn streaks have the numbers that were measured."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from degradations.rain_like import MeasuredRain, RainLike, Uncertainty

SURE = Uncertainty(0, 0, 0, 0, 0)
ROW = MeasuredRain(
    angle_rad=0.3, angle_spread_rad=0.04, length_px=40, length_spread=0.5, width_px=2,
    width_spread=0.4, brightness=0.2, brightness_spread=0.6, coverage=0.3, depth_share=0.0,
    ripple=0.5,
)  # fmt: skip


def drawn(prior, batch=16, size=400, seed=0):
    """Streaks as they were measured, without those too far away to be."""
    prior = replace(prior, far=0.0)
    return prior.sample((batch, 3, size, size), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_streaks_have_the_geometric_means_that_were_measured(share):
    params = drawn(RainLike((replace(ROW, depth_share=share),), SURE, rain_free=0))
    weight = params.length_px * params.width_px * params.present
    weight = weight / weight.sum()
    for name in ("length", "width", "brightness"):
        logs = getattr(params, "brightness" if name == "brightness" else f"{name}_px").log()
        mean = (weight * logs).sum()
        spread = (weight * (logs - mean).square()).sum().sqrt()
        wanted = ROW.brightness if name == "brightness" else getattr(ROW, f"{name}_px")
        assert mean.item() == pytest.approx(math.log(wanted), abs=0.05), name
        assert spread.item() == pytest.approx(getattr(ROW, f"{name}_spread"), abs=0.05), name
    assert (weight * params.angle_rad).sum().item() == pytest.approx(ROW.angle_rad, abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_the_coverage_is_that_measured(share):
    size = 400
    params = drawn(RainLike((replace(ROW, depth_share=share),), SURE, rain_free=0), size=size)
    inside = (params.x_px > 0) & (params.x_px < size) & (params.y_px > 0) & (params.y_px < size)
    area = (params.length_px * params.width_px * (params.present & inside)).sum(1) / size**2
    assert area.mean().item() == pytest.approx(ROW.coverage, rel=0.06)


def test_half_of_the_images_fall_to_the_other_side_where_mirrored():
    both = drawn(RainLike((ROW,), SURE, rain_free=0, mirrored=True), batch=64, size=60)
    one = drawn(RainLike((ROW,), SURE, rain_free=0), batch=64, size=60)

    def to_the_right(params):
        return ((params.angle_rad * params.present).sum(1) > 0).float().mean().item()

    assert 0.3 < to_the_right(both) < 0.7
    assert to_the_right(one) > 0.95


def test_what_was_measured_together_stays_together():
    long_and_bright = replace(ROW, length_px=80, brightness=0.6, length_spread=0.02)
    short_and_faint = replace(ROW, length_px=10, brightness=0.05, length_spread=0.02)
    prior = RainLike((long_and_bright, short_and_faint), SURE, rain_free=0)
    rows = prior.populate(64, torch.Generator().manual_seed(0))
    long = rows.length_px > 40
    assert 0.2 < long.float().mean() < 0.8
    assert (rows.brightness[long] > 0.4).all()
    assert (rows.brightness[~long] < 0.2).all()


def test_doubt_moves_a_number_by_so_much():
    prior = RainLike((ROW,), replace(SURE, length=0.2), rain_free=0)
    rows = prior.populate(4000, torch.Generator().manual_seed(0))
    assert rows.length_px.log().std().item() == pytest.approx(0.2, rel=0.1)
    assert rows.width_px.std().item() == pytest.approx(0, abs=1e-6)


def test_doubt_of_the_brightness_leaves_the_light_as_it_is():
    prior = RainLike((ROW,), replace(SURE, brightness=0.3), rain_free=0)
    rows = prior.populate(400, torch.Generator().manual_seed(0))
    assert rows.brightness.log().std().item() == pytest.approx(0.3, rel=0.1)
    light = rows.brightness * rows.coverage
    torch.testing.assert_close(light, light.mean().expand_as(light))


def test_dry_images_have_no_streaks():
    params = drawn(RainLike((ROW,), rain_free=1.0), batch=4)
    assert not params.present.any()


def test_no_row_is_refused():
    with pytest.raises(ValueError, match="no picture"):
        drawn(RainLike(()))


def test_a_share_of_varied_rain_comes_besides():
    prior = RainLike((ROW,), SURE, rain_free=0, varied=0.5)
    rows = prior.populate(200, torch.Generator().manual_seed(0))
    mean = ROW.length_px * math.exp(-(ROW.length_spread**2) / 2)
    like = (rows.length_px[:, 0] / mean - 1).abs() < 1e-4
    assert 0.35 < like.float().mean() < 0.65
    assert (rows.coverage[like][:, 1:] == 0).all()
    assert (rows.coverage[~like][:, 1:] > 0).any()


def test_drops_too_far_away_to_be_measured_are_drawn_with_those_that_were():
    prior = RainLike((ROW,), SURE, rain_free=0)
    params = prior.sample((4, 3, 400, 400), torch.Generator().manual_seed(0))
    area = (params.length_px * params.width_px * params.present).sum()
    without = drawn(prior, batch=4)
    measured = (without.length_px * without.width_px * without.present).sum()
    assert (area / measured).item() == pytest.approx(1 + prior.far, abs=0.05)
