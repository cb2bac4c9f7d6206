"""Losses that learn from single noisy pictures: their slow definitions, and their minima."""

from __future__ import annotations

import pytest
import torch
from learning import Constant, Shift, photograph
from torch import nn

from degradations.noise import BernoulliParams, CorrelatedNoise, Noise, drop_pixels
from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.networks.shuffled import merge, split
from ssl_restore.objectives.neighbor2neighbor import (
    PAIRS,
    Neighbor2Neighbor,
    draw_neighbors,
    take_neighbors,
)
from ssl_restore.objectives.noise2void import CELL_PX, RADIUS_PX, Noise2Void, hide
from ssl_restore.objectives.recorrupted import Recorrupted, diagonal_sigma, recorrupt
from ssl_restore.objectives.sure import Sure
from ssl_restore.objectives.synthetic_noise import recoloured
from ssl_restore.types import Batch


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


# Neighbor2Neighbor


def slow_neighbors(image, pick):
    batch, channels, height, width = image.shape
    results = [torch.empty(batch, channels, height // 2, width // 2) for _ in pick]
    for which, result in zip(pick, results, strict=True):
        for b in range(batch):
            for row in range(height // 2):
                for column in range(width // 2):
                    down, right = divmod(int(which[b, 0, row, column]), 2)
                    result[b, :, row, column] = image[b, :, 2 * row + down, 2 * column + right]
    return results


def test_neighbors_equal_the_loop_over_cells():
    image = torch.rand(2, 3, 6, 8, generator=stream())
    pick = draw_neighbors(image, stream(1))
    for fast, slow in zip(take_neighbors(image, pick), slow_neighbors(image, pick), strict=True):
        assert torch.equal(fast, slow)


def test_pairs_are_neighbours_and_all_are_drawn_alike():
    places = [divmod(int(n), 2) for n in PAIRS.flatten()]
    pairs = list(zip(places[::2], places[1::2], strict=True))
    assert len(set(pairs)) == 8
    assert all(abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1 for a, b in pairs)
    one, other = draw_neighbors(torch.zeros(1, 1, 400, 400), stream())
    counts = torch.bincount((4 * one + other).flatten(), minlength=16)
    expected = 40_000 / 8
    assert sorted(set((counts > 0).nonzero().flatten().tolist())) == sorted(
        int(4 * a + b) for a, b in PAIRS
    )
    assert ((counts[counts > 0] - expected).abs() < 4 * (expected * 7 / 8) ** 0.5).all()


def test_regulariser_is_zero_for_the_clean_restorer_where_the_first_term_is_not():
    """f that gives the clean picture: f(g1 y) - g2 y - (g1 f(y) - g2 f(y)) is g2 of the noise."""
    clean = photograph(1, 3, 16, 16)
    objective = Neighbor2Neighbor(nn.Identity(), nn.Identity(), 1.0, 1)
    terms = objective(Batch(None, clean, progress=1.0), stream())
    assert terms["observed"] > 1e-5  # neighbours differ
    assert terms["consistent"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("share", "count"), [(1.0, 4), (0.5, 2), (0.01, 1)])
def test_neighbor_loss_equals_its_equation(share, count):
    noisy = torch.rand(4, 3, 8, 8, generator=stream())
    restorer, ema = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    objective = Neighbor2Neighbor(restorer, ema, share, 1)
    found = objective(Batch(None, noisy, progress=0.25), stream(5))
    one, other = slow_neighbors(noisy, draw_neighbors(noisy, stream(5)))
    expected, beside = slow_neighbors(ema(noisy), draw_neighbors(noisy, stream(5)))
    error = restorer(one) - other
    torch.testing.assert_close(found["observed"], (error**2).mean())
    change = (error - expected + beside)[:count].square().mean()
    torch.testing.assert_close(found["consistent"], 0.25 * change)


def residual_cost(noisy, shuffle, keep):
    """The loss of a restorer on flat ground that keeps a share of what it sees and averages."""

    class Keep(nn.Module):
        def forward(self, image):
            return 0.5 + keep * (image - 0.5)

    terms = Neighbor2Neighbor(Keep(), Keep(), 1.0, shuffle)(
        Batch(None, noisy, progress=0.0), stream()
    )
    return terms["observed"].item()


@pytest.mark.parametrize(("width", "shuffle", "keeps"), [(0.1, 1, False), (1.0, 1, True),
                                                         (1.0, 4, False)])  # fmt: skip
def test_noise_that_neighbours_share_is_learned_as_texture_unless_pixels_are_shuffled(
    width, shuffle, keeps
):
    prior = CorrelatedNoise(sigma=(0.1, 0.1), width_px=(width, width))
    shape = (4, 3, 128, 128)
    noisy = prior.apply(torch.full(shape, 0.5), prior.sample(shape, stream()))
    costs = {keep: residual_cost(noisy, shuffle, keep) for keep in (0.0, 0.5)}
    assert (costs[0.5] < costs[0.0]) == keeps


# Pixel shuffle


@pytest.mark.parametrize("step", [1, 2, 3])
def test_split_takes_every_step_th_pixel_and_merge_puts_them_back(step):
    image = torch.rand(2, 3, 6 * step, 4 * step, generator=stream())
    parts = split(image, step)
    slow = torch.stack([image[b, :, row::step, column::step] for b in range(2)
                        for row in range(step) for column in range(step)])  # fmt: skip
    assert torch.equal(parts, slow)
    assert torch.equal(merge(parts, step), image)


# Noise2Void


@pytest.mark.parametrize("size", [(16, 16), (10, 13)])
def test_one_pixel_of_every_cell_is_hidden_behind_another_from_around_it(size):
    height, width = size
    number = torch.arange(height * width).float().view(1, 1, height, width).expand(2, 3, -1, -1)
    seen, hidden = hide(number, stream())
    assert hidden.shape == (2, 1, height, width)
    assert torch.equal(seen[hidden.expand_as(seen) == 0], number[hidden.expand_as(seen) == 0])
    full = hidden[:, :, : height // CELL_PX * CELL_PX, : width // CELL_PX * CELL_PX]
    assert (nn.functional.avg_pool2d(full, CELL_PX) * CELL_PX**2 == 1).all()
    for batch, _, row, column in hidden.nonzero().tolist():
        values = set(seen[batch, :, row, column].tolist())
        assert len(values) == 1  # all colours from one place
        down, right = divmod(int(values.pop()), width)
        assert 0 < max(abs(down - row), abs(right - column)) <= RADIUS_PX


def test_every_place_of_a_cell_and_every_neighbour_is_drawn():
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    places = torch.stack([rows, columns])[None]
    seen, hidden = hide(places, stream())
    moved = (seen - places)[0, :, hidden[0, 0] > 0].T.int().tolist()
    side = range(-RADIUS_PX, RADIUS_PX + 1)
    assert {tuple(m) for m in moved} == {(a, b) for a in side for b in side} - {(0, 0)}
    where = hidden[0, 0].nonzero() % CELL_PX
    assert len(set(map(tuple, where.tolist()))) == CELL_PX**2


def test_hidden_pixels_give_the_identity_no_gain_in_noise():
    """The identity pays 2 sigma^2 on flat ground, its mean sigma^2: the blind spot cannot cheat."""
    noisy = 0.5 + 0.1 * torch.randn(4, 3, 128, 128, generator=stream())
    costs = [Noise2Void(net, 1)(Batch(None, noisy), stream())["hidden"].item()
             for net in (nn.Identity(), Constant())]  # fmt: skip
    assert costs == pytest.approx([0.02, 0.01], rel=0.05)


# Recorrupted to recorrupted


@pytest.mark.parametrize("alpha", [0.3, 0.5, 2.0])
def test_errors_of_recorrupted_pictures_are_uncorrelated_and_without_mean(alpha):
    clean, sigma, count = 0.4, 0.1, 200_000
    noise = sigma * torch.randn(1, 1, 1, count, generator=stream(1))
    one, other = recorrupt(clean + noise, torch.tensor(sigma), alpha, stream(2))
    one, other = one - clean, other - clean
    variances = sigma**2 * (1 + alpha**2), sigma**2 * (1 + alpha**-2)
    for error, variance in zip((one, other), variances, strict=True):
        assert error.var().item() == pytest.approx(variance, rel=0.02)
        assert abs(error.mean().item()) < 4 * (variance / count) ** 0.5
    assert abs((one * other).mean()) < 4 * (variances[0] * variances[1] / count) ** 0.5


def test_recorrupted_loss_is_the_error_and_a_constant():
    """E|f(y1) - y2|^2 = E|f(y1) - J|^2 + s^2 (1 + 1 / alpha^2): unbiased up to a known constant."""
    alpha, sigma, clean = 0.5, 0.1, photograph(8, 3, 96, 96)
    noisy = clean + sigma * torch.randn(clean.shape, generator=stream(3))
    for net in (Shift(), Constant(0.4), nn.AvgPool2d(3, 1, 1)):
        loss = Recorrupted(net, 0.0, sigma, alpha, 1)(Batch(None, noisy), stream(4))["recorrupted"]
        seen, _ = recorrupt(noisy, torch.tensor(sigma), alpha, stream(4))
        error = (net(seen) - clean).square().mean()
        expected = error + sigma**2 * (1 + alpha**-2)
        assert loss.item() == pytest.approx(expected.item(), abs=1e-3)


def test_noise_that_grows_with_the_light_is_recorrupted_so():
    clean = torch.linspace(0.1, 0.9, 5).view(1, 1, 5, 1).expand(1, 3, 5, 40_000)
    prior = Noise(gain=(0.01, 0.01), sigma=(0.02, 0.02))
    noisy = prior.apply(clean, prior.sample(tuple(clean.shape), stream()))
    objective = Recorrupted(nn.Identity(), 0.01, 0.02, 1.0, 1)
    loss = objective(Batch(None, noisy), stream(1))["recorrupted"].item()
    assert loss == pytest.approx(4 * (0.01 * 0.5 + 0.02**2), rel=0.02)  # |2 s z|^2


def test_deviation_of_white_noise_is_told_by_diagonal_differences():
    sigmas = torch.tensor([0.02, 0.1]).view(2, 1, 1, 1)
    noisy = photograph(2, 3, 96, 96) + sigmas * torch.randn(2, 3, 96, 96, generator=stream())
    assert diagonal_sigma(noisy).tolist() == pytest.approx([0.02, 0.1], rel=0.05)


# Stein's unbiased risk estimate


class SoftThreshold(nn.Module):
    """Shrinks what differs from 1/2: a restorer that is not linear."""

    def forward(self, image):
        return 0.5 + nn.functional.softshrink(image - 0.5, 0.08)


@pytest.mark.parametrize("gain", [0.0, 0.005])
@pytest.mark.parametrize("net", [nn.Identity(), nn.AvgPool2d(3, 1, 1), SoftThreshold(), Shift()])
def test_sure_is_the_true_error_in_expectation(net, gain):
    clean = photograph(4, 3, 200, 200)
    prior = Noise(gain=(gain, gain), sigma=(0.1, 0.1))
    noisy = prior.apply(clean, prior.sample(tuple(clean.shape), stream(1)))
    told = Sure(net, gain, 0.1, 1)(Batch(None, noisy), stream(2))["sure"].item()
    true = (net(noisy) - clean).square().mean().item()
    constant = gain * clean.mean().item() + 0.1**2
    assert told - constant == pytest.approx(true, abs=3e-4)  # 480,000 pixels, s^2 is 1e-2


def test_sure_prefers_the_better_of_two_restorers_as_the_truth_does():
    clean = photograph(2, 3, 128, 128)
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=stream(5))
    nets = [nn.Identity(), *(nn.AvgPool2d(k, 1, k // 2, count_include_pad=False)
                             for k in (3, 5, 9, 33)), Constant()]  # fmt: skip
    told = [Sure(net, 0.0, 0.1, 1)(Batch(None, noisy), stream(6))["sure"].item() for net in nets]
    true = [(net(noisy) - clean).square().mean().item() for net in nets]
    assert sorted(range(6), key=told.__getitem__) == sorted(range(6), key=true.__getitem__)


# Recipes


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("noise2noise", {"noise": "rain"}, "gaussian, poisson, bernoulli, impulse"),
        ("noise2noise", {"loss": "l3"}, "l2, l1, l0"),
        ("recorrupted", {"sigma": -0.1}, "at least 0"),
        ("recorrupted", {"alpha": 0.0}, "alpha: more than 0 is expected"),
        ("neighbor2neighbor", {"patch": 40}, "multiple of 16"),
        ("neighbor2neighbor", {"patch": 48, "shuffle": 2}, "multiple of 32"),
        ("noise2void", {"shuffle": -1}, "shuffle: at least 0 is expected, got -1"),
    ],
)
def test_setting_that_makes_no_sense_is_named(name, settings, said):
    with pytest.raises(UserError, match=said):
        discover.builder("recipes", name)(width=4, **settings)


def test_lost_pixels_of_the_degradations_keep_the_mean_and_are_for_l2():
    """Those left are scaled by 1 / (1 - share), but those of `--set noise=bernoulli` are not."""
    image = torch.full((1, 3, 200, 200), 0.3)
    rank = torch.randint(2**24, (1, 1, 200, 200), generator=stream(), dtype=torch.int32)
    lost = drop_pixels(image, BernoulliParams(torch.tensor([0.3]), rank))
    assert lost.mean().item() == pytest.approx(0.3, rel=0.02)
    assert lost.median().item() == pytest.approx(0.3 / 0.7)


# Rendered noise


def test_other_colours_come_in_their_share_and_are_as_bright_in_the_mean():
    images = 0.4 + 0.05 * torch.rand(200, 3, 8, 8, generator=stream())
    other = recoloured(images, 0.3, stream(1))
    changed = (other != images).flatten(1).any(1)
    assert 0.2 < changed.float().mean() < 0.4
    torch.testing.assert_close(other.mean(1), images.mean(1))
    assert torch.equal(recoloured(images, 0.0, stream(1)), images)


def test_other_colours_reach_from_grey_to_vivid():
    images = torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1).expand(500, 3, 2, 2)
    spread = recoloured(images, 1.0, stream()).amax(1) - recoloured(images, 1.0, stream()).amin(1)
    assert spread.min() < 0.01
    assert spread.max() > 0.55
