import dataclasses
import math

import pytest
import torch
from scipy.integrate import quad

from degradations.falling import advance_streaks
from degradations.rain import Rain, add_rain
from degradations.streaks import RainParams, streak_layer

NO_CEILING = 1e9  # so high that streaks add up


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def streaks(**columns):
    """Streaks of one image, a list a column; numbers hold for all streaks of the image."""
    default = {
        "x_px": 10.0, "y_px": 10.0, "angle_rad": 0.0, "length_px": 12.0, "width_px": 1.5,
        "brightness": 0.5, "taper": 0.5,
        "ripple": 0.0, "ripple_px": 7.0, "phase_rad": 0.0,
    }  # fmt: skip
    image = {"ceiling": NO_CEILING, "transmission": 1.0, "airlight": 0.8}
    count = max([len(v) for v in columns.values() if isinstance(v, list)], default=1)
    rows = {}
    for name, value in (default | image | columns).items():
        listed = value if isinstance(value, list) else [value] * count
        rows[name] = torch.tensor([listed], dtype=torch.float64)
        if name in image:
            rows[name] = torch.tensor([value], dtype=torch.float64)
    return RainParams(present=torch.ones(1, count, dtype=torch.bool), **rows)


def many(count=40, size=24, seed=0):
    """Streaks of every direction, size and place, in and out of the frame."""
    draw = torch.rand((10, count), generator=stream(seed), dtype=torch.float64)
    low = [-8, -8, -math.pi, 1.0, 0.05, 0.05, 0.05, 0, 3, 0]
    high = [size + 8, size + 8, math.pi, 30, 5, 1, 1, 1, 30, 2 * math.pi]
    low, high = (torch.tensor(edge, dtype=torch.float64)[:, None] for edge in (low, high))
    names = (
        "x_px", "y_px", "angle_rad", "length_px", "width_px", "brightness", "taper", "ripple",
        "ripple_px", "phase_rad",
    )  # fmt: skip
    return streaks(**dict(zip(names, (low + draw * (high - low)).tolist(), strict=True)))


def mean_section(across, pixel, support):
    """Mean of (1 - (d/support)^2)^2 over the width of a pixel, by quadrature."""

    def section(d):
        return (1 - (d / support) ** 2) ** 2 if abs(d) < support else 0.0

    low, high = across - pixel / 2, across + pixel / 2
    edges = [d for d in (-support, support) if low < d < high]
    return quad(section, low, high, points=edges or None, epsabs=1e-13)[0] / pixel


def oracle(params, height, width):
    """The docstring of `streak_layer`, a pixel and a streak at a time."""
    layer = torch.zeros(height, width, dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            total = 0.0
            for n in range(params.x_px.shape[1]):
                if not params.present[0, n]:
                    continue
                right, down = math.sin(params.angle_rad[0, n]), math.cos(params.angle_rad[0, n])
                dx, dy = column - float(params.x_px[0, n]), row - float(params.y_px[0, n])
                along, across = abs(dx * right + dy * down), abs(dx * down - dy * right)
                support = float(params.width_px[0, n]) / (2 * math.sqrt(1 - math.sqrt(0.5)))
                half = float(params.length_px[0, n]) / 2
                fade = max(0.75, float(params.taper[0, n]) * half)
                if along >= half:
                    continue
                end = min(1.0, (half - along) / fade)
                light = float(params.brightness[0, n]) * end**2 * (3 - 2 * end)
                turn = 2 * math.pi * (dx * right + dy * down) / float(params.ripple_px[0, n])
                light *= 1 + float(params.ripple[0, n]) * math.cos(
                    turn + float(params.phase_rad[0, n])
                )
                total += light * mean_section(across, max(abs(right), abs(down)), support)
            ceiling = float(params.ceiling[0])
            layer[row, column] = ceiling * (1 - math.exp(-total / ceiling))
    return layer[None, None]


def light_of(**columns):
    return float(streak_layer(streaks(**columns), 41, 41).sum())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("size", [(24, 24), (9, 31), (1, 1)])
def test_the_layer_is_the_double_loop_over_pixels(size, seed):
    params = dataclasses.replace(many(seed=seed), ceiling=torch.tensor([0.7], dtype=torch.float64))
    layer = streak_layer(params, *size)
    torch.testing.assert_close(layer, oracle(params, *size), rtol=0, atol=1e-10)
    assert layer.max() > 0


def test_golden_streak():
    # Half-width h = 0.92388, F(0.5 / h) = 0.444808: the core is 2 h F, its neighbours h (8/15 - F).
    # Half of the length is 2 px, all of it fades: a pixel off the centre has half of the light.
    layer = streak_layer(
        streaks(x_px=1.0, y_px=2.0, length_px=4.0, width_px=1.0, brightness=1.0, taper=1.0), 5, 4
    )
    golden = torch.tensor(
        [
            [0.0, 0.0, 0.0, 0.0],
            [0.040894, 0.410948, 0.040894, 0.0],
            [0.081788, 0.821895, 0.081788, 0.0],
            [0.040894, 0.410948, 0.040894, 0.0],
            [0.0, 0.0, 0.0, 0.0],
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(layer[0, 0], golden, rtol=0, atol=2e-6)


def test_streaks_add_up_where_the_ceiling_is_high():
    params = many(6)
    one_by_one = sum(
        streak_layer(dataclasses.replace(params, present=torch.arange(6)[None] == n), 24, 24)
        for n in range(6)
    )
    torch.testing.assert_close(streak_layer(params, 24, 24), one_by_one, rtol=0, atol=1e-9)


def test_overlapping_streaks_approach_the_ceiling_and_never_pass_it():
    single, crowd = (
        streak_layer(streaks(x_px=[10.0] * count, ceiling=0.6), 21, 21) for count in (1, 400)
    )
    assert float(single.max()) < 0.5
    assert float(crowd.max()) == pytest.approx(0.6, rel=1e-6)
    assert crowd.max() <= 0.6


def unevenness(angle, width):
    """Largest light of a streak over its smallest, less one, as it moves between the pixels."""
    lights = [
        light_of(
            x_px=20 + i / 16, y_px=20 + 5 * i / 16 % 1, angle_rad=angle, width_px=width,
            length_px=15.0,
        )
        for i in range(16)
    ]  # fmt: skip
    return max(lights) / min(lights) - 1


@pytest.mark.parametrize("width", [0.3, 0.6, 1.0, 2.5])
@pytest.mark.parametrize("angle", [-0.9, 0.2, 0.4, 1.2])
def test_light_of_a_slanted_streak_does_not_depend_on_its_place_between_pixels(angle, width):
    assert unevenness(angle, width) < 0.02


@pytest.mark.parametrize("angle", [0.0, 0.03, math.pi / 4, math.pi / 2])
@pytest.mark.parametrize(
    "width",
    [0.3, 0.6, 1.0, 2.5],
)
def test_light_of_a_streak_along_the_grid_does_not_depend_on_its_place(angle, width):
    assert unevenness(angle, width) < 0.02


def test_light_of_a_streak_is_its_area_whatever_its_direction():
    # Half-width support w, integral of (1 - u^2)^2 is 16/15; the ends fade over taper * half.
    support = 2.0 / (2 * math.sqrt(1 - math.sqrt(0.5)))
    expected = 0.5 * support * 16 / 15 * (18 - 0.5 * 9)
    for step in range(24):
        angle = step * math.pi / 12 + 0.03
        light = light_of(x_px=20.3, y_px=19.8, angle_rad=angle, width_px=2.0, length_px=18.0)
        assert light == pytest.approx(expected, rel=0.01)


def test_light_of_a_thin_streak_is_linear_in_its_width_down_to_zero():
    thin, thinner = light_of(width_px=0.02) / 0.02, light_of(width_px=0.01) / 0.01
    assert thin == pytest.approx(thinner, rel=1e-3)
    assert light_of(width_px=0.0) == 0
    params = streaks(width_px=0.0)
    params.width_px.requires_grad_()
    (slope,) = torch.autograd.grad(streak_layer(params, 41, 41).sum(), params.width_px)
    assert float(slope) == pytest.approx(thinner, rel=1e-3)


def test_width_is_that_at_half_brightness():
    params = streaks(x_px=20.0, y_px=20.0, width_px=4.0, length_px=30.0)
    row = streak_layer(params, 41, 41)[0, 0, 20]
    half = math.sqrt(4.0**2 + 1) / 2
    assert float(row[20 + int(half)]) > row[20] / 2 > float(row[21 + int(half)])


def test_a_positive_angle_falls_to_the_right():
    layer = streak_layer(streaks(angle_rad=0.5, length_px=16.0), 21, 21)[0, 0]
    assert layer[11:, 11:].sum() > 10 * layer[11:, :10].sum()
    mirrored = streak_layer(streaks(angle_rad=-0.5, length_px=16.0), 21, 21)[0, 0]
    torch.testing.assert_close(mirrored, layer.flip(1), rtol=0, atol=1e-12)


def test_swapping_rows_and_columns_transposes_the_layer():
    params = many(seed=3)
    swapped = dataclasses.replace(
        params, x_px=params.y_px, y_px=params.x_px, angle_rad=math.pi / 2 - params.angle_rad
    )
    expected = streak_layer(params, 24, 17).transpose(-1, -2)
    torch.testing.assert_close(streak_layer(swapped, 17, 24), expected, rtol=0, atol=1e-9)


def test_a_streak_turned_by_half_a_turn_is_itself_but_for_the_way_it_ripples():
    params = many(seed=4)
    turned = dataclasses.replace(
        params, angle_rad=params.angle_rad + math.pi, phase_rad=-params.phase_rad
    )
    torch.testing.assert_close(
        streak_layer(turned, 24, 24), streak_layer(params, 24, 24), rtol=0, atol=1e-9
    )


def test_a_frame_within_a_larger_one_has_the_same_streaks():
    params = many(seed=5)
    shifted = dataclasses.replace(params, x_px=params.x_px + 7, y_px=params.y_px + 4)
    window = streak_layer(shifted, 40, 40)[..., 4:28, 7:31]
    torch.testing.assert_close(streak_layer(params, 24, 24), window, rtol=0, atol=1e-9)


def test_no_streak_is_the_identity():
    image = torch.rand((1, 3, 24, 24), generator=stream(), dtype=torch.float64)
    absent = dataclasses.replace(many(), present=torch.zeros(1, 40, dtype=torch.bool))
    assert torch.equal(add_rain(image, absent), image)
    assert torch.equal(add_rain(image, streaks(brightness=0.0)), image)


def test_rain_is_the_same_on_all_channels_and_not_clamped():
    image = torch.rand((1, 3, 24, 24), generator=stream(), dtype=torch.float64)
    added = add_rain(image, many()) - image
    torch.testing.assert_close(added, streak_layer(many(), 24, 24).expand_as(image))
    assert add_rain(image, many()).max() > 1


def test_a_veil_that_nothing_passes_is_the_airlight():
    image = torch.rand((1, 3, 24, 24), generator=stream(), dtype=torch.float64)
    params = dataclasses.replace(many(), transmission=torch.zeros(1, dtype=torch.float64))
    assert torch.equal(add_rain(image, params), torch.full_like(image, 0.8))


def test_a_veil_dims_picture_and_streaks_alike():
    image = torch.full((1, 3, 21, 21), 0.2, dtype=torch.float64)
    clear = add_rain(image, streaks())
    veiled = add_rain(image, streaks(transmission=0.7))
    torch.testing.assert_close(veiled, 0.7 * clear + 0.3 * 0.8)


def test_gradients_of_two_crossing_streaks_are_right_entry_by_entry():
    params = streaks(
        x_px=[4.2, 5.7], y_px=[5.1, 4.4], angle_rad=[0.3, -1.2], length_px=[7.3, 9.1], ceiling=0.9
    )
    names = ("x_px", "y_px", "angle_rad", "length_px", "width_px", "brightness", "taper", "ceiling")

    def layer(*values):
        return streak_layer(
            dataclasses.replace(params, **dict(zip(names, values, strict=True))), 10, 11
        )

    leaves = tuple(getattr(params, name).requires_grad_() for name in names)
    assert torch.autograd.gradcheck(layer, leaves)


def test_gradients_of_wide_and_of_thin_streaks_over_the_border_are_right():
    params = streaks(
        x_px=[0.6, 8.3, 30.0], y_px=[4.4, 6.7, 3.0], angle_rad=[1.3, -0.2, 0.1],
        length_px=[9.3, 12.1, 5.0], width_px=[6.3, 0.37, 1.0], ceiling=0.8,
    )  # fmt: skip
    names = (
        "x_px", "y_px", "angle_rad", "length_px", "width_px", "brightness", "taper", "ripple",
        "ripple_px", "phase_rad",
    )  # fmt: skip

    def layer(*values):
        return streak_layer(
            dataclasses.replace(params, **dict(zip(names, values, strict=True))), 7, 9
        )

    leaves = tuple(getattr(params, name).requires_grad_() for name in names)
    assert torch.autograd.gradcheck(layer, leaves)


def test_streaks_that_are_not_in_the_picture_have_a_gradient_and_it_is_zero():
    params = streaks(x_px=[-500.0, 1e9], y_px=[3.0, 1e9])
    params.brightness.requires_grad_()
    layer = streak_layer(params, 9, 11)
    assert not layer.any()
    (slope,) = torch.autograd.grad(layer.sum(), params.brightness)
    assert not slope.any()


@pytest.mark.parametrize("size", [(3, 40), (40, 3), (16, 16)])
@pytest.mark.parametrize("angle", [0.2, 1.4])
def test_a_streak_wider_than_the_picture_is_the_double_loop_too(angle, size):
    params = streaks(
        x_px=[8.0, -12.0, 60.0], y_px=[8.0, 5.0, 5.0], angle_rad=angle, length_px=90.0,
        width_px=[50.0, 17.3, 4.0], ceiling=0.7,
    )  # fmt: skip
    layer = streak_layer(params, *size)
    torch.testing.assert_close(layer, oracle(params, *size), rtol=0, atol=1e-10)
    assert layer.max() > 0.05


# Frames


def frames_of(shutter=0.5, count=12, seed=0):
    params = Rain(rain_free=0, coverage=(0.5, 0.5)).sample((2, 3, 60, 90), stream(seed))
    return params, [advance_streaks(params, k, (60, 90), shutter=shutter) for k in range(count)]


def test_the_first_frame_is_as_drawn():
    params, frames = frames_of()
    for name in ("x_px", "y_px"):
        torch.testing.assert_close(
            getattr(frames[0], name), getattr(params, name), atol=1e-4, rtol=0
        )


@pytest.mark.parametrize("shutter", [0.25, 1.0])
def test_drops_move_on_by_their_length_over_the_shutter_along_their_streak(shutter):
    params, frames = frames_of(shutter)
    there = params.present
    step_y = (frames[1].y_px - frames[0].y_px)[there]
    step_x = (frames[1].x_px - frames[0].x_px)[there]
    way, angle = params.length_px[there] / shutter, params.angle_rad[there]
    stays = step_y > 0  # has not come in again
    stays &= (step_x - way * angle.sin()).abs() < 1
    assert stays.float().mean() > 0.1
    torch.testing.assert_close(step_y[stays], (way * angle.cos())[stays], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(step_x[stays], (way * angle.sin())[stays], atol=1e-3, rtol=1e-3)


def test_the_ripple_stays_where_it_was_while_the_drop_goes_on():
    # The light of a place on the way depends on when the drop was there, not on the frame.
    still = streaks(
        x_px=20.0, y_px=20.0, length_px=30.0, taper=0.1, ripple=0.8, ripple_px=9.0, phase_rad=1.0
    )
    moved = advance_streaks(still, 1, (400, 41), shutter=1.0)
    assert moved.y_px.item() == pytest.approx(50.0)
    apart = dataclasses.replace(still, y_px=moved.y_px)
    long = dataclasses.replace(
        still, y_px=still.y_px + 15, length_px=still.length_px * 2,
        phase_rad=still.phase_rad + 2 * math.pi * 15 / 9,
    )  # fmt: skip
    way = streak_layer(long, 90, 41)[0, 0, 40:60]  # the middle of the second half
    torch.testing.assert_close(streak_layer(moved, 90, 41)[0, 0, 40:60], way)
    assert (streak_layer(apart, 90, 41)[0, 0, 40:60] - way).abs().max() > 0.1


def test_as_much_rain_is_seen_in_every_frame():
    _, frames = frames_of(count=20)
    light = [streak_layer(params, 60, 90).mean().item() for params in frames]
    assert sum(light[10:]) / 10 == pytest.approx(sum(light[:10]) / 10, rel=0.15)


def test_a_drop_that_comes_in_again_is_another_one():
    _, frames = frames_of(count=200)
    places = torch.stack([params.x_px[0, 0] for params in frames])
    assert len(places.round(decimals=1).unique()) > 60


@pytest.mark.parametrize("shutter", [0.0, -1.0, 1.5])
def test_a_shutter_that_cannot_be_is_refused(shutter):
    with pytest.raises(ValueError, match="shutter must be above 0"):
        frames_of(shutter)
