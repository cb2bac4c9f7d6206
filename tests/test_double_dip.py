"""Double-DIP: the physics of its mixtures, its starts, and small runs of each use."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_restore import rng
from ssl_restore.errors import UnknownName, UserError
from ssl_restore.solvers import coupled_layers, double_dip_haze, double_dip_mixtures
from ssl_restore.solvers.coupled_layers import consistent_layers
from ssl_restore.solvers.double_dip import layer_names, solve
from ssl_restore.solvers.double_dip_segmentation import mask_of_hints, middle_and_border

SMALL = {"steps": 4, "width": 8, "side": 48, "precision": "fp32"}


def scene(height=80, width=96, seed=0, cell=8):
    """Tiles of random colours: sparse gradients, as of pictures."""
    colours = torch.rand(
        1, 3, height // cell, width // cell, generator=torch.Generator().manual_seed(seed)
    )
    return colours.repeat_interleave(cell, dim=2).repeat_interleave(cell, dim=3)


def mixed(weights, one=None, other=None):
    one = scene(seed=1) if one is None else one
    other = scene(seed=2).roll((3, 5), (2, 3)) if other is None else other
    return [w * one + (1 - w) * other for w in weights], (one, other)


def drawn(image, **settings):
    return solve(image, generator=rng.derive(0, "solve"), **(SMALL | settings))


@pytest.mark.parametrize("weights", [(0.7, 0.3), (0.55, 0.45), (0.9, 0.6), (0.4, 0.15)])
def test_weights_of_two_mixtures_are_read_off_their_gradients(weights):
    eight_bits = [(255 * image).round() / 255 for image in mixed(weights)[0]]
    lines = []
    found = double_dip_mixtures.weights_of_gradients(*eight_bits, lines.append)
    assert lines == []
    torch.testing.assert_close(found, torch.tensor(weights), atol=0.01, rtol=0)


def test_first_layer_is_the_one_that_the_first_mixture_shows_more_of():
    (one, other), _ = mixed((0.3, 0.7))
    found = double_dip_mixtures.weights_of_gradients(one, other, print)
    torch.testing.assert_close(found, torch.tensor([0.7, 0.3]), atol=0.01, rtol=0)


def test_mixtures_without_edges_leave_the_weights_a_guess_and_that_is_said():
    lines = []
    flat = torch.full((1, 3, 32, 32), 0.2), torch.full((1, 3, 32, 32), 0.6)
    double_dip_mixtures.weights_of_gradients(*flat, lines.append)
    assert "they are a guess" in lines[0]


def test_two_mixtures_with_their_weights_give_the_layers_whatever_was_drawn():
    images, (one, other) = mixed((0.8, 0.3))
    guess = torch.rand(1, 3, 80, 96, generator=torch.Generator().manual_seed(5))
    found = consistent_layers(
        images, [torch.tensor(0.8), torch.tensor(0.3)], (guess, 1 - guess), 1e-7
    )
    torch.testing.assert_close(found[0], one, atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1], other, atol=1e-4, rtol=0)


def test_layers_that_add_up_are_the_nearest_ones_by_least_squares():
    draws = torch.Generator().manual_seed(3)
    image, given1, given2 = torch.rand(3, 1, 3, 5, 6, generator=draws, dtype=torch.float64)
    weight = torch.rand(1, 1, 5, 6, generator=draws, dtype=torch.float64)
    trust = 0.04
    found1, found2 = consistent_layers([image], [weight], (given1, given2), trust)
    for c in range(3):
        for y in range(5):
            for x in range(6):
                m = float(weight[0, 0, y, x])
                rows = np.array([[m, 1 - m], [trust**0.5, 0], [0, trust**0.5]])
                right = np.array([image[0, c, y, x], *(trust**0.5 * float(g[0, c, y, x])
                                                       for g in (given1, given2))])  # fmt: skip
                expected = np.linalg.lstsq(rows, right, rcond=None)[0]
                assert float(found1[0, c, y, x]) == pytest.approx(expected[0])
                assert float(found2[0, c, y, x]) == pytest.approx(expected[1])


def test_haze_starts_near_the_transmission_and_the_airlight_that_were_put_in():
    clean = scene(96, 128, cell=4) * (torch.rand(1, 3, 96, 128) > 0.3)
    t = torch.linspace(0.9, 0.3, 128).expand(1, 1, 96, 128)
    start = double_dip_haze.dark_channel_start(clean * t + 0.9 * (1 - t))
    assert float((start["transmission"] - t).abs().mean()) < 0.06
    assert float(start["airlight"].max()) == pytest.approx(0.9, abs=0.1)


def test_the_haze_of_a_start_is_thicker_at_the_top():
    image = torch.full((1, 3, 96, 128), 0.5)
    image[:, :, 0, 0] = 0.9  # the airlight
    depth = -double_dip_haze.dark_channel_start(image)["transmission"].log()
    flat = -math.log(1 - double_dip_haze.OMEGA * 0.5 / 0.9)
    expected = flat * (1 + double_dip_haze.GROUND * (0.5 - torch.arange(96) / 95))
    torch.testing.assert_close(depth[0, 0, 20:, 64], expected[20:], atol=1e-3, rtol=0)


def test_an_even_bright_wall_is_no_farther_than_what_stands_around_it(monkeypatch):
    dark = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(7)) > 0.3
    clean = scene(96, 128, cell=4) * dark
    clean[..., 30:66, 40:88] = 0.8
    image = clean * 0.6 + 0.9 * 0.4
    image[..., 0, 0] = 0.9  # the airlight

    def wall():
        found = double_dip_haze.dark_channel_start(image)["transmission"]
        return float(found[..., 44:52, 60:68].mean())

    trusted = wall()
    monkeypatch.setattr(double_dip_haze, "TRUSTED", 1e6)  # all alike
    assert wall() < trusted - 0.1
    assert trusted < 0.65


@pytest.mark.parametrize("size", [(1, 1), (7, 30)])
def test_a_picture_too_small_to_tell_its_haze_stays_as_it_is(size):
    said, image = [], torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    layers = drawn(image, notify=said.append)
    assert torch.equal(layers["clean"], image)
    assert said == ["it is too small to tell its haze, and stays as it is"]


def test_a_picture_without_haze_and_too_little_time_are_said():
    said = []
    clear = scene(cell=4) * (torch.arange(96) % 3 > 0)
    drawn(clear, notify=said.append)
    assert said == ["hardly any haze was found in it; it is changed all the same"]
    said.clear()
    drawn(clear * 0.4 + 0.55, steps=10_000, seconds=0.5, notify=said.append)
    assert len(said) == 1
    assert said[0].startswith("the time was up after ")


def test_layers_of_haze_recombine_to_the_picture_where_there_is_light_left():
    image = scene()
    layers = drawn(image)
    t = layers["transmission"]
    again = t * layers["clean"] + (1 - t) * layers["airlight"]
    torch.testing.assert_close(again, image, atol=1e-5, rtol=0)
    assert t.min() >= double_dip_haze.LEAST


def test_layers_of_one_and_of_two_mixtures_recombine_to_them():
    images, _ = mixed((0.7, 0.4))
    lines = []
    alone = drawn(images[0], use="layers", notify=lines.append)
    both = drawn(images[0], use="layers", second=images[1], notify=lines.append)
    assert len(lines) == 1
    assert "one mixture does not tell its layers" in lines[0]
    for layers, count in ((alone, 1), (both, 2)):
        assert layers.keys() == set(layer_names("layers", two=count == 2))
        for number, image in enumerate(images[:count], start=1):
            m = layers[f"weight_{number}"]
            again = m * layers["layer_1"] + (1 - m) * layers["layer_2"]
            assert float((again - image).abs().max()) < 0.02


def test_two_mixtures_of_two_scenes_come_apart():
    images, truth = mixed((0.7, 0.4))
    layers = drawn(images[0], use="layers", second=images[1], steps=12)
    for name, expected in zip(("layer_1", "layer_2"), truth, strict=True):
        error = float((layers[name].clamp(0, 1) - expected).square().mean())
        assert error < 10**-2.5  # 25 dB


def figure_and_ground():
    image, figure = scene(64, 64, seed=4, cell=2) * 0.3, torch.zeros(1, 1, 64, 64)
    figure[..., 20:48, 16:40] = 1
    image = image + figure * torch.tensor([0.6, 0.3, 0.0]).view(1, 3, 1, 1)
    hints = torch.full((1, 1, 64, 64), 0.5)
    hints[..., 30:34, 25:29] = 1
    hints[..., 4:8, 50:54] = 0
    return image, figure, hints


def overlap(mask, truth):
    mask, truth = mask > 0.5, truth > 0.5
    return float((mask & truth).sum() / (mask | truth).sum())


def test_hints_start_the_mask_and_the_layers_recombine():
    image, figure, hints = figure_and_ground()
    start = mask_of_hints(image, (hints > 0.75).float(), (hints < 0.25).float())
    assert overlap(start, figure) > 0.8
    layers = drawn(image, use="segmentation", hints=hints)
    m = layers["mask"]
    again = m * layers["figure"] + (1 - m) * layers["ground"]
    assert float((again - image).abs().max()) < 0.02


def test_swapped_hints_give_the_other_mask():
    image, figure, hints = figure_and_ground()
    start = mask_of_hints(image, (hints < 0.25).float(), (hints > 0.75).float())
    assert overlap(1 - start, figure) > 0.8


def test_mask_that_is_drawn_shows_the_figure():
    image, figure, hints = figure_and_ground()
    layers = drawn(image, use="segmentation", hints=hints, steps=60, side=64)
    assert overlap(layers["mask"], figure) > 0.8


def test_without_hints_the_middle_is_the_figure_and_that_is_said():
    lines = []
    image, _, _ = figure_and_ground()
    drawn(image, use="segmentation", notify=lines.append)
    assert "without hints" in lines[0]
    hints = middle_and_border(image)
    assert hints[0, 0, 32, 32] == 1
    assert hints[0, 0, 0].max() == hints[..., 0].max() == 0


def test_seeds_repeat_and_differ():
    image = scene()
    one, again = (drawn(image)["clean"] for _ in range(2))
    other = solve(image, generator=rng.derive(1, "solve"), **SMALL)["clean"]
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_layers_are_shown_while_they_are_drawn(monkeypatch):
    monkeypatch.setattr(coupled_layers, "SHOWN_EVERY_S", 0.0)
    shown = []
    drawn(scene(), show=shown.append)
    assert len(shown) == SMALL["steps"] + 1
    assert all(layers.keys() == set(layer_names("haze")) for layers in shown)
    assert shown[-1]["clean"].shape == (1, 3, 40, 48)


def test_time_ends_a_run_and_too_little_is_named():
    shares = []
    drawn(scene(), steps=10**6, seconds=0.4, progress=shares.append)
    assert shares[-1] == 1
    with pytest.raises(UserError, match="seconds: 1e-06 is less than a step takes"):
        drawn(scene(), seconds=1e-6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"second": scene()}, "second: haze takes one picture"),
        ({"hints": scene()[:, :1]}, "hints: haze takes none"),
        ({"use": "layers", "second": scene(40, 96)}, r"second: \(80, 96\) is expected"),
        ({"use": "layers", "second": scene()}, "both mixtures are the same"),
        ({"use": "segmentation", "hints": torch.full((1, 1, 80, 96), 0.5)}, r"no figure \(white\)"),
        ({"use": "segmentation", "hints": torch.ones(1, 1, 80, 96)}, r"no ground \(black\)"),
    ],
)
def test_wrong_input_is_named(settings, said):
    with pytest.raises(UserError, match=said):
        drawn(scene(), **settings)


def test_unknown_use_gets_the_nearest():
    with pytest.raises(UnknownName, match="unknown use 'layer': did you mean 'layers'"):
        drawn(scene(), use="layer")
