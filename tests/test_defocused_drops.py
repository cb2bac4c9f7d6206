"""Drops out of focus: discs of confusion, a view that is turned over, light that is kept."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from degradations import DefocusedDrops, Drops, DropsParams, add_drops, to_display, to_linear

SIZE = (1, 3, 65, 81)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def drop(radius=10.0, defocus=3.0, bend=0.0, light=1.0, x=40.0, y=32.0, **more):
    one = torch.ones(1, 1, dtype=torch.float64)
    more = {name: value * one for name, value in more.items()}
    return DropsParams(
        x * one, y * one, radius * one, bend * one, light * one, one > 0,
        defocus_px=defocus * one[0], **more,
    )  # fmt: skip


def black_drop(**more):
    """The share of the aperture that a drop covers, seen on white as what is missing."""
    white = torch.ones(1, 1, *SIZE[2:], dtype=torch.float64)
    return 1 - to_linear(add_drops(white, drop(light=0.0, **more)))[0, 0]


def offsets():
    """Rows and columns from the middle."""
    rows, columns = torch.arange(-32.0, 33), torch.arange(-40.0, 41)
    return torch.meshgrid(rows.double(), columns.double(), indexing="ij")


def disc(radius):
    return (radius - torch.hypot(*offsets()) + 0.5).clamp(0, 1)


@pytest.mark.parametrize(("radius", "defocus"), [(10, 2), (10, 5), (10, 10), (5, 10), (3, 12)])
def test_a_drop_out_of_focus_is_two_discs_convolved(radius, defocus):
    aperture = disc(defocus)
    ahead = torch.fft.rfft2(disc(radius), s=(129, 161)) * torch.fft.rfft2(aperture, s=(129, 161))
    exact = torch.fft.irfft2(ahead, s=(129, 161))[32:97, 40:121] / aperture.sum()
    share = black_drop(radius=float(radius), defocus=float(defocus))
    assert (share - exact).abs().max() < 0.1
    assert (share - exact).abs().mean() < 0.008
    assert share.sum().item() == pytest.approx(exact.sum().item(), rel=0.03)


def test_without_defocus_a_drop_has_edges_of_a_pixel():
    share = black_drop(radius=10.0, defocus=0.0)
    within = torch.hypot(*offsets())
    assert share[within < 9.4].min() == pytest.approx(1)
    assert share[within > 10.6].max() == pytest.approx(0)


def test_even_light_passes_unchanged_and_what_is_lost_is_lost_in_linear_light():
    even = torch.full(SIZE, 0.5, dtype=torch.float64)
    torch.testing.assert_close(add_drops(even, drop(bend=4.0)), even)
    dimmed = add_drops(even, drop(bend=4.0, light=0.6, opacity=0.5))[0, 0, 32, 40]
    assert to_linear(dimmed).item() == pytest.approx(0.8 * to_linear(even[0, 0, 0, 0]).item())


def test_no_drop_and_one_that_passes_no_light_its_way_are_not_seen():
    image = torch.rand(SIZE, generator=stream(), dtype=torch.float64)
    absent = dataclasses.replace(drop(), present=torch.zeros(1, 1, dtype=torch.bool))
    torch.testing.assert_close(add_drops(image, absent), image)
    torch.testing.assert_close(add_drops(image, drop(bend=5.0, opacity=0.0)), image)


@pytest.mark.parametrize("bend", [0.5, 3.0, 6.0])
def test_the_view_is_scaled_and_upside_down_above_one(bend):
    rows = torch.linspace(0.2, 0.6, 65, dtype=torch.float64).view(1, 1, -1, 1).expand(1, 3, 65, 81)
    shown = to_linear(add_drops(to_display(rows), drop(bend=bend, radius=5.0, defocus=1.0)))
    slope = (shown[0, 0, 34, 40] - shown[0, 0, 30, 40]) / (rows[0, 0, 34, 40] - rows[0, 0, 30, 40])
    assert slope.item() == pytest.approx(1 - bend, abs=0.12 * max(1, bend))


def test_a_stretched_drop_keeps_its_area_and_lobes_do_not_move_it():
    round_one = black_drop(defocus=1.0)
    tall = black_drop(defocus=1.0, stretch=2.0)
    y, x = offsets()
    assert tall.sum().item() == pytest.approx(round_one.sum().item(), rel=0.03)
    ratio = (tall * y.square()).sum() / (tall * x.square()).sum()
    assert math.sqrt(ratio.item()) == pytest.approx(2, rel=0.05)
    lobes = torch.tensor([0.15, 0.0, 0.0, 0.1], dtype=torch.float64)
    lobed = add_drops(torch.ones(SIZE).double(), dataclasses.replace(
        drop(light=0.0, defocus=1.0), outline=lobes.view(1, 1, 4)))  # fmt: skip
    share = 1 - to_linear(lobed)[0, 0]
    assert share.sum().item() == pytest.approx(round_one.sum().item(), rel=0.05)
    assert abs((share * x).sum() / share.sum()) < 0.7


def test_touching_drops_merge_and_cover_no_more_than_everything():
    one = torch.ones(1, 2, dtype=torch.float64)
    params = DropsParams(
        torch.tensor([[33.0, 47.0]]), 32 * one, 8 * one, 0 * one, 0 * one, one > 0,
        defocus_px=3 * one[:, 0],
    )  # fmt: skip
    white = torch.ones(SIZE, dtype=torch.float64)
    share = 1 - to_linear(add_drops(white, params))[0, 0]
    assert share.max() <= 1 + 1e-9
    assert share[32, 40] > 0.9  # each alone covers less there
    assert black_drop(radius=8.0, defocus=3.0, x=33.0)[32, 40] < 0.8


def test_the_order_of_drops_does_not_matter():
    params = DefocusedDrops(count=(6, 6)).sample((2, 3, 40, 48), stream(2))
    turned = {f.name: getattr(params, f.name) for f in dataclasses.fields(params)}
    turned = {n: t.flip(1) if t.ndim > 1 else t for n, t in turned.items()}
    image = torch.rand(2, 3, 40, 48, generator=stream(3))
    again = add_drops(image, DropsParams(**turned))
    torch.testing.assert_close(add_drops(image, params), again, rtol=1e-4, atol=1e-4)


def test_highlights_are_light_on_the_side_that_is_asked_for():
    even = torch.full(SIZE, 0.5, dtype=torch.float64)
    added = add_drops(even, drop(highlight=0.5, angle_rad=0.0)) - even
    assert added.min() > -1e-9
    assert added[..., 33:, :].sum() > 5 * added[..., :32, :].sum()
    right = add_drops(even, drop(highlight=0.5, angle_rad=math.pi / 2)) - even
    assert right[..., 41:].sum() > 5 * right[..., :40].sum()


def test_a_rim_is_darker_than_the_middle():
    even = torch.full(SIZE, 0.5, dtype=torch.float64)
    row = add_drops(even, drop(rim=0.8, defocus=1.0, radius=16.0))[0, 0, 32]
    assert row[40] == pytest.approx(0.5)
    assert row[54] < 0.4
    assert row[60] == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_cut_from_a_larger_one_has_the_same_drops(seed):
    prior = DefocusedDrops(count=(5, 5), radius_px=(3, 20), irregularity=(0.1, 0.3))
    params = dataclasses.replace(
        prior.sample((1, 3, 40, 48), stream(seed)), light=torch.zeros(1, 5)
    )
    params = dataclasses.replace(params, highlight=None)
    moved = dataclasses.replace(params, x_px=params.x_px + 70, y_px=params.y_px + 60)
    large = add_drops(torch.ones(1, 1, 160, 190), moved)[..., 60:100, 70:118]
    torch.testing.assert_close(add_drops(torch.ones(1, 1, 40, 48), params), large)


def test_a_film_takes_a_share_of_the_detail_and_none_of_the_light():
    light = 0.2 + 0.6 * torch.rand(SIZE, generator=stream(), dtype=torch.float64)
    params = dataclasses.replace(
        drop(opacity=0.0, view_blur_px=40.0),
        view_blur_px=torch.tensor([40.0]),
        film=torch.tensor([0.25]),
    )
    filmed = to_linear(add_drops(to_display(light), params))
    assert filmed.mean().item() == pytest.approx(light.mean().item(), rel=1e-2)
    ratio = filmed.diff(dim=3).abs().mean() / light.diff(dim=3).abs().mean()
    assert ratio.item() == pytest.approx(0.75, abs=0.01)


def test_a_share_of_the_picture_is_covered_whatever_its_size():
    prior = DefocusedDrops(coverage=(0.2, 0.2), radius_px=(3, 5), defocus_radii=(0.2, 0.3))
    for side in (96, 192):
        shape = (8, 3, side, side)
        params = prior.sample(shape, stream(6))
        area = math.pi * (params.radius_px.square() * params.present).sum(1) / side**2
        few = params.present.sum(1) == prior.count[0]
        full = params.present.sum(1) == prior.count[1]
        assert ((area <= 0.2001) | few).all()
        assert (params.present.sum(1) >= prior.count[0]).all()
        assert not full.all()


def test_drops_in_focus_are_what_they_were():
    params = Drops().sample((1, 3, 40, 40), stream())
    assert params.defocus_px is None
    assert params.x_px[0, :3].tolist() == pytest.approx([29.9606, 3.4506, 5.1492], abs=1e-4)
    shown = add_drops(torch.rand(1, 3, 40, 40, generator=stream(1)), params)
    golden = [0.4301, 0.2429, 0.1157, 0.0744]
    assert shown[0, 1, 20, ::13].tolist() == pytest.approx(golden, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"opacity": (0.5, 1.2)}, r"opacity must be at least 0 and at most 1 .*, got \(0.5, 1.2\)"),
        ({"stretch": (0.0, 1.0)}, "stretch must be above 0"),
        ({"irregularity": (0.0, 0.5)}, "irregularity must be at least 0 and at most 0.3"),
    ],
)
def test_a_prior_that_cannot_be_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        DefocusedDrops(**change)
