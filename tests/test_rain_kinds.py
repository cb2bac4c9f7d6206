"""Kinds of rain: layers that cover each other, discs that are smeared, paths, gusts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from degradations import (
    Rain,
    RainParams,
    StreakLayers,
    add_rain,
    draw_streaks,
    join_streaks,
    light_around,
    light_layers,
    rain_kinds,
    render,
    streak_layer,
)
from degradations.rain_kinds import RAIN_KINDS
from degradations.types import tensors


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def one_streak(*, size=41, opacity=0.0, tint=(1.0, 1.0, 1.0), lit=0.0, dtype=torch.float64, **own):
    """A streak in the middle of a picture, in a layer of its own."""
    fields = {
        "x_px": size / 2 - 0.5, "y_px": size / 2 - 0.5, "angle_rad": 0.0, "length_px": 20.0,
        "width_px": 4.0, "brightness": 0.5, "taper": 0.5, "ripple": 0.0, "ripple_px": 10.0,
        "phase_rad": 0.0, "wobble_px": 0.0,
    }  # fmt: skip
    ceiling = own.pop("ceiling", 0.3)
    columns = {
        name: torch.full((1, 1), own.get(name, fields[name]), dtype=dtype) for name in fields
    }
    return RainParams(
        **columns,
        present=torch.ones(1, 1, dtype=torch.bool),
        ceiling=torch.full((1, 1), ceiling, dtype=dtype),
        transmission=torch.ones(1, dtype=dtype),
        airlight=torch.ones(1, dtype=dtype),
        layers=StreakLayers(
            torch.zeros(1, 1, dtype=torch.int64),
            torch.full((1, 1), opacity, dtype=dtype),
            torch.tensor(tint, dtype=dtype).view(1, 1, 3),
            torch.full((1, 1), lit, dtype=dtype),
        ),
    )


def mixed(size=64, batch=4, seed=0, **own):
    prior = Rain(kinds=tuple(RAIN_KINDS), rain_free=0.0, populations=(3, 3), **own)
    return prior, prior.sample((batch, 3, size, size), stream(seed))


def test_layers_cover_each_other_one_after_the_other():
    _, params = mixed()
    params = replace(params, layers=replace(params.layers, lit=0.7 * torch.rand(4, 3)))
    image = torch.rand(4, 3, 64, 64, generator=stream(1))
    around = light_around(image)
    expected = image.clone()
    for number in range(3):
        # A streak of a layer ends round, one without layers does not: the layers are rendered.
        cover = light_layers(params, 64, 64)[:, number] / params.ceiling[:, number, None, None]
        for b in range(4):
            lit = params.layers.lit[b, number]
            shine = 1 - lit + lit * around[b, 0]
            for colour in range(3):
                light = params.ceiling[b, number] * params.layers.tint[b, number, colour] * shine
                hidden = params.layers.opacity[b, number] * expected[b, colour]
                expected[b, colour] += cover[b] * (light - hidden)
    torch.testing.assert_close(add_rain(image, params), expected, rtol=0, atol=1e-5)


def test_layers_hold_their_own_streaks_alone():
    _, params = mixed(kind_share=0.0)  # all in the first layer, as rain without kinds
    layers = light_layers(params, 64, 64)
    assert layers[:, 1:].abs().max() == 0
    _, params = mixed()
    apart = torch.cat(
        [
            light_layers(
                replace(params, present=params.present & (params.layers.of_streak == n)), 64, 64
            )[:, n : n + 1]
            for n in range(3)
        ],
        dim=1,
    )
    torch.testing.assert_close(light_layers(params, 64, 64), apart, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        streak_layer(params, 64, 64), apart.sum(1, keepdim=True), rtol=0, atol=1e-6
    )


def test_rain_of_the_light_of_its_ground_is_not_seen():
    params = one_streak(opacity=0.6, ceiling=0.3, tint=(1.0, 0.8, 1.2))
    ground = (0.3 / 0.6 * torch.tensor([1.0, 0.8, 1.2])).view(1, 3, 1, 1).expand(1, 3, 41, 41)
    torch.testing.assert_close(add_rain(ground.double(), params), ground.double())


def test_a_share_of_images_without_kinds_has_the_rain_of_a_prior_without():
    plain = Rain(rain_free=0.0, populations=(3, 3), ceiling=(5.0, 5.0))
    other = replace(plain, kinds=("bokeh",), kind_share=0.0)
    params = other.sample((2, 3, 32, 32), stream())
    assert (params.layers.opacity == 0).all()
    assert (params.layers.tint == 1).all()
    assert (params.ceiling == 5).all()
    assert set(params.layers.of_streak[params.present].tolist()) == {0}


def test_a_streak_as_long_as_it_is_wide_is_a_disc():
    across = 12.0
    support = across / (2 * (1 - 0.5**0.5) ** 0.5)  # half of the whole width
    disc = one_streak(
        width_px=across, length_px=2 * support, taper=0.05, brightness=300.0, ceiling=0.3
    )
    layer = streak_layer(disc, 41, 41)[0, 0]
    assert (layer.T - layer).abs().mean() < 0.05 * layer.mean()
    radius = (layer.sum() / 0.3 / torch.pi).sqrt()
    assert float(radius) == pytest.approx(support, rel=0.1)
    turned = streak_layer(replace(disc, angle_rad=torch.full((1, 1), 0.6).double()), 41, 41)[0, 0]
    assert (turned - layer).abs().mean() < 0.05 * layer.mean()


def test_a_saturated_layer_has_a_flat_top_and_hard_edges():
    row = streak_layer(one_streak(brightness=3.6, width_px=14.0), 41, 41)[0, 0, 20]
    top = row > 0.9 * 0.3
    edge = (row > 0.1 * 0.3) & ~top
    assert int(top.sum()) >= 4 * int(edge.sum())


def test_a_streak_wobbles_to_the_side_as_often_as_it_ripples():
    straight, swung = (
        one_streak(size=81, length_px=60.0, wobble_px=wobble, ripple_px=20.0, ceiling=1e9)
        for wobble in (0.0, 3.0)
    )
    column = torch.arange(81.0, dtype=torch.float64)

    def middle(params):
        rows = streak_layer(params, 81, 81)[0, 0, 20:61]
        return (rows * column).sum(1) / rows.sum(1)

    along = torch.arange(20, 61, dtype=torch.float64) - 40
    expected = 3 * (2 * torch.pi * along / 20).sin()
    # The centroid of whole pixels is that of the streak to a thousandth.
    torch.testing.assert_close(middle(swung) - middle(straight), expected, rtol=0, atol=1e-3)


def test_drops_from_a_roof_follow_each_other_on_one_path():
    prior = Rain(kinds=("drips",), rain_free=0.0, populations=(1, 1), angle_rad=(0.3, 0.3))
    populations = prior.populate(1, stream())
    apart = replace(
        populations.apart, along=torch.tensor([[4]]), gusts=torch.zeros(1, 1),
        wobble=torch.zeros(1, 1),
    )  # fmt: skip
    rain = draw_streaks(replace(populations, apart=apart), (1, 3, 200, 200), stream(1))
    x, y, angle = (v[rain.present].view(-1, 4) for v in (rain.x_px, rain.y_px, rain.angle_rad))
    assert (angle == angle[:, :1]).all()
    across = x * angle.cos() - y * angle.sin()
    torch.testing.assert_close(across, across[:, :1].expand_as(across), rtol=0, atol=1e-2)


@pytest.mark.parametrize("changes", [{"gusts": 1.0}, {"along": 5}, {}])
def test_paths_and_gusts_leave_the_coverage_as_it_is(changes):
    size, batch = 200, 40
    prior = Rain(kinds=("dots",), rain_free=0.0, populations=(1, 1))
    populations = prior.populate(batch, stream())
    small = torch.full((batch, 1), 2.0)
    flat = {"gusts": torch.zeros(batch, 1), "along": torch.ones(batch, 1, dtype=torch.int64)}
    flat |= {name: torch.full_like(flat[name], value) for name, value in changes.items()}
    populations = replace(
        populations, coverage=torch.full((batch, 1), 0.05), length_px=small, width_px=small,
        apart=replace(populations.apart, **flat),
    )  # fmt: skip
    rain = draw_streaks(populations, (batch, 3, size, size), stream(1))
    inside = (rain.x_px >= 0) & (rain.x_px < size) & (rain.y_px >= 0) & (rain.y_px < size)
    area = (rain.length_px * rain.width_px * (inside & rain.present)).sum(1) / size**2
    # Drops of a path come together, gusts differ from picture to picture: by its own spread.
    assert abs(float(area.mean()) - 0.05) < 4 * float(area.std()) / batch**0.5


def test_gusts_change_the_density_over_the_picture():
    prior = Rain(kinds=("dots",), rain_free=0.0, populations=(1, 1))
    populations = prior.populate(1, stream())
    populations = replace(populations, coverage=torch.full((1, 1), 0.3))

    def spread(gusts):
        """Variance of the numbers of streaks in squares of the picture, over their mean."""
        flat = {"gusts": torch.full((1, 1), gusts), "along": torch.ones(1, 1, dtype=torch.int64)}
        own = replace(populations, apart=replace(populations.apart, **flat))
        rain = draw_streaks(own, (1, 3, 400, 400), stream(1))
        x, y = (v[rain.present] for v in (rain.x_px, rain.y_px))
        squares = torch.histogramdd(torch.stack([x, y], 1), [8, 8], range=[0.0, 400, 0, 400]).hist
        return float(squares.var() / squares.mean())

    assert spread(0.0) < 2  # 1 for numbers that are Poisson's
    assert spread(1.0) > 4


def test_bands_give_what_the_whole_picture_gives():
    prior = Rain(kinds=("night", "drips"), rain_free=0.0, populations=(2, 2))
    image = torch.rand(1, 3, 700, 500, generator=stream(1))
    params = prior.sample(image.shape, stream())
    assert params.layers.lit.any()
    rainy, layer = render(prior, image, params)
    torch.testing.assert_close(rainy, add_rain(image, params), rtol=0, atol=1e-4)
    torch.testing.assert_close(layer, streak_layer(params, 700, 500), rtol=0, atol=1e-4)


def test_night_rain_shines_where_lamps_are():
    image = torch.zeros(1, 3, 64, 64)
    image[..., :32] = 0.8
    params = one_streak(lit=1.0, dtype=torch.float32)
    light = light_around(image)
    assert light[..., 0].min() > 0.99
    assert light[..., -1].max() < 0.01
    dark = add_rain(image.flip(3), replace(params, x_px=torch.full((1, 1), 10.0)))
    lamp = add_rain(image, replace(params, x_px=torch.full((1, 1), 10.0)))
    assert (lamp - image).sum() > 20 * (dark - image.flip(3)).sum()


def test_farther_drops_lie_in_the_farthest_layer():
    _, params = mixed(far=(0.5, 0.5))
    assert params.layers.of_streak.shape == params.x_px.shape
    joined = join_streaks(params, params)
    tail = joined.layers.of_streak[:, params.x_px.shape[1] :]
    assert (tail == 0).all()


@pytest.mark.parametrize("kind", RAIN_KINDS)
def test_a_kind_stays_in_its_ranges(kind):
    prior = Rain(kinds=(kind,), rain_free=0.0)
    p = prior.populate(200, stream())
    ranges = RAIN_KINDS[kind]
    for name, values in (
        ("width_px", p.width_px), ("aspect", p.length_px / p.width_px),
        ("light", p.apart.ceiling),
    ):  # fmt: skip
        low, high = getattr(ranges, name)
        assert low * 0.999 <= float(values.min())
        assert float(values.max()) <= high * 1.001
    assert (p.apart.opacity <= 1).all()


def test_the_layers_of_an_image_have_nearly_the_colour_of_its_sky():
    tint = (
        Rain(kinds=("bokeh",), rain_free=0.0, populations=(3, 3))
        .populate(2000, stream())
        .apart.tint
    )
    within = float(tint.std(dim=1).mean())
    between = float(tint.mean(dim=1).std())
    assert within == pytest.approx(rain_kinds.TINT_SPREAD, rel=0.2)
    assert between == pytest.approx(rain_kinds.SKY_SPREAD, rel=0.1)
    ordinary = Rain(rain_free=0.0).sample((4, 3, 8, 8), stream())
    assert ordinary.layers is None


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'hail' is unknown; use streaks, bokeh"):
        Rain(kinds=("hail",))


def test_a_layer_that_is_not_there_is_refused():
    _, params = mixed()
    wrong = replace(params.layers, of_streak=params.layers.of_streak + 3)
    with pytest.raises(ValueError, match="of_streak"):
        add_rain(torch.zeros(4, 3, 64, 64), replace(params, layers=wrong))


def test_gradients_of_layers_are_those_of_finite_differences():
    params = one_streak(
        size=9, width_px=3.3, length_px=5.7, opacity=0.4, lit=0.5, wobble_px=0.6, ripple=0.2
    )
    image = torch.rand(1, 3, 9, 9, generator=stream()).double()
    named = [(n, t) for n, t in tensors(params) if t.is_floating_point()]
    values = [t.clone().requires_grad_() for _, t in named]

    def rainy(picture, *given):
        own = dict(zip((n for n, _ in named), given, strict=True))
        layers = {n.split(".")[1]: v for n, v in own.items() if "." in n}
        plain = {n: v for n, v in own.items() if "." not in n}
        return add_rain(picture, replace(params, layers=replace(params.layers, **layers), **plain))

    assert torch.autograd.gradcheck(
        rainy, (image.requires_grad_(), *values), eps=1e-6, atol=1e-5, rtol=1e-3
    )
