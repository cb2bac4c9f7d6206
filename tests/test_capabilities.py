"""What degradations can do beside drawing and applying: physics against physics."""

from __future__ import annotations

import pytest
import torch

from degradations import (
    Blur,
    Chain,
    Haze,
    MeasuredRain,
    Noise,
    PoissonNoise,
    Rain,
    Rainfall,
    RainLike,
    Sensor,
    Veil,
    Weather,
    advance_streaks,
    at_frame,
    bands,
    check_fps,
    darkened,
    degrade,
    for_picture,
    map_tensors,
    render,
    tensors,
    to_display,
    to_linear,
    veil,
    without_streaks,
)

SHAPE = (2, 3, 24, 20)
HEAVY = Rain(rain_free=0, veil=1, transmission=(0.6, 0.9))
LIKE = RainLike((MeasuredRain(optical_depth=0.3),), rain_free=0)
WEATHER = Weather(focal_sides=(10, 20))  # as of a crop: in a picture so small no drop is visible
STREAKS = [HEAVY, LIKE, Rainfall(), WEATHER, Chain((Haze(), HEAVY))]
LINEAR_LIGHT = [Haze(), Rainfall(), WEATHER]
DISPLAY = [HEAVY, LIKE, Veil(), Veil(even=1), Chain((Veil(), HEAVY, Veil()))]


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(degradation, seed=0):
    """Parameters in float64, and a picture."""
    params = degradation.sample(SHAPE, stream(seed))
    params = map_tensors(params, lambda t: t.double() if t.is_floating_point() else t)
    return params, torch.rand(SHAPE, generator=stream(seed + 1), dtype=torch.float64)


def named(priors):
    return pytest.mark.parametrize("degradation", priors, ids=lambda p: type(p).__name__)


# The veil


@named([*DISPLAY, *LINEAR_LIGHT])
def test_black_becomes_the_light_of_the_veil_and_white_is_brighter_by_its_transmission(degradation):
    params, image = drawn(degradation)
    bare = without_streaks(degradation, params)
    t, light = veil(degradation, params, image)
    black = degradation.apply(torch.zeros_like(image), bare)
    white = degradation.apply(torch.ones_like(image), bare)
    torch.testing.assert_close(light.expand_as(image), black, rtol=0, atol=1e-9)
    brighter = (white - black).mean(dim=1, keepdim=True)
    torch.testing.assert_close(t.expand_as(brighter), brighter, rtol=0, atol=1e-9)
    assert 0 < t.min() < 1


@named(DISPLAY)
def test_a_veil_of_display_values_is_affine_in_every_picture(degradation):
    params, image = drawn(degradation)
    t, light = veil(degradation, params, image)
    veiled = degradation.apply(image, without_streaks(degradation, params))
    torch.testing.assert_close(t * image + light, veiled, rtol=0, atol=1e-9)


def test_veils_of_a_chain_compose():
    first, second = Veil(), HEAVY
    chain = Chain((first, Noise(), second))
    params, image = drawn(chain)
    t_1, light_1 = veil(first, params.steps[0], image)
    t_2, light_2 = veil(second, params.steps[2], image)
    t, light = veil(chain, params, image)
    torch.testing.assert_close(t, t_2 * t_1)
    torch.testing.assert_close(light, t_2 * light_1 + light_2)


@named([Noise(), Blur(), Sensor(), Chain(()), Chain((Noise(),))])
def test_what_has_no_veil_leaves_black_and_white(degradation):
    params, image = drawn(degradation)
    t, light = veil(degradation, params, image.to("meta"))
    assert t.device.type == light.device.type == "meta"
    t, light = veil(degradation, params, image)
    assert torch.equal(t, torch.ones(2, 1, 1, 1, dtype=torch.float64))
    assert torch.equal(light, torch.zeros(2, 1, 1, 1, dtype=torch.float64))


@named([*DISPLAY, *LINEAR_LIGHT])
def test_a_veil_is_on_the_device_and_in_the_dtype_of_the_image(degradation):
    params = degradation.sample(SHAPE, stream())
    for layer in veil(degradation, params, torch.zeros(SHAPE, dtype=torch.float64, device="meta")):
        assert layer.device.type == "meta"
        assert layer.dtype == torch.float64
        assert layer.shape[0] == 2
        assert layer.ndim == 4


@named([HEAVY, Veil(), Haze(), Rainfall()])
def test_gradients_reach_the_parameters_of_the_veil(degradation):
    params, image = drawn(degradation)
    name = "depth_m" if isinstance(degradation, Haze) else "airlight"
    names = [n for n, _ in tensors(params)]
    wanted = next(n for n in names if n.split(".")[-1] == name)
    leaf = dict(tensors(params))[wanted].clone().requires_grad_()
    order = iter(names)
    params = map_tensors(params, lambda t: leaf if next(order) == wanted else t)
    t, light = veil(degradation, params, image)
    (found,) = torch.autograd.grad(t.sum() + light.sum(), leaf)
    assert found.isfinite().all()
    assert found.any()


# Streaks


@named(STREAKS)
def test_without_streaks_no_streak_is_present_and_the_veil_stays(degradation):
    params, image = drawn(degradation)
    bare = without_streaks(degradation, params)
    present = [t for name, t in tensors(bare) if name.split(".")[-1] == "present"]
    assert present
    assert not any(t.any() for t in present)
    assert any(t.any() for name, t in tensors(params) if name.split(".")[-1] == "present")
    for (name, before), (_, after) in zip(tensors(params), tensors(bare), strict=True):
        assert name.split(".")[-1] == "present" or torch.equal(before, after)
    for layer, same in zip(
        veil(degradation, params, image), veil(degradation, bare, image), strict=True
    ):
        assert torch.equal(layer, same)


@named(STREAKS)
def test_without_streaks_a_picture_is_that_of_rain_whose_streaks_have_no_light(degradation):
    params, image = drawn(degradation)
    names = iter([name for name, _ in tensors(params)])
    dark = map_tensors(params, lambda t: 0 * t if next(names).split(".")[-1] == "brightness" else t)
    bare = without_streaks(degradation, params)
    unlit = degradation.apply(image, dark)
    torch.testing.assert_close(degradation.apply(image, bare), unlit, rtol=0, atol=1e-12)
    assert not torch.allclose(degradation.apply(image, params), unlit)


def test_what_has_no_streaks_keeps_its_parameters():
    params, _ = drawn(Haze())
    assert without_streaks(Haze(), params) is params


# Frames


def later(degradation, params, number, fps=25.0, seed=5):
    return at_frame(degradation, params, number, SHAPE, fps=fps, generator=stream(seed))


@named(STREAKS[:4])
def test_rain_of_the_first_frame_is_as_drawn_and_falls_on(degradation):
    prior = for_picture(degradation, 24, 20, stream())
    params, _ = drawn(prior)
    assert later(prior, params, 1) is params
    shutter = 0.5
    if isinstance(prior, Rainfall):
        shutter = prior.exposure_s[0] * 25.0
    before, after = (getattr(p, "rain", p) for p in (params, later(prior, params, 3)))
    expected = advance_streaks(before, 2, SHAPE[2:], shutter=shutter)
    torch.testing.assert_close(after.y_px, expected.y_px, rtol=0, atol=1e-2)
    assert not torch.allclose(after.y_px, before.y_px)


@named([Noise(), PoissonNoise()])
def test_noise_keeps_its_level_and_draws_its_grain_anew_for_every_frame(degradation):
    params, _ = drawn(degradation)
    first, second = (later(degradation, params, n, seed=n) for n in (1, 2))
    again = later(degradation, params, 2, seed=2)
    grain = "eps" if isinstance(degradation, Noise) else "seed"
    assert torch.equal(getattr(again, grain), getattr(second, grain))
    for other in (first, params):
        assert torch.equal(second.gain, other.gain)
        assert not torch.equal(getattr(second, grain), getattr(other, grain))


def test_haze_stays():
    params, _ = drawn(Haze())
    assert later(Haze(), params, 7) is params


def test_a_chain_takes_each_of_its_steps_to_the_frame():
    chain = Chain((Haze(), HEAVY, Noise()))
    params, _ = drawn(chain)
    haze, rain, noise = later(chain, params, 2).steps
    assert haze is params.steps[0]
    assert torch.equal(rain.y_px, later(HEAVY, params.steps[1], 2).y_px)
    assert torch.equal(noise.eps, later(Noise(), params.steps[2], 2).eps)
    assert torch.equal(noise.sigma, params.steps[2].sigma)


def test_an_exposure_longer_than_a_frame_is_refused_in_a_chain_too():
    long = Rainfall(exposure_s=(0.01, 0.1))
    for prior in (long, Chain((Haze(), long))):
        check_fps(prior, 10)
        with pytest.raises(ValueError, match=r"exposure_s: 0\.1 s do not fit into 25 frames"):
            check_fps(prior, 25)
    check_fps(Haze(), 1000)


# Light


@named([Haze(), Chain((Haze(),))])
def test_haze_of_a_darkened_scene_is_the_hazy_scene_darkened(degradation):
    params, image = drawn(degradation)
    share = torch.tensor([0.2, 0.5], dtype=torch.float64)
    column = share.view(2, 1, 1, 1)
    night = degradation.apply(
        to_display(column * to_linear(image)), darkened(degradation, params, share)
    )
    day = degradation.apply(image, params)
    torch.testing.assert_close(night, to_display(column * to_linear(day)), rtol=0, atol=1e-7)


def test_what_shows_no_light_of_its_own_is_not_darkened():
    params, _ = drawn(Noise())
    assert darkened(Noise(), params, torch.tensor([0.2])) is params


# Bands


def test_bands_are_those_of_one_image():
    params, image = drawn(HEAVY)
    with pytest.raises(ValueError, match="bands are those of one image"):
        render(HEAVY, image, params)


@named([HEAVY, LIKE, Rainfall()])
def test_bands_of_a_float64_image_are_what_is_applied_at_once(degradation, monkeypatch):
    params, image = drawn(degradation)
    one = map_tensors(params, lambda t: t[:1])
    monkeypatch.setattr(bands, "BAND_PIXELS", 20 * 7)
    rainy, streaks = render(degradation, image[:1], one)
    whole = degradation.apply(image[:1], one)
    torch.testing.assert_close(rainy, whole, rtol=0, atol=1e-9)
    assert streaks.shape == (1, 1, 24, 20)


def test_what_is_no_rain_is_rendered_as_applied():
    params, image = drawn(Haze())
    hazy, streaks = render(Haze(), image, params)
    assert torch.equal(hazy, Haze().apply(image, params))
    assert streaks is None


def test_a_degradation_from_outside_needs_none_of_this():
    class Negative:
        def sample(self, shape, generator):
            return None

        @staticmethod
        def apply(image, params):
            return 1 - image

    image = torch.rand(SHAPE, generator=stream())
    negative = Negative()
    assert at_frame(negative, 3, 2, SHAPE, fps=None, generator=stream()) == 3
    assert without_streaks(negative, 3) == 3
    assert for_picture(negative, 8, 8, stream()) is negative
    t, light = veil(negative, 3, image)
    assert t.mean() == 1
    assert not light.any()
    assert torch.equal(render(negative, image, None)[0], 1 - image)
    assert torch.equal(degrade(image, Chain((negative, negative)), stream()), 1 - (1 - image))
