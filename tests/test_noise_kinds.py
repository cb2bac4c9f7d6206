"""Grain, speckle, salt and pepper, narrow ranges; and priors that mix kinds of noise."""

from __future__ import annotations

import pytest
import torch

from degradations import (
    Chain,
    Choice,
    Grain,
    NarrowRange,
    NarrowRangeParams,
    Noise,
    OneOf,
    SaltPepper,
    Sensor,
    Speckle,
    any_noise,
    at_frame,
    degrade,
    grain_std,
    map_tensors,
    narrow_range,
    quantise,
    tensors,
)
from degradations.noise_kinds import NOISE_KINDS, NOISE_WEIGHTS


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def correlation(one, other):
    return ((one * other).mean() / (one.square().mean() * other.square().mean()).sqrt()).item()


# Grain


def grain(level=0.5, **changes):
    plain = {"sigma": (0.1, 0.1), "size_px": (0.2, 0.2), "shared": (0, 0), "midtones": (0, 0),
             "tilt": (0, 0)}  # fmt: skip
    flat = torch.full((1, 3, 200, 200), level)
    return degrade(flat, Grain(**(plain | changes)), stream()) - flat


@pytest.mark.parametrize("shared", [0.0, 0.4, 0.9, 1.0])
def test_colours_share_as_much_of_the_grain_as_said(shared):
    noise = grain(shared=(shared, shared))
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert correlation(noise[:, one], noise[:, other]) == pytest.approx(shared, abs=0.02)
    assert torch.equal(noise[:, 0], noise[:, 1]) == (shared == 1.0)


@pytest.mark.parametrize(("size", "expected"), [(0.2, 0.0), (0.7, 0.6), (1.5, 0.895)])
def test_size_is_that_of_the_gaussian_that_neighbours_are_correlated_by(size, expected):
    noise = grain(size_px=(size, size))  # exp(-1 / (4 size^2)) where the kernel is fine
    assert correlation(noise[..., 1:], noise[..., :-1]) == pytest.approx(expected, abs=0.03)
    assert noise.std().item() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("midtones", "tilt", "levels"),
    [
        (0.0, 0.0, {0.0: 1, 0.5: 1, 1.0: 1}),
        (1.0, 0.0, {0.0: 0, 0.25: 0.75, 0.5: 1, 1.0: 0}),
        (0.0, 0.5, {0.0: 0.5, 0.5: 1, 1.0: 1.5}),
        (0.0, -1.0, {0.0: 2, 0.5: 1, 1.0: 0}),
    ],
)
def test_strength_follows_the_brightness(midtones, tilt, levels):
    for level, factor in levels.items():
        noise = grain(level, midtones=(midtones, midtones), tilt=(tilt, tilt))
        assert noise.std().item() == pytest.approx(0.1 * factor, rel=0.02, abs=1e-6)


def test_brightness_beyond_black_and_white_is_that_of_black_and_white():
    params = Grain(midtones=(0.5, 0.5)).sample((1, 1, 1, 4), stream())
    std = grain_std(torch.tensor([-0.4, 0.0, 1.0, 1.3]).view(1, 1, 1, 4), params)[0, 0, 0]
    assert std[0] == std[1]
    assert std[2] == std[3]


def test_grain_without_shares_has_finite_gradients():
    image = torch.rand(1, 3, 6, 6, generator=stream(), dtype=torch.float64)
    params = map_tensors(Grain(shared=(1, 1)).sample(image.shape, stream()), torch.Tensor.double)
    shared = params.shared.requires_grad_()
    result = Grain().apply(image, params)
    assert torch.autograd.grad(result.square().sum(), shared)[0].isfinite().all()


# Salt and pepper


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_salt_and_pepper_come_in_their_shares(share):
    flat = torch.full((1, 3, 250, 250), 0.4)
    noisy = degrade(flat, SaltPepper((share, share), salt=(0.25, 0.25), apart=0.0), stream())
    white, black = (noisy == 1).float().mean().item(), (noisy == 0).float().mean().item()
    assert white == pytest.approx(share * 0.25, rel=0.1)
    assert black == pytest.approx(share * 0.75, rel=0.1)
    assert ((noisy == 0.4) | (noisy == 0) | (noisy == 1)).all()
    assert torch.equal(noisy[:, 0], noisy[:, 2])


def test_colours_that_break_apart_break_independently():
    flat = torch.full((1, 3, 300, 300), 0.4)
    broken = degrade(flat, SaltPepper((0.2, 0.2), apart=1.0), stream()) != 0.4
    both = (broken[:, 0] & broken[:, 1]).float().mean().item()
    assert both == pytest.approx(0.04, abs=0.004)


# Speckle


@pytest.mark.parametrize("looks", [4, 25])
def test_speckle_is_the_mean_of_looks_in_mean_and_deviation(looks):
    """Against exponential intensities, averaged one by one."""
    level, sigma = 0.3, looks**-0.5
    flat = torch.full((1, 1, 300, 300), level)
    speckled = degrade(flat, Speckle((sigma, sigma)), stream())
    draws = torch.empty(looks, 90_000).exponential_(1 / level, generator=stream(1)).mean(0)
    assert speckled.mean().item() == pytest.approx(draws.mean().item(), rel=0.01)
    assert speckled.std().item() == pytest.approx(draws.std().item(), rel=0.02)


def test_speckle_leaves_black_black():
    black = torch.tensor([-0.2, 0.0]).view(1, 1, 1, 2).expand(1, 3, 5, 2)
    assert torch.equal(degrade(black, Speckle(), stream()), black)


# Narrow ranges


@pytest.mark.parametrize("bits", [1, 8, 10, 12])
def test_values_of_a_narrow_range_are_whole_numbers_of_the_file(bits):
    image = torch.rand(1, 3, 40, 40, generator=stream(), dtype=torch.float64)
    levels = 2**bits - 1
    params = NarrowRangeParams(torch.tensor([levels]), torch.tensor([levels / 65535]).double())
    stored = 65535 * narrow_range(image, params)
    torch.testing.assert_close(stored, stored.round(), rtol=0, atol=1e-3)
    assert stored.max() <= levels + 1e-3
    assert len(stored.round().unique()) <= levels + 1


def test_levels_of_a_batch_are_each_image_s_own():
    image = torch.rand(2, 3, 8, 8, generator=stream())
    both = narrow_range(image, NarrowRangeParams(torch.tensor([3, 255]), torch.ones(2)))
    for i, levels in enumerate((3, 255)):
        torch.testing.assert_close(both[i], quantise(image[i], levels))


def test_full_range_of_eight_bits_is_the_sensor():
    image = torch.rand(1, 3, 8, 8, generator=stream())
    stored = degrade(image, NarrowRange(bits=(8, 8), white=(1, 1)), stream())
    torch.testing.assert_close(stored, degrade(image, Sensor(), stream()))


# One of several


def doubling():
    return OneOf(
        (Chain(()), Sensor(gain=(2, 2)), Noise(gain=(0, 0), sigma=(0.1, 0.1))), (0.2, 0.5, 0.3)
    )


def test_kinds_come_as_often_as_their_weights():
    kind = doubling().sample((2000, 1, 1, 1), stream()).kind
    counts = torch.bincount(kind, minlength=3).double() / 2000
    torch.testing.assert_close(counts, torch.tensor([0.2, 0.5, 0.3]).double(), rtol=0, atol=0.05)


def test_each_image_takes_its_kind_alone():
    prior, image = doubling(), torch.rand(12, 3, 6, 5, generator=stream(1)) / 2
    params = prior.sample(image.shape, stream())
    together = prior.apply(image, params)
    assert len(params.kind.unique()) == 3
    for i, kind in enumerate(params.kind.tolist()):
        own = map_tensors(params.kinds[kind], lambda t, i=i: t[i : i + 1])
        alone = prior.kinds[kind].apply(image[i : i + 1], own)
        torch.testing.assert_close(together[i : i + 1], alone)


def test_images_of_a_kind_draw_their_own_parameters_one_row_an_image():
    params = doubling().sample((40, 1, 4, 4), stream())
    assert all(len(t) == 40 for _, t in tensors(params))
    of_noise = params.kinds[2].eps[params.kind == 2]
    assert len(of_noise.flatten(1).unique(dim=0)) == len(of_noise)


def test_rows_may_be_taken_apart_and_a_choice_may_hold_it():
    image = torch.rand(12, 3, 6, 5, generator=stream(1)) / 2
    prior = Choice(Chain(()), doubling(), share=0.5)
    params = prior.sample(image.shape, stream())
    together = prior.apply(image, params)
    for i in (0, 5, 11):
        own = map_tensors(params, lambda t, i=i: t[i : i + 1])
        torch.testing.assert_close(prior.apply(image[i : i + 1], own), together[i : i + 1])


def test_all_kinds_on_all_images_give_what_each_on_its_own_gives():
    """As elsewhere than on the CPU, where a look at the kinds would wait for the device."""
    prior, image = doubling(), torch.rand(9, 3, 6, 5, generator=stream(1)) / 2
    params = prior.sample(image.shape, stream())
    torch.testing.assert_close(prior._whole(image, params), prior.apply(image, params))


@pytest.mark.parametrize(
    ("weights", "said"),
    [((1.0,), "need as many weights"), ((1.0, -1.0, 1.0), "weights must be at least 0"),
     ((0.0, 0.0, 0.0), "sum of the weights must be above 0")],
)  # fmt: skip
def test_weights_that_nothing_can_be_drawn_by_are_refused(weights, said):
    with pytest.raises(ValueError, match=said):
        OneOf(doubling().kinds, weights)


# Any noise


def test_every_kind_is_drawn_by_default_and_changes_the_picture():
    assert set(NOISE_WEIGHTS) == set(NOISE_KINDS)
    assert sum(NOISE_WEIGHTS.values()) == pytest.approx(1)
    image = 0.2 + 0.6 * torch.rand(6, 3, 24, 24, generator=stream())
    for name in NOISE_KINDS:
        noisy = degrade(image, any_noise(weights={name: 1.0}, second=0, few_levels=0), stream(1))
        assert noisy.isfinite().all()
        changed = (noisy != image).flatten(1).any(1)
        assert bool(changed.all()) == (name != "clean"), name


def test_weak_noise_and_few_levels_come_on_top_in_their_shares():
    image = torch.rand(400, 3, 8, 8, generator=stream())
    params = any_noise(second=0.3, few_levels=0.1).sample(image.shape, stream())
    assert params.steps[1].second_one.float().mean().item() == pytest.approx(0.3, abs=0.07)
    assert params.steps[2].second_one.float().mean().item() == pytest.approx(0.1, abs=0.05)


def test_frames_keep_the_level_of_grain():
    params = Grain().sample((1, 3, 8, 8), stream())
    later = at_frame(Grain(), params, 2, (1, 3, 8, 8), fps=25, generator=stream(1))
    assert torch.equal(later.sigma, params.sigma)
    assert not torch.equal(later.eps, params.eps)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"weights": {"rain": 1.0}}, "unknown kind of noise 'rain'"),
     ({"second": 1.5}, "second must be"), ({"few_levels": -0.1}, "few_levels must be")],
)  # fmt: skip
def test_mixtures_that_make_no_sense_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        any_noise(**given)
