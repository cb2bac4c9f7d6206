import dataclasses

import pytest
import torch

from degradations.color import to_linear
from degradations.haze import Haze, HazeParams, add_haze, transmission, visibility_m


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def scene():
    params = Haze().sample((2, 3, 9, 11), stream())
    params = HazeParams(*(getattr(params, f.name).double() for f in dataclasses.fields(params)))
    return torch.rand((2, 3, 9, 11), generator=stream(1), dtype=torch.float64), params


def with_(params, **changes):
    return dataclasses.replace(params, **changes)


def test_haze_of_a_grey_pixel_by_hand():
    # Linear 0.5 * 0.21404114 + 0.5 * 1 = 0.60702057, which is display 0.80188.
    image = torch.tensor([0.5, 0.0]).view(1, 1, 1, 2)
    params = HazeParams(
        depth_m=torch.tensor([100.0, 0.0]).view(1, 1, 1, 2),
        beta_per_m=torch.tensor([0.00693147]),
        airlight=torch.tensor([[1.0]]),
    )
    golden = torch.tensor([0.80188, 0.0]).view(1, 1, 1, 2)
    torch.testing.assert_close(add_haze(image, params), golden, rtol=0, atol=2e-5)


def test_no_depth_or_no_extinction_is_the_identity(scene):
    image, params = scene
    zero = torch.zeros(2, dtype=torch.float64)
    for clear in (
        with_(params, beta_per_m=zero),
        with_(params, depth_m=torch.zeros_like(params.depth_m)),
    ):
        torch.testing.assert_close(add_haze(image, clear), image, rtol=0, atol=1e-7)


def test_far_away_everything_has_the_colour_of_the_airlight(scene):
    image, params = scene
    far = with_(params, depth_m=torch.full_like(params.depth_m, 1e6))
    airlight = params.airlight[:, :, None, None].expand_as(image)
    torch.testing.assert_close(add_haze(image, far), airlight, rtol=0, atol=1e-7)


def test_a_picture_of_the_airlight_stays_as_it_is(scene):
    image, params = scene
    airlight = params.airlight[:, :, None, None].expand_as(image)
    torch.testing.assert_close(add_haze(airlight, params), airlight, rtol=0, atol=1e-7)


def test_two_layers_of_haze_are_one_of_the_summed_extinction(scene):
    image, params = scene
    first, second = params.beta_per_m * 0.3, params.beta_per_m * 0.7
    twice = add_haze(
        add_haze(image, with_(params, beta_per_m=first)), with_(params, beta_per_m=second)
    )
    torch.testing.assert_close(twice, add_haze(image, params), rtol=0, atol=1e-6)


def test_contrast_in_linear_light_falls_by_the_transmission(scene):
    image, params = scene
    other = image.flip(0)[:, [2, 0, 1]]
    before = to_linear(image) - to_linear(other)
    after = to_linear(add_haze(image, params)) - to_linear(add_haze(other, params))
    t = transmission(params.depth_m, params.beta_per_m)
    torch.testing.assert_close(after, before * t, rtol=0, atol=1e-6)


def test_at_the_visibility_two_percent_of_the_light_is_left():
    beta = torch.tensor([0.001, 0.04], dtype=torch.float64)
    depth = visibility_m(beta).view(2, 1, 1, 1)
    assert transmission(depth, beta).flatten().tolist() == pytest.approx([0.02, 0.02], rel=1e-4)


def test_haze_is_not_clamped():
    params = HazeParams(torch.ones(1, 1, 1, 1), torch.ones(1), torch.full((1, 3), 1.4))
    bright = add_haze(torch.full((1, 3, 2, 2), 1.8), params)
    assert ((bright > 1.4) & (bright < 1.8)).all()
    assert (
        add_haze(torch.full((1, 3, 2, 2), -0.9), with_(params, airlight=torch.zeros(1, 3))) < 0
    ).all()


def test_one_distance_for_the_whole_scene_is_a_depth_of_one_pixel(scene):
    image, params = scene
    near = params.depth_m[:, :, :1, :1]
    everywhere = with_(params, depth_m=near.expand_as(params.depth_m))
    assert torch.equal(add_haze(image, with_(params, depth_m=near)), add_haze(image, everywhere))


def test_the_ground_plane_reaches_from_near_below_to_far_above():
    flat = Haze(near_m=(5, 5), far_m=(200, 200), relief=(0, 0))
    depth = flat.sample((1, 3, 400, 3), stream()).depth_m[0, 0]
    assert torch.equal(depth, depth[:, :1].expand_as(depth))
    assert (depth[:, 0].diff() < 0).all()
    assert float(depth[-1, 0]) == pytest.approx(5, rel=0.01)
    assert float(depth[0, 0]) == pytest.approx(200, rel=0.06)
    torch.testing.assert_close(
        (1 / depth[:, 0]).diff(), torch.full((399,), 0.195 / 400), rtol=0.02, atol=0
    )


def test_drawn_depth_is_positive_smooth_and_rough_in_both_directions():
    depth = Haze(relief=(0.5, 0.5)).sample((8, 3, 64, 64), stream()).depth_m.log()
    assert depth.isfinite().all()
    assert depth.std(dim=-1).mean() > 0.1
    assert depth.diff(dim=-1).abs().max() < 0.25


def test_drawn_visibility_stays_in_its_range_and_fills_it_log_uniformly():
    params = Haze(visibility_m=(30, 1000)).sample((4000, 3, 1, 1), stream())
    drawn = visibility_m(params.beta_per_m)
    assert drawn.min() >= 29.99
    assert drawn.max() <= 1000.1
    median = (30 * 1000) ** 0.5
    assert float((drawn < median).double().mean()) == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)
