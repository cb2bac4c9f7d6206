"""What every degradation refuses: one TypeError or ValueError that names the value."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from every_degradation import SHAPE, discovered, drawn, each, stream, with_tensor

from degradations import (
    Shake,
    tensors,
)


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


SIGNED = {"angle_rad", "wind_m_per_s", "tint", "level", "contrast", "tilt"}  # the others are >= 0


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
    "value", "present", "behind", "row_eps", "column_eps",
}  # fmt: skip
TOO_LARGE = {"contrast": 2.0, "tilt": 2.0}
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
