"""What every degradation promises.  A new file in degradations/ is tested the moment it exists."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import random

import pytest
import torch

import degradations
from degradations import (
    Blur,
    Chain,
    HarvestedRain,
    Haze,
    Jpeg,
    PoissonNoise,
    Rain,
    Rainfall,
    RainLike,
    Sensor,
    Shake,
    Weather,
    map_tensors,
    tensors,
)
from degradations.rain_kinds import RAIN_KINDS

SHAPE = (1, 3, 10, 12)
# Gradients that are right in the mean over draws and not draw by draw; tested beside their file.
STAND_IN = {("PoissonNoise", "gain"), ("BernoulliNoise", "share")}
SEEDS = range(8)  # a parameter may be idle in one draw (no motion, no streak), not in all of them


def is_degradation(kind):
    """A dataclass with `sample` and a static `apply`: priors, and neither protocols nor chains."""
    return (
        inspect.isclass(kind)
        and dataclasses.is_dataclass(kind)
        and callable(getattr(kind, "sample", None))
        and isinstance(inspect.getattr_static(kind, "apply", None), staticmethod)
    )


SMALL = {
    "Weather": {"focal_sides": (20.0, 60.0)},  # else no drop is visible in a small picture
    "HarvestedRain": {"layers": (torch.linspace(0, 0.3, 1200).view(1, 30, 40),)},
}


def discovered():
    for file in pkgutil.iter_modules(degradations.__path__):
        module = importlib.import_module(f"degradations.{file.name}")
        for name, kind in vars(module).items():
            if is_degradation(kind) and kind.__module__ == module.__name__:
                prior = kind(**SMALL.get(name, {}))
                yield pytest.param(prior, id=f"{file.name}.{name}")


MORE = [  # what the defaults leave out
    pytest.param(Rain(kinds=tuple(RAIN_KINDS), rain_free=0.0), id="rain.Rain(kinds)"),
    pytest.param(Chain((Haze(), Rain())), id="chain.Chain(Haze, Rain)"),
    pytest.param(Sensor(gain=(0.5, 2), contrast=(-1, 1)), id="sensor.Sensor(contrast)"),
    pytest.param(Jpeg(subsampled=False), id="jpeg.Jpeg(4:4:4)"),
]
EVERY = [*discovered(), *MORE]
each = pytest.mark.parametrize("degradation", EVERY)


def is_varied(degradation):
    """Whether the prior has a range that is not a point: the default sensor has none."""
    values = [getattr(degradation, field.name) for field in dataclasses.fields(degradation)]
    pairs = [value for value in values if isinstance(value, tuple) and len(value) == 2]
    return any(not isinstance(low, float) or low < high for low, high in pairs)


each_varied = pytest.mark.parametrize(
    "degradation", [param for param in EVERY if is_varied(param.values[0])]
)


def stream(seed):
    return torch.Generator().manual_seed(seed)


def drawn(degradation, shape=SHAPE, seed=0, dtype=torch.float64):
    """An image away from the knees of the clamps, and parameters."""
    params = degradation.sample(shape, stream(seed))
    image = 0.1 + 0.8 * torch.rand(shape, generator=stream(seed + 1000), dtype=dtype)
    return image, cast(params, dtype)


def cast(params, dtype):
    return map_tensors(params, lambda t: t.to(dtype) if t.is_floating_point() else t)


def off_the_edges(params):
    """Parameters moved off the values where a prior switches a part off: t = 1, radius = 0."""
    return map_tensors(params, lambda t: 0.9 * t + 0.03 if t.is_floating_point() else t)


def with_tensor(params, wanted, value):
    """The parameters with the tensor called `wanted` replaced; order is that of `tensors`."""
    names = iter([name for name, _ in tensors(params)])
    return map_tensors(params, lambda t: value if next(names) == wanted else t)


def continuous(params):
    return [name for name, t in tensors(params) if t.is_floating_point() and t.numel()]


def is_staircase(function, value):
    """Constant to the last bit around here, as quantisation is: its gradient is a stand-in."""
    return torch.equal(function(value), function(value + 1e-9))


def gradient(function, value):
    value = value.clone().requires_grad_()
    weights = torch.rand(function(value).shape, generator=stream(7), dtype=value.dtype)
    return torch.autograd.grad((function(value) * weights).sum(), value, allow_unused=True)[0]


def check_gradient(function, value):
    """Right by finite differences, or, on a staircase, at least there.  True where it is not 0."""
    if not is_staircase(function, value):
        leaf = value.clone().requires_grad_()
        assert torch.autograd.gradcheck(function, (leaf,), fast_mode=True, atol=1e-6)
    found = gradient(function, value)
    assert found is None or found.isfinite().all()
    return found is not None and bool(found.any())


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


# Bad input: one TypeError or ValueError that names the value


@each
@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (torch.full(SHAPE, 128, dtype=torch.uint8), TypeError, "got torch.uint8; divide 8-bit"),
        (torch.ones(SHAPE, dtype=torch.int64), TypeError, "got torch.int64"),
        (torch.full(SHAPE, 0.5).numpy(), TypeError, "got ndarray"),
        (torch.full(SHAPE[1:], 0.5), ValueError, r"\(B, C, H, W\) .* got \(3, 10, 12\)"),
        (torch.full((1, 1, *SHAPE), 0.5), ValueError, r"got \(1, 1, 1, 3, 10, 12\)"),
        (torch.ones(1, 3, 0, 12), ValueError, r"every side at least 1, got \(1, 3, 0, 12\)"),
        (torch.full(SHAPE, 127.5), ValueError, r"\[0, 1\].*got a mean of 127.5"),
        (torch.full(SHAPE, -1.5), ValueError, "got a mean of -1.5"),
    ],
)
def test_what_is_not_an_image_is_refused(degradation, wrong, error, said):
    with pytest.raises(error, match=said):
        degradation.apply(wrong, degradation.sample(SHAPE, stream(0)))


@each
def test_parameters_of_another_number_of_images_are_refused(degradation):
    image, _ = drawn(degradation, (3, *SHAPE[1:]))
    _, params = drawn(degradation, (2, *SHAPE[1:]))
    with pytest.raises(ValueError, match=r"3 images need as many|must have the shape"):
        degradation.apply(image, params)


@each
def test_maps_of_another_size_are_refused(degradation):
    image, params = drawn(degradation, (1, 3, 10, 12))
    maps = [name for name, t in tensors(params) if t.ndim == 4]
    larger = torch.nn.functional.pad(image, (0, 1, 0, 3))
    if maps:
        named = "|".join(name.split(".")[-1] for name in maps)
        with pytest.raises(ValueError, match=rf"({named}) must have the shape .*\(1, 3, 13, 13\)"):
            degradation.apply(larger, params)
    else:
        assert degradation.apply(larger, params).isfinite().all()


SIGNED = {"angle_rad", "wind_m_per_s", "tint", "level", "contrast"}  # the others are >= 0


def quantities():
    for param in discovered():
        prior = param.values[0]
        for field in dataclasses.fields(prior):
            value = getattr(prior, field.name)
            first = value[0] if isinstance(value, tuple) and value else value
            number = isinstance(first, (int, float)) and not isinstance(first, bool)
            if number and field.name not in SIGNED:
                yield pytest.param(prior, field.name, id=f"{param.id}.{field.name}")


@pytest.mark.parametrize(("prior", "name"), list(quantities()))
def test_a_prior_of_negative_quantities_is_refused(prior, name):
    wrong = (-2, -1) if isinstance(getattr(prior, name), tuple) else -1
    with pytest.raises(ValueError, match=rf"{name} must be (at least|above) .*\(.+\), got \(?-"):
        dataclasses.replace(prior, **{name: wrong})


# Parameters of any value; of the others, those below 0 cannot be, or those that are as large.
ANY_VALUE = {
    "x_px", "y_px", "angle_rad", "phase_rad", "roll_rad", "eps", "field", "level", "seed", "rank",
    "value", "present",
}  # fmt: skip
TOO_LARGE = {"contrast": 2.0}
TOO_LARGE_SHIFT = {"x_px": 100.0, "y_px": 100.0}  # of a whole picture, not of a thing in it


def impossible(degradation, params):
    """(name, tensor) of parameters that cannot be."""
    large = TOO_LARGE | (TOO_LARGE_SHIFT if isinstance(degradation, Shake) else {})
    for name, t in tensors(params):
        field = name.split(".")[-1]
        if field in large:
            yield name, torch.full_like(t, large[field])
        elif field not in ANY_VALUE:
            yield name, -1 - t.abs()


@each
def test_parameters_that_cannot_be_are_refused_by_their_names(degradation):
    _, params = drawn(degradation)
    image = torch.full(SHAPE, 0.5, dtype=torch.float64)
    wrong = dict(impossible(degradation, params))
    assert wrong
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=rf"{name.split('.')[-1]} must be .* got "):
            degradation.apply(image, with_tensor(params, name, value))


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
# from values, and of which pixels a streak touches, it knows nothing.
READ_VALUES = (Blur, Shake, PoissonNoise, Rain, RainLike, Rainfall, Chain)


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
