"""Supervision by drops: what it makes of photographs, and its loss."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from degradations.drops import DefocusedDrops, add_drops
from ssl_restore import rng
from ssl_restore.networks import memorynet
from ssl_restore.objectives.synthetic_drops import Shares, SyntheticDrops
from ssl_restore.types import Batch


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def prepared(count=6, side=64, contrast=1.0, **changed):
    none = {field.name: 0.0 for field in dataclasses.fields(Shares)}
    own = SyntheticDrops(memorynet.build(width=4, memory=False), Shares(**none | changed))
    clean = 0.5 + contrast * (random(count, 3, side, side) - 0.5)
    return own, own.prepare(Batch(clean, None), rng.derive(0, "drops"))


def test_without_drops_the_picture_is_its_own_target():
    _, made = prepared(dry=1.0)
    assert torch.equal(made.picture, made.truth)


@pytest.mark.parametrize("share", [f.name for f in dataclasses.fields(Shares) if f.name != "dry"])
def test_whatever_becomes_of_a_dry_picture_is_its_own_target(share):
    """Noise and what a file changes stay: only drops are taken."""
    _, made = prepared(dry=1.0, **{share: 1.0})
    assert not torch.equal(made.truth, prepared(dry=1.0)[1].truth)
    assert torch.equal(made.picture, made.truth)


def test_noise_is_the_same_beside_the_drops():
    _, quiet = prepared(contrast=0.2, dry=0.0)
    _, noisy = prepared(contrast=0.2, dry=0.0, noise=1.0)
    noise = noisy.truth - quiet.truth
    beside = (quiet.picture - quiet.truth).abs() < 0.01
    inside = (quiet.truth > 0.1) & (quiet.truth < 0.9)  # where it does not saturate
    assert noise.std() > 2e-3
    assert (beside & inside).float().mean() > 0.1
    added = noisy.picture - quiet.picture
    torch.testing.assert_close(added[beside & inside], noise[beside & inside], rtol=0, atol=0.01)


def dry(made):
    return (made.picture == made.truth).flatten(1).all(dim=1)


def test_a_share_stays_dry():
    _, made = prepared(count=60, side=16, dry=0.5)
    assert 15 <= int(dry(made).sum()) <= 45


@pytest.mark.parametrize("share", ["defocus", "lights"])
def test_what_is_out_of_focus_stays_dry(share):
    _, made = prepared(count=60, side=32, dry=0.0, **{share: 0.5})
    assert 15 <= int(dry(made).sum()) <= 45
    soft = made.truth.diff(dim=3).square().mean(dim=(1, 2, 3))
    assert soft[dry(made)].mean() < 0.5 * soft[~dry(made)].mean()
    assert dry(prepared(side=32, dry=0.0, **{share: 1.0})[1]).all()


def test_every_stage_is_drawn_to_the_truth():
    own, made = prepared(dry=0.0)
    none = own(made, rng.derive(0, "drops"))
    assert F.l1_loss(made.picture, made.truth) > 0.01
    assert none["restore"] > 0.01
    own.restorer.stages = lambda image: [made.truth, made.truth, image]
    last = own(made, rng.derive(0, "drops"))
    for name, value in none.items():  # untrained, every stage gives the picture back
        assert last[name].item() == pytest.approx(value.item() / 3, rel=1e-4)
    own.restorer.stages = lambda image: 3 * [made.truth]
    assert not any(value for value in own(made, rng.derive(0, "drops")).values())


def test_drops_show_what_lies_around():
    """White around a black picture: all light comes through drops."""
    black = torch.zeros(1, 3, 48, 64)
    params = DefocusedDrops(highlight=(0.0, 0.0)).sample(
        tuple(black.shape), torch.Generator().manual_seed(0)
    )
    assert add_drops(black, params).abs().max() < 1e-3
    shown = add_drops(black, params, torch.ones_like(black))
    assert shown.mean() > 0.05
    image = random(1, 3, 48, 64)
    torch.testing.assert_close(add_drops(image, params, image), add_drops(image, params))
    with pytest.raises(ValueError, match=r"around must be \(1, 3, 48, 64\), got \(1, 3, 8, 8\)"):
        add_drops(black, params, torch.ones(1, 3, 8, 8))
