"""Drawn rooms and streets: where rays meet boxes, and distances that fit the picture."""

import pytest
import torch

from degradations import scenes
from degradations.scenes import drawn_scenes


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def photographs(count=2, height=48, width=64):
    return torch.rand(count, 3, height, width, generator=seeded(9))


def test_a_ray_enters_and_leaves_a_box_where_points_along_it_do():
    boxes = scenes._Boxes(
        torch.tensor([[0.2, -0.1, 4.0], [-1.0, 0.5, 3.0]]),
        torch.tensor([[0.8, 0.5, 0.6], [0.4, 0.4, 1.0]]),
        torch.tensor([0.6, 0.0]),
    )
    ray = scenes._rays(9, 11, scenes._Draw(seeded(3), torch.zeros(())), level=True)
    enter, leave, axis, place = boxes.crossed(torch.zeros(1, 3, 1, 1), ray)
    steps = torch.linspace(0, 8, 4001)
    points = steps.view(-1, 1, 1, 1) * ray  # (N, 3, H, W)
    hits = 0
    for box in range(2):
        away = points - boxes.centre[box].view(1, 3, 1, 1)
        sine, cosine = boxes.turn[box].sin(), boxes.turn[box].cos()
        x, y, z = away.unbind(1)
        local = torch.stack([cosine * x - sine * z, y, sine * x + cosine * z], dim=1)
        inside = (local.abs() <= boxes.half[box].view(1, 3, 1, 1)).all(dim=1)
        crossed = enter[box] < leave[box]
        hits += int(crossed.sum())
        length = (leave[box] - enter[box]).clamp_min(0)
        assert torch.allclose(inside.sum(dim=0) * 0.002, length, atol=0.005)
        first = torch.where(inside, steps.view(-1, 1, 1), torch.inf).amin(dim=0)
        assert torch.allclose(first[crossed], enter[box][crossed], atol=0.0025)
        on_face = place[box].gather(0, axis[box][None])[0].abs()
        assert torch.allclose(on_face[crossed], boxes.half[box][axis[box][crossed]], atol=1e-4)
    assert hits > 10


def test_scenes_are_pictures_with_distances():
    pictures, depth = drawn_scenes(photographs(8), seeded(1))
    assert pictures.shape == (8, 3, 48, 64)
    assert depth.shape == (8, 1, 48, 64)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert depth.min() > 0
    assert depth.isfinite().all()
    assert (pictures.flatten(1).std(dim=1) > 0.01).all()


def test_the_same_seed_draws_the_same_scenes_and_another_one_others():
    first, again = (drawn_scenes(photographs(), seeded(4)) for _ in range(2))
    other, _ = drawn_scenes(photographs(), seeded(5))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other)


def test_some_scenes_have_a_sky_that_is_far_and_bright_and_some_are_rooms():
    pictures, depth = drawn_scenes(photographs(24, 32, 32), seeded(2))
    farthest = depth.flatten(1).amax(dim=1)
    streets = farthest >= scenes.SKY_M[0]
    assert 2 <= streets.sum() <= 20
    assert farthest[~streets].max() < 40
    sky = (depth >= scenes.SKY_M[0]) & streets.view(-1, 1, 1, 1)
    assert pictures.mean(dim=1, keepdim=True)[sky].mean() > 0.5


def test_the_picture_has_edges_where_distances_jump():
    pictures, depth = drawn_scenes(photographs(16), seeded(6))
    jump = depth.log().diff(dim=3).abs() > 0.3
    step = pictures.diff(dim=3).abs().amax(dim=1, keepdim=True)
    assert step[jump].mean() > 3 * step[~jump].mean()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (33, 5)])
def test_any_size(size):
    pictures, depth = drawn_scenes(photographs(1, *size), seeded())
    assert pictures.shape[2:] == depth.shape[2:] == size
