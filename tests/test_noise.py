import dataclasses
import math

import pytest
import torch

from degradations.noise import (
    BernoulliNoise,
    CorrelatedNoise,
    CorrelatedParams,
    ImpulseNoise,
    Noise,
    NoiseParams,
    PoissonNoise,
    PoissonParams,
    add_correlated_noise,
    add_noise,
    count_photons,
    noise_std,
)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(shape, gain, sigma, seed=0):
    eps = torch.randn(shape, generator=stream(seed), dtype=torch.float64)
    rows = torch.ones(shape[0], dtype=torch.float64)
    return NoiseParams(eps=eps, gain=gain * rows, sigma=sigma * rows)


@pytest.mark.parametrize("level", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize(("gain", "sigma"), [(0.0, 0.1), (0.01, 0.0), (0.01, 0.05)])
def test_noise_has_no_mean_and_the_stated_variance(level, gain, sigma):
    image = torch.full((2, 3, 100, 100), level, dtype=torch.float64)
    left = add_noise(image, noise(image.shape, gain, sigma)) - image
    variance, count = gain * level + sigma**2, image.numel()
    assert abs(float(left.mean())) <= 4 * (variance / count) ** 0.5
    assert float(left.square().mean()) == pytest.approx(variance, rel=4 * (2 / count) ** 0.5)


def test_zero_noise_is_the_identity_with_finite_gradients():
    image = torch.tensor([0.0, -0.2, 0.7], dtype=torch.float64).view(1, 1, 1, 3).requires_grad_()
    params = noise(image.shape, 0.0, 0.0)
    leaves = [image, params.gain.requires_grad_(), params.sigma.requires_grad_()]
    result = add_noise(image, params)
    assert torch.equal(result, image)
    on_image, *others = torch.autograd.grad(result.sum(), leaves)
    assert torch.equal(on_image, torch.ones_like(image))
    assert all(found.isfinite().all() for found in others)


def test_shot_noise_of_black_has_a_finite_gradient():
    image = torch.zeros(1, 3, 4, 4, requires_grad=True)
    params = NoiseParams(torch.ones(image.shape), torch.full((1,), 0.01), torch.zeros(1))
    (found,) = torch.autograd.grad(add_noise(image, params).sum(), image)
    assert found.isfinite().all()


def test_values_below_black_have_read_noise_only():
    image = torch.tensor([-0.5, 0.0, 0.25], dtype=torch.float64).view(1, 1, 1, 3)
    std = noise_std(image, noise(image.shape, 0.04, 0.1)).flatten()
    assert std.tolist() == pytest.approx([0.1, 0.1, (0.04 * 0.25 + 0.01) ** 0.5])


def test_noise_is_not_clamped():
    image = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 3, 20, 2)
    noisy = add_noise(
        image,
        NoiseParams(
            torch.randn(image.shape, generator=stream()), torch.zeros(1), torch.full((1,), 0.1)
        ),
    )
    assert noisy.min() < -0.05
    assert noisy.max() > 1.05


def test_pixels_channels_and_images_draw_independently():
    eps = Noise().sample((2, 3, 80, 80), stream()).eps.double()
    limit = 4 / (80 * 79 * 3) ** 0.5
    pairs = [
        (eps[0], eps[1]),
        (eps[:, 0], eps[:, 1]),
        (eps[:, 1], eps[:, 2]),
        (eps[..., 1:], eps[..., :-1]),
        (eps[..., 1:, :], eps[..., :-1, :]),
    ]
    assert all(abs(float((a * b).mean())) < limit for a, b in pairs)


def test_a_point_prior_is_white_gaussian_noise_of_that_level():
    level = 25 / 255
    params = Noise(gain=(0, 0), sigma=(level, level)).sample((1, 3, 200, 200), stream())
    left = add_noise(torch.full((1, 3, 200, 200), 0.4), params) - 0.4
    assert float(left.std()) == pytest.approx(level, rel=4 / (2 * 120000) ** 0.5)


def test_golden_values():
    image = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    params = NoiseParams(
        torch.tensor([1.0, -2.0, 0.5]).view(1, 1, 1, 3), torch.tensor([0.04]), torch.zeros(1)
    )
    torch.testing.assert_close(
        add_noise(image, params), torch.tensor([0.0, 0.05, 1.1]).view(1, 1, 1, 3)
    )


# Photons


def photons_of(level, gain, seed=0, count=200):
    image = torch.full((1, 1, count, count), level, dtype=torch.float64)
    drawn = count_photons(image, PoissonParams(torch.tensor([gain]).double(), torch.tensor([seed])))
    return drawn / gain


@pytest.mark.parametrize("mean", [0.3, 2.0, 40.0])
def test_photons_are_whole_and_follow_poisson(mean):
    photons = photons_of(mean * 0.01, 0.01)
    torch.testing.assert_close(photons, photons.round())
    assert photons.mean().item() == pytest.approx(mean, abs=4 * (mean / 40000) ** 0.5)
    assert photons.var().item() == pytest.approx(mean, rel=0.05)
    assert (photons == 0).double().mean().item() == pytest.approx(math.exp(-mean), abs=0.01)


def test_without_light_there_are_no_photons_and_a_finite_gradient():
    image = torch.zeros(1, 3, 4, 4, requires_grad=True)
    drawn = count_photons(image, PoissonNoise().sample((1, 3, 4, 4), stream()))
    assert not drawn.any()
    (found,) = torch.autograd.grad(drawn.sum(), image)
    assert found.isfinite().all()


def test_the_gradient_on_the_gain_is_that_of_the_variance():
    # d/dgain of E[(I - J)^2] = J: averaged over the pixels of one large picture.
    gain = torch.tensor([0.02], dtype=torch.float64, requires_grad=True)
    image = torch.full((1, 1, 400, 400), 0.5, dtype=torch.float64)
    error = count_photons(image, PoissonParams(gain, torch.tensor([3]))) - image
    (found,) = torch.autograd.grad(error.square().mean(), gain)
    assert found.item() == pytest.approx(0.5, rel=0.02)


# Correlated, lost and broken pixels


@pytest.mark.parametrize("width", [0.1, 0.5, 1.5])
def test_correlated_noise_has_its_deviation_up_to_the_border_and_a_gaussian_correlation(width):
    shape = (1, 1, 200, 200)
    eps = CorrelatedNoise(width_px=(width, width)).sample(shape, stream()).eps.double()
    params = CorrelatedParams(eps, torch.tensor([0.1]).double(), torch.tensor([width]).double())
    noise_ = add_correlated_noise(torch.zeros(shape, dtype=torch.float64), params)[0, 0]
    assert noise_.std().item() == pytest.approx(0.1, rel=0.05)
    assert noise_[:3].std().item() == pytest.approx(0.1, rel=0.2)
    neighbours = (noise_[:, 1:] * noise_[:, :-1]).mean() / noise_.square().mean()
    taps = torch.exp(-(torch.arange(-20, 21).double() ** 2) / 2 / width**2)
    expected = (taps[1:] * taps[:-1]).sum() / taps.square().sum()
    assert neighbours.item() == pytest.approx(expected.item(), abs=0.05)


@pytest.mark.parametrize("prior", [
    Noise(gain=(0, 0), sigma=(0, 0)), CorrelatedNoise(sigma=(0, 0)), BernoulliNoise(share=(0, 0)),
    ImpulseNoise(share=(0, 0)),
])  # fmt: skip
def test_noise_of_nothing_is_the_identity(prior):
    image = torch.rand(2, 3, 7, 9, generator=stream(1))
    assert torch.equal(prior.apply(image, prior.sample(image.shape, stream())), image)


def test_many_dim_photons_are_the_picture():
    image = torch.rand(1, 3, 20, 20, generator=stream(1))
    prior = PoissonNoise(gain=(1e-6, 1e-6))
    counted = prior.apply(image, prior.sample(image.shape, stream()))
    assert (counted - image).abs().max() < 5e-3
    assert not torch.equal(counted, image)


def test_values_of_broken_pixels_are_uniform():
    prior = ImpulseNoise(share=(1, 1))
    image = torch.full((1, 3, 100, 100), 0.5)
    broken = prior.apply(image, prior.sample(image.shape, stream()))
    assert broken.mean().item() == pytest.approx(0.5, abs=4 / (12 * 30000) ** 0.5)
    assert broken.var().item() == pytest.approx(1 / 12, rel=0.03)


def test_lost_pixels_are_lost_in_all_channels_and_leave_the_mean():
    prior = BernoulliNoise(share=(0.3, 0.3))
    image = torch.full((1, 3, 200, 200), 0.5)
    drawn = prior.apply(image, prior.sample(image.shape, stream()))
    lost = drawn == 0
    assert torch.equal(lost[:, 0], lost[:, 2])
    assert lost.float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.01)


def test_the_gradient_on_the_share_of_lost_pixels_is_none_in_the_mean():
    prior = BernoulliNoise(share=(0.3, 0.3))
    image = torch.full((1, 1, 300, 300), 0.5, dtype=torch.float64)
    params = prior.sample(image.shape, stream())
    share = params.share.double().requires_grad_()
    drawn = prior.apply(image, dataclasses.replace(params, share=share))
    (found,) = torch.autograd.grad(drawn.mean(), share)
    assert found.item() == pytest.approx(0, abs=0.02)


def test_broken_pixels_show_anything_and_the_others_are_untouched():
    prior = ImpulseNoise(share=(0.2, 0.2))
    image = torch.full((1, 3, 200, 200), 0.5)
    broken = (prior.apply(image, prior.sample(image.shape, stream())) != image).any(1)
    assert broken.float().mean().item() == pytest.approx(0.2, abs=0.01)
