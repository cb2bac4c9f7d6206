"""The exclusion of gradients against nested loops, its gradient, and where it is nothing."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_restore.objectives.exclusion import EPS, exclusion


def rand(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def slowly(one, other, scales):
    """The definition, pixel by pixel."""
    total = 0.0
    for scale in range(scales):
        channels, rows, columns = one.shape
        for down, right in ((1, 0), (0, 1)):
            pairs = [
                (
                    float(one[c, y + down, x + right] - one[c, y, x]),
                    float(other[c, y + down, x + right] - other[c, y, x]),
                )
                for c in range(channels)
                for y in range(rows - down)
                for x in range(columns - right)
            ]
            a, b = (
                math.sqrt(sum(p[k] ** 2 for p in pairs) / len(pairs) + EPS**2) + EPS for k in (0, 1)
            )
            first, second = math.sqrt(b / a), math.sqrt(a / b)
            psi = [math.tanh(first * abs(p)) * math.tanh(second * abs(q)) for p, q in pairs]
            total += sum(value**2 for value in psi) / len(psi)
        if scale + 1 < scales:
            one, other = halved(one), halved(other)
    return total


def halved(image):
    channels, rows, columns = image.shape
    result = torch.empty(channels, rows // 2, columns // 2, dtype=image.dtype)
    for c in range(channels):
        for y in range(rows // 2):
            for x in range(columns // 2):
                result[c, y, x] = image[c, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean()
    return result


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_it_is_its_definition(scales):
    one, other = rand(1, 3, 12, 16), 0.2 * rand(1, 3, 12, 16, seed=1)
    expected = slowly(one[0], other[0], scales)
    assert float(exclusion(one, other, scales)) == pytest.approx(expected, rel=1e-10)


def test_a_layer_of_one_channel_counts_against_each_colour():
    one, grey = rand(1, 3, 12, 16), rand(1, 1, 12, 16, seed=1)
    whole = exclusion(one, grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(exclusion(one, grey), whole)


def test_edges_in_different_places_cost_nothing_and_those_in_one_place_do():
    one, other = torch.full((2, 1, 3, 16, 32), 0.2)
    one[..., :8] = 0.8  # edges at multiples of 8: of each scale
    other[..., 24:] = 0.8
    assert exclusion(one, other) == 0
    other[..., :8] = 0.5
    assert exclusion(one, other) > 1e-3


def test_it_is_symmetric_and_an_offset_changes_nothing():
    one, other = rand(1, 3, 16, 16), rand(1, 3, 16, 16, seed=1)
    torch.testing.assert_close(exclusion(one, other), exclusion(other, one))
    torch.testing.assert_close(exclusion(one + 0.3, other), exclusion(one, other))


def test_gradient_is_that_of_differences():
    layers = [rand(1, 2, 8, 8, seed=seed).requires_grad_() for seed in (0, 1)]
    assert torch.autograd.gradcheck(exclusion, layers)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2)])
def test_flat_and_tiny_layers_have_a_finite_gradient(size):
    one = torch.full((1, 3, *size), 0.5, requires_grad=True)
    value = exclusion(one, torch.rand(1, 3, *size, requires_grad=True))
    assert value == 0
    (slope,) = torch.autograd.grad(value + 0 * one.sum(), one)
    assert slope.isfinite().all()
