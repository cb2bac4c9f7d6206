"""The deshadower against the physics of a shadow, its tiles, its remark, and its objective."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from degradations.color import to_linear
from degradations.shadow import ShadowParams, add_shadow
from ssl_restore import rng
from ssl_restore.inference.tiles import restore_tensor
from ssl_restore.networks import deshadower
from ssl_restore.objectives.synthetic_shadow import Shares, SyntheticShadow
from ssl_restore.types import Batch


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def past_start(scale=0.3):
    torch.manual_seed(0)
    net = deshadower.build(width=4, blocks=(1, 1)).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(scale * torch.randn_like(weight))
    return net


def whole_shadow(image, gain):
    """All of it in shadow."""
    field = torch.full((1, 1, *image.shape[-2:]), 1e3)
    params = ShadowParams(field, torch.zeros(1), torch.ones(1), torch.tensor([gain]))
    return add_shadow(image, params)


def test_light_that_is_lacking_by_the_right_amount_undoes_the_shadow():
    clean, gain = random(1, 3, 24, 32), torch.tensor([0.2, 0.25, 0.4])
    shaded = whole_shadow(clean, gain.tolist())
    lacking = -gain.log()
    tau = torch.full((1, 1, 24, 32), float(lacking.mean()) + deshadower.FAINT)
    colour = (lacking / lacking.mean()).view(1, 3, 1, 1)
    restored, removed = deshadower.relit(shaded, tau, colour)
    torch.testing.assert_close(restored, clean, rtol=0, atol=1e-5)
    torch.testing.assert_close(removed, tau - deshadower.FAINT)


def test_no_more_than_the_limits_is_lit_and_faint_shadows_stay():
    image, colour = random(1, 3, 8, 8), torch.ones(1, 3, 1, 1)
    for tau in (-1.0, deshadower.FAINT):
        restored, removed = deshadower.relit(image, torch.full((1, 1, 8, 8), tau), colour)
        assert torch.equal(restored, image)
        assert removed.amax() == 0
    restored, _ = deshadower.relit(0.1 * image, torch.full((1, 1, 8, 8), 99.0), colour)
    most = math.exp(deshadower.MOST - deshadower.FAINT)
    torch.testing.assert_close(to_linear(restored), most * to_linear(0.1 * image))


def test_tiles_are_exact():
    net, image = past_start(), random(1, 3, 150, 210)
    with torch.no_grad():
        whole, tiled = (restore_tensor(net, image, tile=tile) for tile in (0, 64))
    assert not torch.equal(whole, image)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-6)


def test_the_colour_of_what_is_lacking_has_mean_one():
    maps = past_start().overview(random(2, 3, 40, 60))
    assert maps.shape == (2, 7, 20, 30)
    torch.testing.assert_close(maps[:, 4:].mean(dim=1), torch.ones(2, 20, 30))


def test_a_picture_without_shadow_is_remarked():
    net = deshadower.build(width=4, blocks=(1, 1)).eval()
    small = random(1, 3, 40, 60)
    assert net.remark(small, net.overview(small)) == "no shadow was found in it"
    with torch.no_grad():
        net.look.decoder.head.bias.fill_(1.0)
    assert net.remark(small, net.overview(small)) is None


def objective(**shares):
    net = deshadower.build(width=4, blocks=(1, 1))
    return SyntheticShadow(net, Shares(**shares))


def prepared(count=6, side=64, **shares):
    batch = Batch(random(count, 3, side, side), None)
    return objective(**shares).prepare(batch, rng.derive(0, "shadow"))


def test_the_objective_casts_what_it_says():
    shaded = prepared(shadow_free=0.0, noise=0.0, jpeg=0.0, scenes=0.0)
    arriving = to_linear(shaded.shaded) / to_linear(shaded.target).clamp_min(1e-6)
    bright = (shaded.target > 0.3) & (shaded.shaded > 0.1)
    torch.testing.assert_close(arriving[bright], shaded.arriving[bright], rtol=0.1, atol=0.02)
    assert shaded.arriving.amin() < 0.6
    assert shaded.arriving.amax() == pytest.approx(1, abs=1e-3)


def test_without_a_shadow_the_picture_is_its_own_target():
    shaded = prepared(shadow_free=1.0, noise=0.0, jpeg=0.0)
    assert torch.equal(shaded.shaded, shaded.target)
    assert torch.equal(shaded.arriving, torch.ones_like(shaded.target))


def test_a_restorer_that_knows_the_light_has_no_loss():
    made = prepared(shadow_free=0.0, noise=0.0, jpeg=0.0, scenes=0.0)
    own = objective()
    missing = -made.arriving.clamp_min(1e-3).log()
    tau = missing.mean(dim=1, keepdim=True)
    own.restorer.lacking = lambda image: (tau, missing / tau.clamp_min(1e-6))
    known = own(made, rng.derive(0, "shadow"))
    none = objective()(made, rng.derive(0, "shadow"))
    assert known["light"] < 1e-3
    assert known["restore"] < none["restore"] / 3
    assert F.l1_loss(made.shaded, made.target) > 0.01
