"""Relighting by a mask: what it measures against the shadow that was cast, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from shadows import GAIN, cast, photograph, psnr
from torch.nn import functional as F

from ssl_restore.errors import UserError
from ssl_restore.solvers import relight


@pytest.mark.parametrize(("softness", "gain"), [(1.0, 6), (6.0, 3)])
@pytest.mark.parametrize("name", ["cow", "toucan"])
def test_a_cast_shadow_is_lifted_and_what_is_lit_stays(name, softness, gain):
    clean = photograph(name)
    shaded, shadow = cast(clean, softness)
    found = relight.solve(shaded, mask=shadow)
    whole = torch.ones_like(shadow)
    assert psnr(found["clean"], clean, shadow) > psnr(shaded, clean, shadow) + gain
    assert psnr(found["clean"], clean, whole) > psnr(shaded, clean, whole) + gain
    far = F.max_pool2d(shadow.float(), 81, 1, 40) == 0
    assert torch.equal(found["clean"][far.expand_as(clean)], shaded[far.expand_as(clean)])
    assert found["shadow"].amin() == 0
    assert found["shadow"].amax() == 1


def test_the_light_that_is_lacking_is_measured_by_colour():
    shaded, shadow = cast(torch.full((1, 3, 240, 320), 0.6))
    log_light = relight.to_linear(shaded).clamp_min(relight.DARKEST).log()
    outline = relight.measured(log_light, relight.signed_distance(shadow))
    inside = shadow[0, 0]
    for channel, gain in enumerate(GAIN):
        lacking = outline.lacking[0, channel][inside].median()
        assert float(lacking) == pytest.approx(-np.log(gain), rel=0.05)


def test_a_wide_penumbra_is_told_from_a_hard_edge():
    widths = []
    for softness in (0.5, 5.0):
        shaded, shadow = cast(photograph(), softness)
        log_light = relight.to_linear(shaded).clamp_min(relight.DARKEST).log()
        distance = relight.signed_distance(shadow)
        outline = relight.measured(log_light, distance)
        widths.append(float(outline.width_px[distance.abs() < 1].median()))
    assert widths[1] > 1.5 * widths[0]


@pytest.mark.parametrize("grown", [-8, 8])
def test_a_roughly_painted_mask_is_moved_to_the_outline(grown):
    clean = photograph()
    shaded, shadow = cast(clean)
    side = 2 * abs(grown) + 1
    marks = shadow.float() if grown > 0 else -shadow.float()
    painted = F.max_pool2d(marks, side, 1, abs(grown)).abs() > 0.5
    found = relight.solve(shaded, mask=painted)
    whole = torch.ones_like(shadow)
    assert (painted != shadow).any()
    assert psnr(found["clean"], clean, whole) > psnr(shaded, clean, whole) + 5


def test_what_cannot_be_measured_is_refused_in_words():
    image = photograph()
    whole = torch.ones(1, 1, 240, 320, dtype=torch.bool)
    with pytest.raises(UserError, match="needs a `mask`"):
        relight.solve(image)
    with pytest.raises(UserError, match="differ in size"):
        relight.solve(image, mask=whole[..., :100])
    for mask in (whole, ~whole):
        with pytest.raises(UserError, match="no outline of the shadow is seen"):
            relight.solve(image, mask=mask)
    dot = ~whole
    dot[..., 0, 0] = True
    with pytest.raises(UserError, match="too little of the outline"):
        relight.solve(image, mask=dot)


def test_a_large_picture_is_measured_at_a_small_size():
    clean = F.interpolate(photograph(), scale_factor=4, mode="bilinear")
    height, width = clean.shape[-2:]
    shaded, shadow = cast(clean, 3.0)
    found = relight.solve(shaded, mask=shadow)["clean"]
    assert found.shape == (1, 3, height, width)
    assert psnr(found, clean, shadow) > psnr(shaded, clean, shadow) + 6
