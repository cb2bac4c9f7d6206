"""benchmarks/calibration.py: the estimator that it makes learns from features and numbers."""

from __future__ import annotations

import pytest
import torch

from ssl_restore.calibration.rain_estimator import NAMES


@pytest.fixture
def benchmark(script):
    return script("calibration")


def test_the_regression_finds_a_number_that_the_features_hold(benchmark):
    draws = torch.Generator().manual_seed(0)
    numbers = 0.2 + 0.5 * torch.rand(256, len(NAMES), generator=draws)
    numbers[:, benchmark.RAIN_FREE] = (torch.arange(256) % 8 == 0).float()
    seen = numbers[:, None].repeat(1, 6, 2) + 0.01 * torch.randn(
        256, 6, 2 * len(NAMES), generator=draws
    )
    with torch.random.fork_rng():
        estimator = benchmark.regression(seen, numbers, epochs=40)
    with torch.no_grad():
        found = estimator(seen)
    wanted, rainy = benchmark.to_scale(numbers), numbers[:, benchmark.RAIN_FREE] == 0
    column = NAMES.index("length_px")
    related = torch.corrcoef(torch.stack([found[rainy, column], wanted[rainy, column]]))[0, 1]
    assert related > 0.8
