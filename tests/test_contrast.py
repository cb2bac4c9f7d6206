"""InfoNCE against its three loops, its closed forms, and the tiles it is taken of."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_restore.objectives.contrast import info_nce, info_nce_against
from ssl_restore.objectives.rrcl import tiles


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed), dtype=torch.float64)


def similarity(a, b):
    dot = norm_a = norm_b = torch.zeros((), dtype=torch.float64)
    for x, y in zip(a, b, strict=True):
        dot, norm_a, norm_b = dot + x * y, norm_a + x * x, norm_b + y * y
    return dot / (norm_a.sqrt() * norm_b.sqrt())


def slow_info_nce(anchor, positive, temperature):
    """Its definition with three loops: over images, over negatives, over coordinates."""
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(anchor)):
        attraction = (similarity(anchor[i], positive[i]) / temperature).exp()
        below = attraction
        for n in range(len(anchor)):
            if n != i:
                below = below + (similarity(anchor[i], anchor[n]) / temperature).exp()
        total = total - (attraction / below).log()
    return total / len(anchor)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_info_nce_equals_three_loops_in_value_and_gradient(count, temperature):
    pairs = [tuple(normal(count, 4, seed=s).requires_grad_() for s in (1, 2)) for _ in range(2)]
    fast = info_nce(*pairs[0], temperature)
    slow = slow_info_nce(*pairs[1], temperature)
    fast.backward()
    slow.backward()
    torch.testing.assert_close(fast, slow)
    for mine, oracle in zip(*pairs, strict=True):
        torch.testing.assert_close(mine.grad, oracle.grad)


def test_info_nce_does_not_see_the_length_of_vectors():
    anchor, other = normal(4, 6, seed=1), normal(4, 6, seed=2)
    lengths = torch.tensor([[0.01], [3.0], [100.0], [1.0]], dtype=torch.float64)
    plain = info_nce(anchor, other, 0.2)
    torch.testing.assert_close(info_nce(anchor * lengths, other * lengths.flip(0), 0.2), plain)


def test_info_nce_of_orthogonal_aligned_vectors_is_its_closed_form():
    anchor = torch.eye(5, dtype=torch.float64)
    for temperature in (0.05, 0.5):
        expected = math.log1p(4 * math.exp(-1 / temperature))
        assert info_nce(anchor, 3 * anchor, temperature).item() == pytest.approx(expected)
    assert info_nce(anchor, -anchor, 0.05).item() > 20


def test_info_nce_against_others_equals_its_loops():
    anchor, positive, negatives = (normal(2, 3, 4, seed=s) for s in (1, 2, 3))
    total = torch.zeros((), dtype=torch.float64)
    for i in range(2):
        for k in range(3):
            attraction = (similarity(anchor[i, k], positive[i, k]) / 0.2).exp()
            repulsion = sum((similarity(anchor[i, k], n) / 0.2).exp() for n in negatives[i])
            total = total - (attraction / (attraction + repulsion)).log() / 6
    torch.testing.assert_close(info_nce_against(anchor, positive, negatives, 0.2), total)


def test_tiles_lie_side_by_side():
    image = torch.arange(2 * 3 * 32 * 48.0).view(2, 3, 32, 48)
    found = tiles(image)
    assert found.shape == (2, 6, 3, 16, 16)
    assert torch.equal(found[1, 4], image[1, :, 16:, 16:32])


def test_info_nce_of_one_image_is_zero():
    assert info_nce(normal(1, 4), normal(1, 4, seed=1), 0.1).item() == 0


def test_info_nce_of_equal_vectors_is_the_logarithm_of_their_number():
    same = torch.ones(6, 3, dtype=torch.float64)
    assert info_nce(same, same, 0.1).item() == pytest.approx(math.log(6))
