import dataclasses
import math

import pytest
import torch

from degradations.blur import (
    Blur,
    BlurParams,
    blur,
    blur_adjoint,
    blur_kernel,
    blur_light,
)
from degradations.color import to_linear
from degradations.kernels import disc_kernel, segment_kernel

SIZES = [(12, 9), (1, 1), (1, 6), (5, 2), (3, 40)]


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def kernel_of(sigma=0.0, radius=0.0, length=0.0, angle=0.0):
    rows = (torch.tensor([float(v)], dtype=torch.float64) for v in (sigma, radius, length, angle))
    return BlurParams(*rows)


def light(height, width, batch=1, seed=1):
    return torch.rand((batch, 3, height, width), generator=stream(seed), dtype=torch.float64)


def moments(kernel):
    """Centre and covariance of a kernel, both in the order down, right."""
    reach = len(kernel) // 2
    axis = torch.arange(-reach, reach + 1, dtype=kernel.dtype)
    place = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).flatten(1)
    weight = kernel.flatten()
    centre = place @ weight
    return centre, (place * weight) @ place.T - centre[:, None] * centre


KERNELS = [
    kernel_of(sigma=1.7),
    kernel_of(radius=3.3),
    kernel_of(length=9.0, angle=0.4),
    kernel_of(0.8, 2.2, 6.5, -1.1),
    kernel_of(0.01, 0.2, 0.3, 0.1),
]


def fitting(params, size):
    """The same blur, but no wider than the picture."""
    side = max(size)
    most = {"sigma_px": side, "radius_px": side / 2, "length_px": side}
    smaller = {name: getattr(params, name).clamp(max=limit) for name, limit in most.items()}
    return dataclasses.replace(params, **smaller)


@pytest.mark.parametrize("params", KERNELS)
def test_a_kernel_is_positive_centred_even_and_sums_to_one(params):
    kernel = blur_kernel(params)
    assert kernel.min() >= 0
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(kernel, kernel.flip(0, 1), rtol=0, atol=1e-12)
    assert moments(kernel)[0].abs().max() < 1e-12


def test_the_variance_of_a_gaussian_is_that_of_the_lens_and_the_pixel():
    for sigma in (0.7, 1.0, 2.5):
        _, covariance = moments(blur_kernel(kernel_of(sigma=sigma)))
        expected = (sigma**2 + 1 / 12) * torch.eye(2, dtype=torch.float64)
        torch.testing.assert_close(covariance, expected, rtol=3e-3, atol=1e-9)


def test_a_disc_covers_its_area_evenly():
    kernel = disc_kernel(torch.tensor(6.0, dtype=torch.float64))
    assert float(1 / kernel.max()) == pytest.approx(math.pi * 36, rel=0.01)
    _, covariance = moments(kernel)
    assert float(covariance[0, 0]) == pytest.approx(36 / 4, rel=0.02)
    assert float(covariance[0, 1]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("angle", [-1.2, -0.5, 0.0, 0.3, 0.8, math.pi / 2])
def test_motion_has_the_variance_of_a_segment_along_its_angle_from_the_vertical(angle):
    _, covariance = moments(blur_kernel(kernel_of(length=15, angle=angle)))
    along = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    across = torch.tensor([-math.sin(angle), math.cos(angle)], dtype=torch.float64)
    assert float(along @ covariance @ along) == pytest.approx(15**2 / 12, rel=0.02)
    assert float(across @ covariance @ across) < 0.25
    assert abs(float(along @ covariance @ across)) < 0.15


def test_motion_at_a_positive_angle_runs_to_the_lower_right():
    length, angle = torch.tensor(8.0), torch.tensor(0.7)
    kernel = segment_kernel(length, angle)
    middle = len(kernel) // 2
    assert kernel[middle + 1 :, middle + 1 :].sum() > 0.3
    assert kernel[middle + 1 :, :middle].sum() < 0.01


def test_a_vertical_way_lights_one_column_evenly():
    kernel = segment_kernel(torch.tensor(6.0), torch.tensor(0.0))
    assert kernel[:, 3].sum() == pytest.approx(1)
    torch.testing.assert_close(kernel[1:6, 3], torch.full((5,), 1 / 6), rtol=0.02, atol=0)


def test_parameters_at_zero_are_the_identity_with_finite_gradients():
    image = light(6, 7)
    params = kernel_of()
    leaves = [getattr(params, f.name).requires_grad_() for f in dataclasses.fields(params)]
    result = blur_light(image, params)
    torch.testing.assert_close(result, image, rtol=0, atol=1e-15)
    weighted = (result * light(6, 7, seed=5)).sum()
    assert all(found.isfinite().all() for found in torch.autograd.grad(weighted, leaves))


@pytest.mark.parametrize("params", KERNELS)
def test_a_blurred_point_is_the_kernel(params):
    kernel = blur_kernel(params)
    reach = len(kernel) // 2
    point = torch.zeros(1, 1, 2 * reach + 9, 2 * reach + 7, dtype=torch.float64)
    point[0, 0, reach + 3, reach + 4] = 1
    blurred = blur_light(point, params)[0, 0]
    found = blurred[3 : 4 + 2 * reach, 4 : 5 + 2 * reach]
    torch.testing.assert_close(found, kernel, rtol=0, atol=1e-15)
    assert blurred.count_nonzero() == found.count_nonzero()


def test_blur_is_the_double_loop_over_mirrored_pixels():
    image, params = light(5, 4), kernel_of(0.6, 1.4, 4.0, 0.9)
    kernel = blur_kernel(params)
    reach = len(kernel) // 2
    assert reach > 4  # so that the picture is mirrored more than once

    def seen(place, size):
        while not 0 <= place < size:
            place = -1 - place if place < 0 else 2 * size - 1 - place
        return place

    expected = torch.zeros_like(image)
    for row in range(5):
        for column in range(4):
            for down in range(-reach, reach + 1):
                for right in range(-reach, reach + 1):
                    source = image[..., seen(row - down, 5), seen(column - right, 4)]
                    expected[..., row, column] += kernel[down + reach, right + reach] * source
    torch.testing.assert_close(blur_light(image, params), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("params", KERNELS)
def test_the_adjoint_is_the_adjoint(params, size):
    params = fitting(params, size)
    x, y = light(*size, seed=2), light(*size, seed=3) - 0.4
    forward = (blur_light(x, params) * y).sum()
    backward = (x * blur_adjoint(y, params)).sum()
    torch.testing.assert_close(forward, backward, rtol=1e-12, atol=1e-12)


def test_the_adjoint_of_a_batch_is_that_of_autograd():
    params = Blur(defocused=1, shaken=1).sample((3, 3, 11, 8), stream())
    x, y = light(11, 8, batch=3).requires_grad_(), light(11, 8, batch=3, seed=4)
    (expected,) = torch.autograd.grad((blur_light(x, params) * y).sum(), x)
    torch.testing.assert_close(blur_adjoint(y, params), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_an_even_picture_stays_even_up_to_the_border(size):
    image = torch.full((1, 3, *size), 0.37, dtype=torch.float64)
    for params in KERNELS:
        found = blur(image, fitting(params, size))
        torch.testing.assert_close(found, image, rtol=0, atol=1e-7)


def test_a_blur_that_mirrors_keeps_all_light_at_the_border():
    image = light(9, 13)
    for params in (kernel_of(sigma=2.0), kernel_of(radius=3.0), kernel_of(length=7, angle=0)):
        torch.testing.assert_close(blur_light(image, params).sum(), image.sum())


def test_two_gaussians_are_one_of_the_summed_variance():
    image = light(24, 20)
    twice = blur_light(blur_light(image, kernel_of(sigma=1.5)), kernel_of(sigma=2.0))
    # Each kernel is integrated over its own pixel, which adds 1/12.
    once = blur_light(image, kernel_of(sigma=(1.5**2 + 2.0**2 + 1 / 12) ** 0.5))
    torch.testing.assert_close(twice, once, rtol=0, atol=5e-4)
    assert (twice - image).abs().max() > 0.2


def test_blur_mixes_linear_light_and_not_display_values():
    image = light(1, 64).round()
    wide = kernel_of(sigma=16.0)
    torch.testing.assert_close(
        to_linear(blur(image, wide)).mean(), to_linear(image).mean(), rtol=0, atol=1e-6
    )
    assert (blur(image, wide).mean() - image.mean()).abs() > 0.1


def test_blur_does_not_clamp():
    image = torch.where(light(8, 8) > 0.5, 3.0, -2.0)
    result = blur(image, kernel_of(sigma=0.4))
    assert result.max() > 1.5
    assert result.min() < -0.5


def test_kernels_and_images_must_be_as_many():
    with pytest.raises(ValueError, match="2 images need as many kernels, got 1"):
        blur(light(4, 4, batch=2), kernel_of(sigma=1))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sigma": 9.1}, r"sigma_px must be at least 0 and at most 9 \(px in .* 9 x 7\), got 9.1"),
        ({"radius": 4.6}, r"radius_px .* at most 4.5 .*, got 4.6"),
        ({"length": 1e9}, r"length_px .* at most 9 .*, got 1e\+09"),
        ({"length": -2.0}, r"length_px must be at least 0 .*, got -2"),
        ({"sigma": float("nan")}, "sigma_px must be at least 0 .*, got nan"),
    ],
)
def test_a_blur_that_is_negative_or_wider_than_the_picture_is_refused(wrong, said):
    for operator in (blur, blur_light, blur_adjoint):
        with pytest.raises(ValueError, match=said):
            operator(light(7, 9), kernel_of(**wrong))


def test_in_a_small_picture_the_prior_draws_no_wider_blur():
    prior = Blur(sigma_px=(5, 9), radius_px=(8, 9), length_px=(20, 90), defocused=1, shaken=1)
    params = prior.sample((4, 3, 6, 5), stream())
    assert params.sigma_px.max() == 6
    assert params.radius_px.max() == 3
    assert params.length_px.min() == 6
    assert blur(light(6, 5, batch=4), params).isfinite().all()


def test_shares_of_the_prior_are_those_of_the_draw():
    params = Blur(defocused=0.3, shaken=0.6).sample((4000, 3, 1, 1), stream())
    limit = 4 * 0.5 / 4000**0.5
    assert float((params.radius_px > 0).double().mean()) == pytest.approx(0.3, abs=limit)
    assert float((params.length_px > 0).double().mean()) == pytest.approx(0.6, abs=limit)
    assert params.sigma_px.min() >= 0.3


def test_golden_kernels():
    # By hand: erf over each pixel; smoothstep(1.5 - d); the integral of (1 - s)^2 (1 + 2 s).
    gaussian = blur_kernel(kernel_of(sigma=0.5))
    line = torch.tensor([0.001350, 0.157306, 0.682690, 0.157306, 0.001350], dtype=torch.float64)
    middle = len(gaussian) // 2
    found = gaussian[middle - 2 : middle + 3, middle - 2 : middle + 3]
    torch.testing.assert_close(found, line[:, None] * line, rtol=0, atol=1e-6)

    corner, side, centre = 0.006751, 0.162166, 0.324332
    golden = [[corner, side, corner], [side, centre, side], [corner, side, corner]]
    disc = disc_kernel(torch.tensor(1.0))[1:-1, 1:-1]
    torch.testing.assert_close(disc, torch.tensor(golden), rtol=0, atol=2e-6)

    segment = segment_kernel(torch.tensor(2.0), torch.tensor(0.0))
    golden = [[0.0, 0.25, 0.0], [0.0, 0.5, 0.0], [0.0, 0.25, 0.0]]
    torch.testing.assert_close(segment, torch.tensor(golden), rtol=0, atol=2e-5)
