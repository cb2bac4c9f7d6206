"""Streaks drawn from populations: what they share, and what does not change their amount."""

from __future__ import annotations

import pytest
import torch

from degradations.rain import Rain, streak_layer

ONE = {
    "dry": 0, "populations": (1, 1), "population_spread_rad": (1e-6, 1e-6), "angle_rad": (0.2, 0.2),
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
