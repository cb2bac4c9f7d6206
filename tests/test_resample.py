"""Fewer pixels: against torch's own filter, the adjoint, and what aliasing is."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from degradations.resample import ResampleParams, resample, resample_adjoint


def picture(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def params(factor, *stretch):
    return ResampleParams(torch.tensor(stretch, dtype=torch.float64), factor)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_it_is_the_antialiased_bicubic_of_torch(factor):
    image = picture(2, 3, 12 * factor, 13 * factor)
    expected = F.interpolate(image, size=(12, 13), mode="bicubic", antialias=True)
    torch.testing.assert_close(resample(image, params(factor, 1.0, 1.0)), expected)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_adjoint(factor):
    drawn = params(factor, 0.8, 1.3)
    x, y = picture(2, 3, 17, 22), picture(2, 3, 17 // factor, 22 // factor, seed=1)
    left = (resample(x, drawn) * y).sum()
    torch.testing.assert_close(left, (x * resample_adjoint(y, (17, 22), drawn)).sum())


def test_even_light_stays_even_up_to_the_border():
    even = torch.full((1, 3, 16, 20), 0.3, dtype=torch.float64)
    coarse = resample(even, params(4, 0.7))
    torch.testing.assert_close(coarse, torch.full((1, 3, 4, 5), 0.3, dtype=torch.float64))


def test_factor_one_is_the_identity():
    image = picture(1, 3, 7, 8)
    torch.testing.assert_close(resample(image, params(1, 1.0)), image)


def test_a_narrow_kernel_aliases_and_the_right_one_does_not():
    stripes = (torch.arange(64) % 2).double().expand(1, 1, 64, 64)  # too fine for half the pixels
    assert resample(stripes, params(2, 1.0))[..., 4:-4].std() < 0.01
    period_3 = (torch.arange(96) % 3 == 0).double().expand(1, 1, 96, 96)
    right, narrow = (resample(period_3, params(2, s))[..., 4:-4].std() for s in (1.0, 0.4))
    assert narrow > 2 * right


def test_a_factor_below_one_is_refused():
    with pytest.raises(ValueError, match=r"factor must be at least 1 .*, got 0"):
        resample(picture(1, 3, 8, 8), params(0, 1.0))
