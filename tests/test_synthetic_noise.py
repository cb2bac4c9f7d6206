"""Rendered noise: grey pictures are grey in their noise too, and all kinds of noise are drawn."""

from __future__ import annotations

import pytest
import torch
from learning import photograph
from torch import nn

from degradations.noise import Noise
from degradations.noise_kinds import any_noise
from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.objectives.synthetic_noise import SyntheticNoise, as_grey, one_for_all
from ssl_restore.types import Batch

WHITE = (Noise(gain=(0, 0), sigma=(0.1, 0.1)), 1.0)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def pairs(sorts, grey, count=40, seed=0, jpeg=0.0):
    clean = torch.rand(count, 3, 16, 16, generator=stream(1))
    objective = SyntheticNoise(nn.Identity(), sorts, jpeg, grey)
    return objective.pair(clean, stream(seed))


def is_grey(images):
    return (images == images[:, :1]).flatten(1).all(1)


@pytest.mark.parametrize("jpeg", [0.0, 1.0])
def test_grey_pictures_are_grey_in_truth_and_noise_in_their_share(jpeg):
    noisy, target = pairs((WHITE,), 0.3, count=200, jpeg=jpeg)
    grey = is_grey(target)
    assert grey.float().mean().item() == pytest.approx(0.3, abs=0.1)
    assert torch.equal(is_grey(noisy), grey)


def test_noise_of_grey_pictures_is_as_strong_as_that_of_others():
    noisy, target = pairs((WHITE,), 0.5, count=200)
    inside = (target > 0.3) & (target < 0.7)
    left, grey = noisy - target, is_grey(target)
    for chosen in (grey, ~grey):
        assert left[chosen][inside[chosen]].std().item() == pytest.approx(0.1, rel=0.03)


def test_without_grey_pictures_the_draws_are_those_without_the_setting():
    given = [pairs((WHITE,), grey) for grey in (0.0, 0.0)]
    objective = SyntheticNoise(nn.Identity(), (WHITE,), 0.0)
    plain = objective.pair(torch.rand(40, 3, 16, 16, generator=stream(1)), stream())
    for pair in given:
        assert all(torch.equal(one, other) for one, other in zip(pair, plain, strict=True))
    assert not is_grey(plain[1]).any()


def test_grey_is_luma_and_one_channel_serves_all():
    images, chosen = torch.rand(60, 3, 4, 5, generator=stream()), torch.arange(60) < 40
    weights = torch.tensor([0.2126, 0.7152, 0.0722]).view(3, 1, 1)
    expected = (images[:40] * weights).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(as_grey(images, chosen)[:40], expected)
    assert torch.equal(as_grey(images, chosen)[40:], images[40:])
    one = one_for_all(images, chosen, stream(1))
    assert torch.equal(one[40:], images[40:])
    taken = [(one[:40, 0] == images[:40, c]).flatten(1).all(1).sum().item() for c in range(3)]
    assert sum(taken) == 40
    assert min(taken) > 4


def test_recipe_for_all_kinds_learns_from_grey_pictures_and_any_noise():
    build = discover.builder("recipes", "denoise_physics")
    (plain,), (whole,) = (build(width=4, noise=noise).players for noise in ("gaussian", "all"))
    assert plain.objective.grey == 0
    assert len(plain.objective.sorts) == 3
    assert whole.objective.grey > 0
    assert whole.objective.sorts == ((any_noise(), 1.0),)
    loss = whole.objective(Batch(photograph(4, 3, 32, 32), None), stream())["restore"]
    loss.backward()
    assert loss.isfinite()


def test_unknown_noise_is_named():
    with pytest.raises(UserError, match="noise: gaussian or all is expected, got 'rain'"):
        discover.builder("recipes", "denoise_physics")(noise="rain")
