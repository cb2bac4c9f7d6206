"""Haze that stays where its removal would leave a dark picture: from the sky to the dehazer."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch

from degradations.veil import VeilParams, add_veil
from ssl_restore import rng, weights
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.tiles import restore_tensor
from ssl_restore.io import images
from ssl_restore.networks import dehazer, kept_light
from ssl_restore.objectives.haze_transfer import HazeTransfer
from ssl_restore.objectives.synthetic_haze import Shares
from ssl_restore.recipes import dehaze_physics
from ssl_restore.types import Batch

CPU = torch.device("cpu")
LIGHT = torch.tensor([0.8, 0.85, 0.9])


def backlit(horizon=40, below=0.06, tau=0.9, light=LIGHT, texture=0.5):
    """A dim, textured ground under a sky of the colour of the air, (96, 128): I, tau, A, J."""
    generator = torch.Generator().manual_seed(0)
    clean = below * (1 + texture * (2 * torch.rand(1, 3, 96, 128, generator=generator) - 1))
    air = light.view(1, 3, 1, 1).expand_as(clean)
    ground = (torch.arange(96) >= horizon).view(1, 1, -1, 1)
    clean = torch.where(ground, clean, air)
    depth = torch.where(ground, torch.tensor(tau), torch.tensor(2.0)).expand(1, 1, 96, 128)
    return add_veil(clean, VeilParams(depth, light[None])), depth, air, clean


def lightened(picture, depth, air, clean):
    less = kept_light.less_depth(picture, depth, air, clean)
    return less, picture + (depth - less).expm1() * (picture - air)


def test_a_dim_ground_under_a_hazy_sky_comes_out_as_bright_as_the_bound_says():
    picture, depth, air, clean = backlit()
    less, restored = lightened(picture, depth, air, clean)
    seen, found = ((x / air)[..., 64:, :].mean() for x in (picture, restored))
    expected = min(kept_light.DIM / float(LIGHT.mean()), kept_light.KEPT * float(seen))
    assert float((clean / air)[..., 64:, :].mean()) < 0.08
    assert float(found) == pytest.approx(expected, abs=0.01)
    assert float(less[..., :24, :].abs().max()) < 0.01  # the sky


def test_what_varies_within_a_region_keeps_its_contrast():
    """A bound of every pixel would raise the dark ones alone."""
    picture, depth, air, clean = backlit()
    less, restored = lightened(picture, depth, air, clean)
    ground = less[0, 0, 64:]
    assert ground.std() < 0.05 * ground.mean()
    stretched = (depth - less)[0, 0, 64:].exp().mean()
    for before, after in zip(picture[0, :, 64:], restored[0, :, 64:], strict=True):
        assert after.std() > 0.95 * stretched * before.std()


def test_without_a_sky_nothing_is_left():
    """A room, as dark as it is: its far wall has the colour of the air, under a ceiling."""
    picture, depth, air, clean = backlit(horizon=0, below=0.3)
    picture[..., 30:60, :] = air[..., 30:60, :]
    assert torch.equal(lightened(picture, depth, air, clean)[0], torch.zeros_like(depth))


def test_a_picture_that_would_be_dark_all_over_keeps_some_light_without_a_sky():
    dark, dim = (lightened(*backlit(horizon=0, below=below))[0] for below in (0.05, 0.3))
    assert float(dark.mean()) > 0.2
    assert torch.equal(dim, torch.zeros_like(dim))


def test_sky_hangs_from_the_upper_edge_and_may_have_wires_before_it():
    def share(*others):
        picture = LIGHT.view(1, 3, 1, 1).expand(1, 3, 64, 64).clone()
        for rows in others:
            picture[..., rows, :] = 0.2
        return float(kept_light.sky_share(picture, LIGHT.view(1, 3, 1, 1).expand_as(picture)))

    assert share() == 1
    assert share(slice(32, 64)) == 0.5
    assert share(slice(0, 8), slice(40, 64)) == 0  # a bright wall under a dark ceiling
    assert 0.3 < share(slice(10, 11), slice(32, 64)) < 0.5
    assert share(slice(0, 64)) == 0


def test_as_a_sky_comes_into_view_the_ground_changes_step_by_step():
    means = [
        float(lightened(*backlit(horizon, below=0.27, tau=1.5))[1][..., 64:, :].mean())
        for horizon in range(30)
    ]
    steps = [after - before for before, after in pairwise(means)]
    assert means[-1] > means[0] + 0.05
    assert min(steps) > -1e-3
    assert max(steps) < 0.2 * (means[-1] - means[0])


def test_a_picture_that_is_all_sky_stays_as_the_dehazer_has_it():
    picture, depth, air, clean = backlit(horizon=96)
    assert torch.equal(kept_light.less_depth(picture, depth, air, clean), torch.zeros_like(depth))


def trained():
    """A small network that predicts an optical depth of 0.9 everywhere, and a bright airlight."""
    net = dehazer.build(width=4, blocks=(1, 1)).eval()
    with torch.no_grad():
        net.decoder.head.bias[:4] = 0.9
        net.offset[-1].bias.fill_(2.0)
    return net


def test_the_look_alone_leaves_light_and_what_is_predicted_stays_as_it_is():
    net, picture = trained(), backlit(horizon=0, tau=0.5)[0]
    with torch.no_grad():
        predicted, looked = net.predicted(picture), net.overview(picture)
        assert float((net.haze(picture)[0] - 0.9).abs().max()) < 1e-3
        assert not torch.equal(looked, predicted)
        assert torch.equal(looked[:, 4:], predicted[:, 4:])
        without = dehazer.build(width=4, blocks=(1, 1), keep_light=False).eval()
        without.load_state_dict(net.state_dict())
        assert torch.equal(without.overview(picture), predicted)
        assert net(picture).mean() > without(picture).mean() + 0.05
        net.train()
        assert torch.equal(net.overview(picture), net.predicted(picture))


def test_what_learns_from_its_own_results_learns_from_all_haze():
    picture = backlit(horizon=0, tau=0.5)[0]
    found = []
    for keep_light in (True, False):
        ema = trained()
        ema.keep_light = keep_light
        net = copy.deepcopy(ema)
        objective = HazeTransfer(net.train(), ema, (), 0.0, Shares())
        terms = objective(Batch(clean=picture, degraded=picture), rng.derive(0, "draws"))
        found.append(float(terms["rehaze"].detach()))
    assert found[0] == found[1]


def test_a_veil_goes_as_it_is_predicted():
    assert load_restorer(None, CPU, task="dehaze").core.keep_light
    assert not load_restorer(weights.veil(), CPU, task="dehaze").core.keep_light
    assert dehaze_physics.build(width=4).keywords == {"width": 4}
    recipe = dehaze_physics.build(width=4, derained=0.5)
    assert recipe.keywords == {"width": 4, "keep_light": False}
    assert not recipe.restorer.keep_light


def test_the_built_in_dehazer_leaves_a_backlit_ground_its_light():
    """A photograph as the ground, dimmed, in haze under a sky of its colour."""
    photo = images.to_tensor(images.read("data_samples/photos/cow.jpg").pixels)[..., :320, :320]
    air = torch.tensor([0.85, 0.85, 0.88])
    clean = torch.cat([air.view(1, 3, 1, 1).expand(1, 3, 160, 320), 0.3 * photo], dim=2)
    depth = torch.full((1, 1, 480, 320), 0.9)
    picture = add_veil(clean, VeilParams(depth, air[None]))
    net = load_restorer(None, CPU, task="dehaze")
    kept = restore_tensor(net, picture, precision="fp32")
    net.core.keep_light = False
    plain = restore_tensor(net, picture, precision="fp32")
    assert kept[..., 200:, :].mean() > 1.2 * plain[..., 200:, :].mean()
    assert kept[..., 200:, :].std() > 0.9 * picture[..., 200:, :].std()
    assert (kept - plain)[..., :120, :].abs().mean() < 0.01
