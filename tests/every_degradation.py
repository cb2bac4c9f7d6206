"""Every degradation of the library, found by its file, and what is drawn of it for a test."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import pytest
import torch

import degradations
from degradations import (
    Chain,
    Haze,
    Jpeg,
    Rain,
    Sensor,
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
    """None where nothing depends on the value, as on the taper of streaks beside the picture."""
    value = value.clone().requires_grad_()
    result = function(value)
    if not result.requires_grad:
        return None
    weights = torch.rand(result.shape, generator=stream(7), dtype=value.dtype)
    return torch.autograd.grad((result * weights).sum(), value, allow_unused=True)[0]


def check_gradient(function, value):
    """Right by finite differences, or, on a staircase, at least there.  True where it is not 0."""
    if not is_staircase(function, value):
        leaf = value.clone().requires_grad_()
        assert torch.autograd.gradcheck(function, (leaf,), fast_mode=True, atol=1e-6)
    found = gradient(function, value)
    assert found is None or found.isfinite().all()
    return found is not None and bool(found.any())
