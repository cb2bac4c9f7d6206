"""Contrastive losses against their loops and closed forms, and what they are taken of."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_restore.errors import UserError
from ssl_restore.networks.projection import ProjectionHead
from ssl_restore.objectives.contrast import (
    distance_ratio,
    info_nce,
    info_nce_against,
    multi_positive,
    pixel_contrast,
    place_contrast,
    triplet,
)
from ssl_restore.objectives.rrcl import tiles
from ssl_restore.recipes import rrcl


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


def test_the_same_picture_is_no_negative():
    anchor, positive = normal(3, 4, seed=1), normal(3, 4, seed=2)
    anchor[2] = anchor[0]
    same = torch.eye(3, dtype=torch.bool)
    same[0, 2] = same[2, 0] = True
    found = info_nce(anchor, positive, 0.3, same)
    total = torch.zeros((), dtype=torch.float64)
    for i in range(3):
        attraction = (similarity(anchor[i], positive[i]) / 0.3).exp()
        others = [n for n in range(3) if not same[i, n]]
        repulsion = sum((similarity(anchor[i], anchor[n]) / 0.3).exp() for n in others)
        total = total - (attraction / (attraction + repulsion)).log() / 3
    torch.testing.assert_close(found, total)
    assert found < info_nce(anchor, positive, 0.3)


def slow_multi_positive(anchor, keys, positive, temperature):
    total, rows = torch.zeros((), dtype=torch.float64), 0
    for i in range(len(anchor)):
        below = sum((similarity(anchor[i], key) / temperature).exp() for key in keys)
        chosen = [m for m in range(len(keys)) if positive[i, m]]
        rows += bool(chosen)
        for m in chosen:
            share = (similarity(anchor[i], keys[m]) / temperature).exp() / below
            total = total - share.log() / len(chosen)
    return total / max(rows, 1)


def slow_triplet(anchor, positive, negative, margin):
    total = torch.zeros((), dtype=torch.float64)
    for a, p, n in zip(anchor, positive, negative, strict=True):
        near = sum((x - y) ** 2 for x, y in zip(a, p, strict=True))
        far = sum((x - y) ** 2 for x, y in zip(a, n, strict=True))
        total = total + (near - far + margin).clamp_min(0) / len(anchor)
    return total


def slow_pixel_contrast(anchor, positives, negatives, temperature):
    def alike(a, b):
        pixels = [similarity(a[:, y, x], b[:, y, x]) for y in range(2) for x in range(3)]
        return sum(pixels) / len(pixels)

    total = torch.zeros((), dtype=torch.float64)
    for a, near, far in zip(anchor, positives, negatives, strict=True):
        repulsion = sum((alike(a, n) / temperature).exp() for n in far)
        for p in near:
            attraction = (alike(a, p) / temperature).exp()
            share = attraction / (attraction + repulsion)
            total = total - share.log() / (len(anchor) * len(near))
    return total


def slow_distance_ratio(anchor, positive, negative, weights):
    total = torch.zeros((), dtype=torch.float64)
    for a, p, n, weight in zip(anchor, positive, negative, weights, strict=True):
        for i in range(len(a)):
            near = sum((x - y).abs() for x, y in zip(a[i].flatten(), p[i].flatten(), strict=True))
            far = sum((x - y).abs() for x, y in zip(a[i].flatten(), n[i].flatten(), strict=True))
            total = total + weight * near / far / len(a)
    return total


FAMILY = {
    "multi_positive": (
        multi_positive, slow_multi_positive, [(3, 4), (5, 4)],
        (torch.tensor([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 1, 1, 1, 0]]).bool(), 0.3),
    ),
    "triplet": (triplet, slow_triplet, [(4, 3)] * 3, (0.5,)),
    "pixel_contrast": (
        pixel_contrast, slow_pixel_contrast, [(2, 3, 2, 3), (2, 2, 3, 2, 3), (2, 4, 3, 2, 3)],
        (0.5,),
    ),
    "distance_ratio": (
        lambda *maps: distance_ratio(maps[:2], maps[2:4], maps[4:], (0.25, 1.0)),
        lambda *maps: slow_distance_ratio(maps[:2], maps[2:4], maps[4:], (0.25, 1.0)),
        [(2, 3, 2, 2), (2, 4, 1, 1)] * 3, (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILY)
def test_each_of_the_family_equals_its_loops_in_value_and_gradient(name):
    fast, slow, shapes, rest = FAMILY[name]
    tensors = [
        [normal(*shape, seed=s).requires_grad_() for s, shape in enumerate(shapes)]
        for _ in range(2)
    ]
    values = [loss(*given, *rest) for loss, given in zip((fast, slow), tensors, strict=True)]
    torch.testing.assert_close(*values)
    assert values[0] > 0
    for value in values:
        value.backward()
    for mine, oracle in zip(*tensors, strict=True):
        torch.testing.assert_close(mine.grad, oracle.grad)


def test_places_are_contrasted_with_the_same_places_and_keys_get_no_gradient():
    head = ProjectionHead(4, 3).double()
    anchors, keys = ([normal(2, 4, 3, 5, seed=s).requires_grad_()] for s in (1, 2))
    found = place_contrast(
        anchors, keys, [head.places], temperature=0.2, places=99, generator=stream()
    )
    vectors = [head.places(maps[0].permute(0, 2, 3, 1).reshape(30, 4)) for maps in (anchors, keys)]
    expected = slow_multi_positive(*vectors, torch.eye(30, dtype=torch.bool), 0.2)
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-5, atol=1e-6)
    found.backward()
    assert anchors[0].grad.abs().max() > 0
    assert keys[0].grad is None


def test_an_anchor_nearer_to_its_positive_costs_less():
    anchor, positive, negative = (normal(1, 4, 6, 6, seed=s) for s in (1, 2, 3))
    near = torch.lerp(anchor, positive, 0.5)
    for loss in (
        lambda a: pixel_contrast(a, positive[:, None], negative[:, None], 0.1),
        lambda a: distance_ratio([a], [positive], [negative], [1.0]),
        lambda a: triplet(a.flatten(1), positive.flatten(1), negative.flatten(1), 500.0),
    ):
        assert loss(near) < loss(anchor)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"contrast": "pictures", "batch": 1}, "batch: 1 picture has no other to be told from"),
        ({"reconstruction": "literal", "contrast": "pcl"}, "contrast: pcl needs the backgrounds"),
        ({"contrast": "layers", "patch": 40}, "patch: a multiple of 16 is expected, got 40"),
        ({"contrast": "scene"}, "contrast: 'scene' is unknown; use scenes or pictures"),
        ({"temperature": 0.0}, "temperature: more than 0 is expected, got 0"),
    ],
)
def test_settings_of_rrcl_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        rrcl.build(width=4, **settings)
