"""What every degradation promises.  A new file in degradations/ is tested the moment it exists."""

from __future__ import annotations

import importlib
import inspect
import random

import pytest
import torch
from every_degradation import (
    EVERY,
    SEEDS,
    SHAPE,
    STAND_IN,
    cast,
    check_gradient,
    continuous,
    discovered,
    drawn,
    each,
    each_varied,
    gradient,
    off_the_edges,
    stream,
    with_tensor,
)

import degradations
from degradations import (
    Blur,
    Chain,
    DefocusedDrops,
    HarvestedRain,
    LayeredBlur,
    PoissonNoise,
    Rain,
    Rainfall,
    RainLike,
    Shake,
    Weather,
    map_tensors,
    tensors,
)


def test_discovery_finds_the_files_of_this_folder_and_skips_the_helpers():
    ids = {param.id for param in EVERY}
    assert {"rain.Rain", "haze.Haze", "blur.Blur", "noise.Noise", "sensor.Sensor"} <= ids
    assert not any(name.startswith(("types.", "color.", "chain.Chain.")) for name in ids)


def test_every_prior_and_its_parameters_are_exported():
    for param in discovered():
        prior = param.values[0]
        params = prior.sample(SHAPE, stream(0))
        for kind in (type(prior), type(params)):
            assert getattr(degradations, kind.__name__) is kind
            assert kind.__name__ in degradations.__all__
    listed = {type(param.values[0]) for param in discovered()} - {HarvestedRain}  # needs layers
    assert {kind for kind in listed if not any(k in listed for k in kind.__mro__[1:])} == set(
        degradations.PRIORS
    )


def test_every_exported_name_is_there_once_and_no_module_hides_a_function():
    assert len(set(degradations.__all__)) == len(degradations.__all__)
    exported = [getattr(degradations, name) for name in degradations.__all__]
    assert not any(inspect.ismodule(value) for value in exported)


@each
def test_gradient_reaches_the_image(degradation):
    image, params = drawn(degradation)
    assert check_gradient(lambda value: degradation.apply(value, params), image)


@each
def test_gradient_reaches_every_continuous_parameter(degradation):
    _, params = drawn(degradation)
    idle = set(continuous(params))
    for seed in SEEDS:
        if not idle:
            break
        image, params = drawn(degradation, seed=seed)
        params = off_the_edges(params)
        values = dict(tensors(params))
        for name in sorted(idle & set(continuous(params))):

            def of_parameter(value, name=name, params=params, image=image):
                return degradation.apply(image, with_tensor(params, name, value))

            if (type(degradation).__name__, name) in STAND_IN:
                found = gradient(of_parameter, values[name])
                assert found.isfinite().all()
                idle.discard(name)
            elif check_gradient(of_parameter, values[name]):
                idle.discard(name)
    assert not idle, f"no gradient ever reached {sorted(idle)}"


@each
@pytest.mark.parametrize("level", [0.0, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gradients_are_finite_on_black_and_on_white(degradation, level, seed):
    _, params = drawn(degradation, seed=seed, dtype=torch.float32)
    params = map_tensors(params, lambda t: t.requires_grad_() if t.is_floating_point() else t)
    image = torch.full(SHAPE, level, requires_grad=True)
    result = degradation.apply(image, params)
    assert result.isfinite().all()
    leaves = [image, *(t for _, t in tensors(params) if t.requires_grad)]
    for found in torch.autograd.grad(result.square().sum(), leaves, allow_unused=True):
        assert found is None or found.isfinite().all()


@each
def test_an_image_does_not_depend_on_its_batch(degradation):
    # To a few units in the last place: torch's vectorised pow rounds the last elements of an
    # array differently from the others, so sRGB conversion cannot be the same to the bit.
    image, params = drawn(degradation, (4, 3, 9, 7))
    together = degradation.apply(image, params)
    for i in range(4):
        only = map_tensors(params, lambda t, i=i: t[i : i + 1])
        alone = degradation.apply(image[i : i + 1], only)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-15)


@each_varied
def test_the_images_of_a_batch_draw_their_own_parameters(degradation):
    params = degradation.sample((2, *SHAPE[1:]), stream(3))
    assert any(not torch.equal(t[0], t[1]) for _, t in tensors(params))


@each
def test_a_seed_draws_the_same_parameters_every_time(degradation):
    first, again = (dict(tensors(degradation.sample(SHAPE, stream(5)))) for _ in range(2))
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)


@each_varied
def test_another_seed_draws_other_parameters(degradation):
    first, other = (dict(tensors(degradation.sample(SHAPE, stream(seed)))) for seed in (5, 6))
    assert any(not torch.equal(first[name], other[name]) for name in first)


@each
def test_global_random_states_are_left_alone(degradation):
    before = torch.get_rng_state(), random.getstate()
    image, params = drawn(degradation, dtype=torch.float32)
    first = degradation.apply(image, params)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    torch.rand(1)
    assert torch.equal(degradation.apply(image, params), first)


@each
def test_parameters_are_float32_on_the_cpu_with_one_row_an_image(degradation):
    for _, t in tensors(degradation.sample((3, *SHAPE[1:]), stream(0))):
        assert t.shape[0] == 3
        assert t.device.type == "cpu"
        assert not t.is_floating_point() or t.dtype == torch.float32


@each
def test_inputs_are_not_modified_in_place(degradation):
    image, params = drawn(degradation, (2, 3, 9, 7))
    kept_image, kept = image.clone(), map_tensors(params, torch.clone)
    degradation.apply(image, params).zero_()
    assert torch.equal(image, kept_image)
    pairs = zip(tensors(params), tensors(kept), strict=True)
    assert all(torch.equal(now, then) for (_, now), (_, then) in pairs)


@each
def test_float32_agrees_with_float64(degradation):
    # One step of an 8-bit file apart at most in a few pixels, where a quantiser sits on an edge.
    image, params = drawn(degradation, (2, 3, 24, 20), dtype=torch.float32)
    exact = degradation.apply(image.double(), cast(params, torch.float64))
    error = (degradation.apply(image, params).double() - exact).abs()
    assert exact.dtype == torch.float64
    assert error.max() <= 1.01 / 255
    assert (error < 3e-5).double().mean() > 0.995


@each
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (5, 11), (13, 4)])
def test_any_size_keeps_its_shape_and_type(degradation, size):
    shape = (2, 3, *size)
    factor = getattr(degradation, "factor", 1)  # of resampling, which alone changes the size
    expected = (2, 3, *(max(1, side // factor) for side in size))
    for seed in (0, 1):
        image, params = drawn(degradation, shape, seed=seed, dtype=torch.float32)
        result = degradation.apply(image, params)
        assert result.shape == expected
        assert result.dtype == torch.float32
        assert result.isfinite().all()


@each
def test_parameters_take_the_dtype_of_the_image(degradation):
    image, _ = drawn(degradation)
    params = degradation.sample(SHAPE, stream(0))
    result = degradation.apply(image, params)
    assert result.dtype == torch.float64
    assert torch.equal(result, degradation.apply(image, cast(params, torch.float64)))


# Elsewhere than on the CPU.  The device `meta` has shapes and no values: of a kernel that is built
# from values, and of which pixels a streak or a drop touches, it knows nothing.
READ_VALUES = (
    Blur,
    LayeredBlur,
    DefocusedDrops,
    Shake,
    PoissonNoise,
    Rain,
    RainLike,
    Rainfall,
    Chain,
)


@pytest.mark.parametrize(
    "degradation", [p for p in EVERY if not isinstance(p.values[0], READ_VALUES)]
)
def test_parameters_follow_the_image_to_another_device(degradation):
    image, params = drawn(degradation)
    assert degradation.apply(image.to("meta"), params).device.type == "meta"


@pytest.mark.parametrize("degradation", [Rain(), RainLike(), Rainfall(), Weather()])
def test_streaks_follow_the_image_to_another_device(degradation, monkeypatch):
    received = []

    def recorded(params, height, width):
        received.append(params)
        return params.x_px.new_zeros(1, 1, height, width)

    for module, name in (("rain", "light_layers"), ("rainfall", "streak_layer")):
        monkeypatch.setattr(importlib.import_module(f"degradations.{module}"), name, recorded)
    image, params = drawn(degradation)
    assert degradation.apply(image.to("meta"), params).device.type == "meta"
    assert {t.device.type for _, t in tensors(received[0])} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@each
def test_parameters_follow_the_image_to_a_gpu(degradation):
    image, params = drawn(degradation)
    there = degradation.apply(image.cuda(), params)
    assert there.device.type == "cuda"
    torch.testing.assert_close(there.cpu(), degradation.apply(image, params))
