"""Camera shake: the way of a point of light, and a blur that differs from corner to corner."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from degradations.blur import BlurParams, blur_light
from degradations.kernels import path_kernel
from degradations.shake import Shake, ShakeParams, shake, shake_adjoint, shake_light
from degradations.types import map_tensors


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def light(height, width, batch=1, seed=1):
    return torch.rand((batch, 3, height, width), generator=stream(seed), dtype=torch.float64)


def way(x, y, roll=None):
    rows = [torch.tensor([v], dtype=torch.float64) if v is not None else None for v in (x, y, roll)]
    return ShakeParams(*rows)


def drawn(prior, shape, seed=0):
    return map_tensors(prior.sample(shape, stream(seed)), torch.Tensor.double)


def middle_of(kernel):
    reach = len(kernel) // 2
    axis = torch.arange(-reach, reach + 1, dtype=kernel.dtype)
    return float((kernel.sum(0) * axis).sum()), float((kernel.sum(1) * axis).sum())  # right, down


def test_a_kernel_is_positive_sums_to_one_and_lies_in_the_middle_of_its_way():
    params = drawn(Shake(roll_rad=(0, 0)), (5, 3, 64, 64))
    for x, y in zip(params.x_px, params.y_px, strict=True):
        kernel = path_kernel(x, y)
        assert kernel.min() >= 0
        assert float(kernel.sum()) == pytest.approx(1, abs=1e-12)
        # Points at equal times: the middle of the way is that of its pieces' middles.
        right, down = ((v[1:] + v[:-1]).mean() / 2 for v in (x, y))
        assert middle_of(kernel) == pytest.approx((right.item(), down.item()), abs=0.05)


def test_a_straight_way_is_the_motion_of_blur():
    length, angle = 9.0, 0.4
    ends = torch.tensor([-0.5, 0.5, 0.5]).double()[:2] * length
    params = ShakeParams((ends * math.sin(angle))[None], (ends * math.cos(angle))[None])
    zero = torch.zeros(1, dtype=torch.float64)
    motion = BlurParams(zero, zero, zero + length, zero + angle)
    image = light(20, 23)
    torch.testing.assert_close(shake_light(image, params), blur_light(image, motion))


def test_a_still_camera_is_the_identity():
    image = light(6, 7)
    still = way([0.0] * 4, [0.0] * 4, [0.0] * 4)
    torch.testing.assert_close(shake(image, still), image, rtol=0, atol=1e-7)
    torch.testing.assert_close(shake_light(image, still), image, rtol=0, atol=1e-15)


def test_a_point_of_light_leaves_its_way():
    # Half of the time at rest, then 4 px to the right and 2 down.
    image = torch.zeros(1, 1, 15, 15, dtype=torch.float64)
    image[0, 0, 6, 5] = 1
    seen = shake_light(image, way([0.0, 0.0, 4.0], [0.0, 0.0, 2.0]))[0, 0]
    assert seen[6, 5] > 0.5
    assert seen[7, 7] > 0.05
    assert seen[8, 9] > 0.01
    assert seen[6:9, 5:10].sum() == pytest.approx(1)


def test_a_shift_at_rest_moves_the_picture():
    image = light(9, 10)
    moved = shake_light(image, way([3.0], [-2.0]))
    torch.testing.assert_close(moved[..., :-2, 3:], image[..., 2:, :-3])


@pytest.mark.parametrize("size", [(12, 9), (1, 1), (1, 6), (5, 2), (3, 40)])
@pytest.mark.parametrize("roll", [(0, 0), (0.02, 0.2)])
def test_the_adjoint_is_the_adjoint(size, roll):
    params = drawn(Shake(roll_rad=roll), (2, 3, *size), seed=3)
    x, y = light(*size, batch=2), light(*size, batch=2, seed=4) - 0.4
    forward, backward = (shake_light(x, params) * y).sum(), (x * shake_adjoint(y, params)).sum()
    torch.testing.assert_close(forward, backward, rtol=1e-12, atol=1e-12)


def test_an_even_picture_stays_even_whatever_the_camera_does():
    image = torch.full((2, 3, 21, 34), 0.37, dtype=torch.float64)
    params = drawn(Shake(roll_rad=(0.05, 0.1)), image.shape)
    torch.testing.assert_close(shake(image, params), image, rtol=0, atol=1e-7)


def test_without_a_turn_all_nodes_blur_alike():
    image = light(17, 22)
    alike = drawn(Shake(roll_rad=(0, 0)), image.shape)
    nodes = dataclasses.replace(alike, roll_rad=torch.zeros_like(alike.x_px))
    torch.testing.assert_close(shake_light(image, nodes), shake_light(image, alike))


def test_a_turn_leaves_the_middle_sharp_and_moves_the_right_edge_down():
    # From 0 to 0.1 rad: 3 px down at the right edge of 61, 3 px up at the left, none between.
    image = torch.zeros(1, 1, 41, 61, dtype=torch.float64)
    image[..., 20, 1] = image[..., 20, 30] = image[..., 20, 59] = 1
    still = [0.0, 0.0]
    seen = shake_light(image, way(still, still, [0.0, 0.1]))[0, 0]
    rows = torch.arange(41, dtype=torch.float64) - 20
    left, middle, right = (
        (part.sum(1) * rows).sum() for part in (seen[:, :6], seen[:, 28:33], seen[:, 55:])
    )
    assert left.item() == pytest.approx(-1.5, abs=0.15)
    assert middle.item() == pytest.approx(0, abs=1e-9)
    assert right.item() == pytest.approx(1.5, abs=0.15)
    assert seen[20, 30] > 0.99


def test_the_way_has_the_length_drawn_and_bends_with_the_tremor():
    def turns(tremor):
        prior = Shake(length_px=(20, 20), tremor=(tremor, tremor), roll_rad=(0, 0))
        params = prior.sample((200, 3, 64, 64), stream())
        steps = torch.stack([params.x_px.diff(), params.y_px.diff()])
        lengths = steps.norm(dim=0)
        torch.testing.assert_close(lengths.sum(1), torch.full((200,), 20.0))
        return 1 - ((steps[..., 1:] * steps[..., :-1]).sum(0) / lengths[:, :1] ** 2).mean()

    assert turns(0.02) < 0.1 < turns(0.3) < turns(1.0)


@pytest.mark.parametrize("place", [[0.0, 9.5], [-12.0, 0.0], [0.0, float("nan")]])
def test_a_way_longer_than_the_picture_is_refused(place):
    for operator in (shake, shake_light, shake_adjoint):
        with pytest.raises(ValueError, match=r"y_px must be at least -9 and at most 9 \(px in"):
            operator(light(9, 7), way([0.0, 1.0], place))


def test_ways_and_images_must_be_as_many():
    with pytest.raises(ValueError, match="2 images need as many ways, got 1"):
        shake(light(4, 4, batch=2), way([0.0], [1.0]))
