"""The parts of the solvers against what they are by definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import random_restorer
from torch import nn
from torch.nn import functional as F

from degradations.noise import CorrelatedNoise, ImpulseNoise
from ssl_restore import rng
from ssl_restore.inference.tiles import restore_tensor, to_multiple
from ssl_restore.inference.wrappers import turn
from ssl_restore.restorer import Restorer
from ssl_restore.solvers import deep_image_prior, recorrupted_fine_tuning, zero_shot_noise2noise
from ssl_restore.solvers.estimated_noise import (
    EstimatedNoise,
    channel_correlation,
    correlation,
    estimate,
    is_grey,
)
from ssl_restore.solvers.recorrupted_fine_tuning import Examples, useful_share
from ssl_restore.types import Batch


class Smoother(Restorer):
    """The mean of 5 x 5 pixels: the conditional mean where the clean picture is flat around."""

    stride, reach = 1, 2

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.full((3, 1, 5, 5), 1 / 25))

    def forward(self, image):
        return F.conv2d(F.pad(image, (2, 2, 2, 2), mode="replicate"), self.kernel, groups=3)


class Constant(Restorer):
    stride, reach = 1, 0

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, image):
        return self.value.expand_as(image)


def ramp(height=128, width=128):
    """From 0.2 to 0.8, across."""
    return torch.linspace(0.2, 0.8, width).expand(1, 3, height, width).clone()


def noise(image, seed=0):
    return torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))


def mse(one, other):
    return float((one - other).square().mean())


def told(image, restorer=None):
    return estimate(restorer or Smoother(), image, rng.derive(0, "probe"))


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_white_noise_is_told_from_what_a_conditional_mean_takes_out(sigma):
    levels = []
    for seed in range(6):
        found, reason = told(ramp() + sigma * noise(ramp(), seed))
        assert reason == ""
        levels.append((found.gain * 0.5 + found.sigma**2) ** 0.5)
    # 49,152 pixels a picture: a standard error of 0.13 % for the mean of six, 0.2 % with overlap
    assert np.mean(levels) == pytest.approx(sigma, rel=0.01)


def test_noise_that_grows_with_the_light_is_told_apart_from_that_in_the_dark():
    clean = ramp(192, 192)
    noisy = clean + (0.02 * clean + 0.03**2).sqrt() * noise(clean)
    found, _ = told(noisy)
    assert found.gain == pytest.approx(0.02, rel=0.1)
    levels = torch.tensor([0.3, 0.5, 0.7]).view(1, 1, 1, 3)
    expected = (0.02 * levels + 0.03**2).sqrt()
    torch.testing.assert_close(found.deviation(levels), expected, rtol=0.03, atol=0)


def test_grey_noise_is_drawn_grey():
    image = ramp() + 0.1 * noise(ramp()[:, :1])
    found, _ = told(image)
    assert found.grey
    assert is_grey(found.draw(found.deviation(image), torch.Generator()))
    assert not told(ramp() + 0.1 * noise(ramp()))[0].grey


def test_kinds_of_noise_that_do_not_fit_are_named():
    shared = CorrelatedNoise(sigma=(0.02, 0.02), width_px=(1.0, 1.0))
    broken = ImpulseNoise(share=(0.05, 0.05))
    draws = torch.Generator().manual_seed(0)
    flat = torch.full((1, 3, 96, 96), 0.5)
    images = {
        "share their noise": shared.apply(ramp(), shared.sample(ramp().shape, draws)),
        "far off": broken.apply(ramp(), broken.sample(ramp().shape, draws)),
        "hardly any noise": flat,
        "too small": flat[..., :40, :],
        "black or white": (flat * 0 + 0.1 * noise(flat)).clamp(0, 1),
    }
    for reason, image in images.items():
        found, said = told(image)
        assert found is None
        assert reason in said


@pytest.mark.parametrize(("width", "share"), [(1.2, 0.0), (0.1, 1.0), (1.2, 0.6)])
def test_strong_noise_that_pixels_share_is_told_and_drawn_alike(width, share):
    prior = CorrelatedNoise(sigma=(0.1, 0.1), width_px=(width, width))
    draws = torch.Generator().manual_seed(0)
    flat = torch.zeros(1, 3, 256, 256)
    own, common = (prior.apply(flat, prior.sample(flat.shape, draws)) for _ in range(2))
    given = (1 - share) ** 0.5 * own + share**0.5 * common[:, :1]
    clean = ramp(256, 256) + torch.tensor([-0.1, 0.0, 0.1]).view(1, 3, 1, 1)
    found, reason = told(clean + given)
    assert reason == ""
    assert found.share == pytest.approx(share, abs=0.05)
    again = found.draw(found.deviation(clean), draws)
    assert 0.085 < again.std().item() < 0.106  # of coarse noise a part passes for light
    assert 0 <= correlation(given) - correlation(again) + 0.02 < 0.15  # told whiter than it is
    assert channel_correlation(again) == pytest.approx(channel_correlation(given), abs=0.05)


def test_correlation_is_that_of_the_kernel():
    white = noise(torch.empty(1, 3, 256, 256))
    pairs = white[..., 1:] + white[..., :-1]  # neighbours share one of two draws
    assert correlation(pairs) == pytest.approx(0.5, abs=0.02)
    assert abs(correlation(white)) < 0.02


def examples(clean, sigma=0.1, *, aside=0.0, cut_off=False, before=None):
    rows, columns = clean.shape[2:]
    draws = torch.Generator().manual_seed(1)
    chosen = (torch.rand(rows, columns, 1, generator=draws) < aside).numpy()

    def flat(image):
        return image[0].permute(1, 2, 0).numpy()

    noisy = clean + sigma * noise(clean)
    if cut_off:
        noisy = noisy.clamp(0, 1)
    squares = np.where(chosen, np.uint8(255), np.uint8(0))
    start = flat(clean if before is None else before)
    return Examples(flat(noisy), start, squares, EstimatedNoise(0, sigma), cut_off, 0.5)


def test_errors_of_both_recorrupted_pictures_are_independent():
    clean = torch.full((1, 3, 128, 128), 0.5)
    batch = examples(clean).draw(32, 64, torch.Generator().manual_seed(0), "cpu")
    one, other = batch.degraded - 0.5, batch.clean - 0.5
    assert one.std().item() == pytest.approx(0.1 * 1.25**0.5, rel=0.02)
    assert other.std().item() == pytest.approx(0.1 * 5**0.5, rel=0.02)
    # 49,152 pixels that are drawn several times: 4 standard errors of their correlation
    assert abs((one * other).mean() / one.std() / other.std()) < 0.02


def test_pixels_that_are_set_aside_are_judged_and_never_learned():
    batch = examples(ramp(), aside=0.3).draw(4, 32, torch.Generator(), "cpu")
    learned, judged = batch.learned, batch.judged
    assert set(learned.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(judged, 1 - learned)
    assert judged.mean().item() == pytest.approx(0.3, abs=0.05)


def test_where_noise_was_cut_off_the_restored_picture_is_the_target():
    clean = torch.zeros(1, 3, 64, 64)
    clean[..., 32:] = 0.5
    taught = examples(clean, 0.05, aside=0.5, cut_off=True)
    batch = taught.draw(8, 32, torch.Generator().manual_seed(0), "cpu")
    dark = (batch.clean == 0).float()
    assert dark.mean() > 0.2
    assert (batch.judged * dark).sum() == 0
    free = examples(clean, 0.05).draw(8, 32, torch.Generator().manual_seed(0), "cpu")
    assert (free.clean == 0).float().mean() < 0.01


@pytest.mark.parametrize(
    ("start", "end", "share"), [(0.6, 0.5, 1.0), (0.5, 0.6, 0.0), (0.6, 0.45, 1.0), (0.6, 0.1, 0.2)]
)
def test_so_much_is_taken_of_a_step_as_leads_to_the_clean_picture(start, end, share):
    taught = examples(torch.full((1, 3, 128, 128), 0.5), 0.05, aside=0.5)
    found = useful_share(
        Constant(start), Constant(end), taught, 64, torch.Generator().manual_seed(0), "fp32"
    )
    assert found == pytest.approx(share, abs=0.02)


def test_fine_tuning_finds_the_kernel_of_least_recorrupted_error():
    wave = (2 * torch.pi * torch.arange(96) / 3).sin()  # fine texture: the smoother takes it away
    clean = (0.5 + 0.025 * (wave[:, None] + wave)).expand(1, 3, 96, 96)
    noisy, smoother, lines = clean + 0.06 * noise(clean), Smoother(), []
    found = recorrupted_fine_tuning.solve(
        noisy, generator=rng.derive(0, "solve"), restorer=smoother, steps=150, lr=1e-2, batch=4,
        patch=32, precision="fp32", notify=lines.append,
    )["clean"]  # fmt: skip
    assert lines == []

    def windows(image):
        return F.unfold(F.pad(image, (2, 2, 2, 2), mode="replicate"), 5).view(3, 25, -1)[0].T

    sigma = estimate(smoother, noisy, rng.derive(0, "solve"))[0].sigma
    seen, targets = [], []
    for position in range(8):
        image, drawn = turn(noisy, position), sigma * noise(noisy, 1 + position)
        seen.append(windows(image + 0.5 * drawn))
        targets.append((image - 2 * drawn)[0, 0].reshape(-1, 1))
    best = torch.linalg.lstsq(torch.cat(seen), torch.cat(targets)).solution
    expected = mse(windows(noisy) @ best, clean[0, 0].reshape(-1, 1))
    begun = mse(restore_tensor(smoother, noisy), clean)
    assert expected < 0.9 * begun < mse(noisy, clean)
    assert mse(found, clean) == pytest.approx(expected, rel=0.15)


def test_fine_tuning_says_why_it_did_not_learn_and_gives_what_it_began_with():
    image, lines, shares = torch.full((1, 3, 64, 64), 0.3), [], []
    found = recorrupted_fine_tuning.solve(
        image, generator=rng.derive(0, "solve"), restorer=Smoother(), steps=5, notify=lines.append,
        progress=shares.append, precision="fp32",
    )  # fmt: skip
    assert lines == ["hardly any noise was found (0.0 of 255): restored without learning"]
    assert shares == [1.0]
    torch.testing.assert_close(found["clean"], image)


def test_pair_of_the_picture_is_the_mean_of_each_diagonal():
    image = noise(torch.empty(2, 3, 6, 8))
    one, other = zero_shot_noise2noise.pair(image)
    for row in range(3):
        for column in range(4):
            a, b, c, d = (
                image[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                .reshape(2, 3, 4)
                .unbind(2)
            )
            torch.testing.assert_close(one[:, :, row, column], (b + c) / 2)
            torch.testing.assert_close(other[:, :, row, column], (a + d) / 2)


def test_pair_loss_of_the_identity_is_the_distance_of_the_pair_and_of_a_flat_picture_nothing():
    image = noise(torch.empty(1, 3, 16, 16))
    one, other = zero_shot_noise2noise.pair(image)
    loss = zero_shot_noise2noise.PairLoss(nn.Identity())
    terms = loss(Batch(None, image), torch.Generator())
    torch.testing.assert_close(terms["residual"], 2 * (one - other).square().mean())
    assert terms["consistent"] == 0
    flat = loss(Batch(None, torch.ones(1, 3, 8, 8)), torch.Generator())
    assert all(term == 0 for term in flat.values())


@pytest.mark.parametrize(
    ("solver", "settings"),
    [(zero_shot_noise2noise, {"steps": 100}), (deep_image_prior, {"steps": 100, "width": 16})],
)
def test_learning_from_nothing_takes_most_of_the_noise_out(solver, settings):
    clean = ramp(48, 48)
    noisy = clean + 0.1 * noise(clean)
    found = solver.solve(noisy, generator=rng.derive(0, "solve"), **settings)["clean"]
    assert mse(found, clean) < 0.25 * mse(noisy, clean)


def test_tiles_are_those_of_the_whole_picture_and_no_larger_than_asked():
    restorer, image = random_restorer(), torch.rand(1, 3, 90, 131)
    sizes = []
    whole = restore_tensor(restorer, image, tile=0, precision="fp32")
    restorer.register_forward_pre_hook(lambda module, given: sizes.append(given[0].shape[2:]))
    tiled = restore_tensor(restorer, image, tile=16, precision="fp32")
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0)
    most = 16 + 2 * (restorer.reach + restorer.stride)
    assert max(max(size) for size in sizes) <= most


@pytest.mark.parametrize(
    ("size", "stride", "least"), [((5, 7), 4, 1), ((1, 3), 8, 32), ((8, 8), 4, 8)]
)
def test_continued_picture_has_sides_of_a_multiple_and_begins_as_it_was(size, stride, least):
    image = torch.rand(1, 3, *size)
    whole = to_multiple(image, stride, least)
    assert all(side % stride == 0 and side >= least for side in whole.shape[2:])
    assert all(
        new - old < max(stride, least) for new, old in zip(whole.shape[2:], size, strict=True)
    )
    assert torch.equal(whole[..., : size[0], : size[1]], image)
