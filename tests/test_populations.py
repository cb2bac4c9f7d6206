"""Streaks drawn from populations: what they share, and what does not change their amount."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from degradations.populations import draw_streaks, farther
from degradations.rain import Rain
from degradations.streaks import join_streaks, streak_layer

ONE = {
    "rain_free": 0, "populations": (1, 1), "population_spread_rad": (1e-6, 1e-6),
    "angle_rad": (0.2, 0.2),
    "angle_spread_rad": (1e-6, 1e-6), "length_px": (40, 40), "length_spread": (0.4, 0.4),
    "width_px": (2, 2), "width_spread": (0.4, 0.4), "brightness": (0.1, 0.1),
    "brightness_spread": (0, 0), "coverage": (0.2, 0.2), "ceiling": (100, 100),
    "ripple": (0, 0), "depth_share": (0, 0),
}  # fmt: skip
SIZE = 300


def drawn(batch=12, **changes):
    generator = torch.Generator().manual_seed(0)
    return Rain(**{**ONE, **changes}).sample((batch, 3, SIZE, SIZE), generator)


def correlation(params):
    logs = torch.stack([params.length_px[params.present], params.width_px[params.present]]).log()
    return torch.corrcoef(logs)[0, 1].item()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_depth_is_the_common_share_of_length_and_width(share):
    assert correlation(drawn(depth_share=(share, share))) == pytest.approx(share, abs=0.06)


def test_ripple_does_not_change_the_light_of_the_rain():
    even, rippled = (streak_layer(drawn(ripple=(a, a)), SIZE, SIZE).mean().item() for a in (0, 1))
    assert rippled == pytest.approx(even, rel=0.02)


def test_ripples_begin_anywhere():
    phases = drawn().phase_rad[drawn().present]
    assert phases.cos().mean().abs() < 0.1
    assert phases.sin().mean().abs() < 0.1


def test_the_drops_farther_away_are_short_and_thin_and_have_their_share_of_the_coverage():
    near = Rain(**ONE).populate(12, torch.Generator().manual_seed(0))
    share = torch.linspace(0, 0.55, 12)
    far = draw_streaks(farther(near, share), (12, 3, SIZE, SIZE), torch.Generator().manual_seed(1))
    inside = (far.x_px > 0) & (far.x_px < SIZE) & (far.y_px > 0) & (far.y_px < SIZE) & far.present
    area = (far.length_px * far.width_px * inside).sum(1) / SIZE**2
    torch.testing.assert_close(area, 0.2 * share, atol=0.012, rtol=0)
    assert far.length_px[far.present].mean().item() == pytest.approx(0.3 * 40, rel=0.05)
    assert far.width_px[far.present].mean().item() == pytest.approx(0.7 * 2, rel=0.05)
    assert far.brightness[far.present].mean().item() == pytest.approx(0.2 * 0.1, rel=0.05)
    assert far.angle_rad[far.present].mean().item() == pytest.approx(0.2, abs=1e-4)


def test_joined_streaks_give_the_light_of_both():
    first, second = drawn(batch=2, ceiling=(1e6, 1e6)), drawn(batch=2, angle_rad=(-0.5, -0.5))
    alone = [
        streak_layer(replace(params, ceiling=torch.full((2,), 1e6)), SIZE, SIZE)
        for params in (first, second)
    ]
    torch.testing.assert_close(streak_layer(join_streaks(first, second), SIZE, SIZE), sum(alone))


def test_a_prior_draws_far_drops_when_asked():
    without, with_them = drawn(), drawn(far=(0.3, 0.3))
    assert with_them.present.sum() > 1.5 * without.present.sum()
    near = slice(without.x_px.shape[1])
    assert torch.equal(with_them.x_px[:, near], without.x_px)
    light = [streak_layer(params, SIZE, SIZE).mean().item() for params in (without, with_them)]
    assert light[1] / light[0] == pytest.approx(1 + 0.3 * 0.2, abs=0.01)
