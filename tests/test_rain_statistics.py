"""Numbers of rain layers against layers of which they are known."""

from __future__ import annotations

import pytest
import torch

from degradations.rain import Rain
from degradations.streaks import streak_layer
from ssl_restore.calibration.rain_statistics import LAGS_PX, statistics

LAYER = Rain(
    rain_free=0,
    angle_rad=(0.2, 0.2), population_spread_rad=(1e-6, 1e-6), angle_spread_rad=(1e-6, 1e-6),
    length_px=(30, 30), length_spread=(0, 0), width_px=(1.5, 1.5), width_spread=(0, 0),
    brightness=(0.3, 0.3), brightness_spread=(0, 0), coverage=(0.1, 0.1), ceiling=(10, 10),
    populations=(1, 1), ripple=(0, 0),
)  # fmt: skip


def layers(seed=0, count=4, size=160, **changes):
    prior = Rain(**{**vars(LAYER), **changes})
    generator = torch.Generator().manual_seed(seed)
    return streak_layer(prior.sample((count, 3, size, size), generator), size, size)


@pytest.mark.parametrize("angle", [-0.7, -0.2, 0.0, 0.05, 0.5])
def test_the_direction_of_streaks(angle):
    found = statistics(layers(angle_rad=(angle, angle)))
    torch.testing.assert_close(found.angle_rad, torch.full((4,), angle), atol=0.02, rtol=0)
    assert found.coherence.min() > 0.7


def test_drops_without_direction_have_little_coherence():
    assert statistics(layers(length_px=(4, 4), width_px=(3.5, 3.5))).coherence.max() < 0.3


def extent(correlation):
    """Area under the correlation up to its first value below 0.2, px."""
    lags = torch.tensor((0, *LAGS_PX), dtype=torch.float32)
    kept = (correlation > 0.2).cumprod(1) * correlation
    return (kept * lags.diff()).sum(1)


def test_longer_streaks_reach_farther_along_and_wider_ones_across():
    base, longer, wider = (
        statistics(layers(**c)) for c in ({}, {"length_px": (60, 60)}, {"width_px": (4, 4)})
    )
    assert extent(longer.along).mean() > 1.5 * extent(base.along).mean()
    assert extent(wider.across).mean() > 1.5 * extent(base.across).mean()
    assert extent(base.along).mean() > 4 * extent(base.across).mean()


def test_the_correlation_is_that_of_moved_layers():
    layer = layers(count=1, angle_rad=(0.0, 0.0))
    found = statistics(layer)
    flat = (layer - layer.mean())[0, 0]
    for place, lag in enumerate(LAGS_PX[:6]):
        expected = (flat[lag:] * flat[:-lag]).mean() / flat.square().mean()
        assert found.along[0, place].item() == pytest.approx(expected.item(), abs=0.02)


def test_mean_and_shares_are_those_of_the_pixels():
    layer = layers()
    found = statistics(layer)
    torch.testing.assert_close(found.mean, layer.mean(dim=(1, 2, 3)))
    torch.testing.assert_close(found.above[:, 1], (layer > 0.05).float().mean(dim=(1, 2, 3)))


def test_features_of_an_empty_layer_are_finite():
    found = statistics(torch.zeros(2, 1, 64, 64))
    assert found.features().isfinite().all()
    assert found.along.isfinite().all()
