"""The dedropper against the physics of drops out of focus, its tiles, and its objective."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from degradations.color import to_linear
from degradations.drops import DefocusedDrops, Drops, add_drops, covered_share
from ssl_restore import rng
from ssl_restore.inference.tiles import restore_tensor
from ssl_restore.networks import dedropper
from ssl_restore.objectives.synthetic_drops import Shares, SyntheticDrops
from ssl_restore.types import Batch


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def past_start(scale=0.3):
    torch.manual_seed(0)
    net = dedropper.build(width=4, blocks=(1, 1)).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(scale * torch.randn_like(weight))
    return net


def wet(image, seed=0, **limits):
    prior = DefocusedDrops(**limits)
    params = prior.sample(tuple(image.shape), torch.Generator().manual_seed(seed))
    return add_drops(image, params), covered_share(image, params), params


def test_the_covered_share_is_what_is_lost_of_a_point_of_light():
    """Against drops themselves: light at one pixel arrives there as far as nothing covers it."""
    dark = torch.full((1, 1, 64, 64), 0.3)
    point = dark.clone()
    point[..., 20, 33] = 0.35
    _, covered, params = wet(dark, seed=3, count=(9, 9), coverage=(0.9, 0.9), highlight=(0.0, 0.0))
    one, other = (to_linear(add_drops(image, params))[0, 0, 20, 33] for image in (dark, point))
    arrived = (other - one) / (to_linear(point) - to_linear(dark))[0, 0, 20, 33]
    assert float(covered[0, 0, 20, 33]) > 0.05
    assert float(arrived) == pytest.approx(1 - float(covered[0, 0, 20, 33]), abs=0.02)


def test_drops_in_focus_cover_no_share():
    image = random(1, 3, 16, 16)
    params = Drops().sample(tuple(image.shape), torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="drops in focus cover no share"):
        covered_share(image, params)


def test_the_drops_that_are_known_are_taken_away():
    clean = random(1, 3, 96, 96)
    image, covered, _ = wet(clean, opacity=(0.3, 0.7), film=(0.0, 0.1))
    added = to_linear(image) - (1 - covered) * to_linear(clean)
    restored = dedropper.uncovered(image.clamp(0, 1), covered, added)
    seen = (covered < dedropper.MOST) & (image < 1).all(dim=1, keepdim=True)
    assert (covered > 0.1).float().mean() > 0.1
    torch.testing.assert_close(
        restored[seen.expand_as(clean)], clean[seen.expand_as(clean)], rtol=0, atol=1e-3
    )


def test_without_drops_the_image_is_exactly_kept_and_more_light_than_there_is_gives_black():
    image, none = random(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    assert torch.equal(dedropper.uncovered(image, none, none), image)
    assert dedropper.uncovered(image, none, none + 9).abs().max() < 1e-6


def test_tiles_are_exact():
    net, image = past_start(), random(1, 3, 150, 210)
    with torch.no_grad():
        whole, tiled = (restore_tensor(net, image, tile=tile) for tile in (0, 64))
    assert not torch.equal(whole, image)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-6)


def test_a_dry_picture_is_remarked():
    net = dedropper.build(width=4, blocks=(1, 1)).eval()
    small = random(1, 3, 40, 60)
    assert net.remark(small, net.overview(small)) == "no drops were found in it"
    with torch.no_grad():
        net.look.decoder.head.bias.fill_(0.5)
    assert net.remark(small, net.overview(small)) is None


def prepared(count=6, side=64, **shares):
    own = SyntheticDrops(dedropper.build(width=4, blocks=(1, 1)), Shares(**shares))
    return own, own.prepare(Batch(random(count, 3, side, side), None), rng.derive(0, "drops"))


def test_without_drops_the_picture_is_its_own_target():
    _, made = prepared(dry=1.0, noise=0.0, jpeg=0.0)
    assert torch.equal(made.wet, made.target)
    assert not made.covered.any()
    assert made.added.abs().max() < 1e-6


def test_a_restorer_that_knows_the_drops_has_less_loss():
    own, made = prepared(dry=0.0, noise=0.0, jpeg=0.0)
    none = own(made, rng.derive(0, "drops"))
    own.restorer.drops = lambda image: (made.covered, made.added)
    known = own(made, rng.derive(0, "drops"))
    assert known["covered"] == known["added"] == 0
    assert known["restore"] < 0.75 * none["restore"]  # what drops hide altogether is lost
    assert F.l1_loss(made.wet, made.target) > 0.01
