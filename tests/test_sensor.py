import pytest
import torch

from degradations.sensor import Sensor, SensorParams, expose, quantise


def picture(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((2, 3, 8, 9), generator=generator) * 1.6 - 0.3


@pytest.mark.parametrize("levels", [1, 15, 255, 65535])
def test_values_lie_on_the_grid_inside_the_unit_range(levels):
    steps = quantise(picture().double(), levels) * levels
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-6)
    assert steps.min() == 0
    assert steps.max() == levels


def test_quantising_twice_is_quantising_once():
    once = quantise(picture())
    assert torch.equal(quantise(once), once)


def test_every_8_bit_level_is_a_fixed_point():
    levels = torch.arange(256) / 255
    assert torch.equal(quantise(levels), levels)


def test_error_is_half_a_step_at_most_inside_the_range():
    image = picture().double()
    inside = (image >= 0) & (image <= 1)
    error = (quantise(image) - image)[inside].abs()
    assert error.max() <= 0.5 / 255 + 1e-12
    assert error.max() > 0.45 / 255


def test_the_gradient_passes_straight_through_clipped_values_too():
    image = picture().requires_grad_()
    (found,) = torch.autograd.grad(quantise(image).sum(), image)
    assert torch.equal(found, torch.ones_like(image))


def test_the_gain_exposes_each_image_and_receives_the_gradient_of_the_unquantised_product():
    image = picture().clamp(0, 1)
    gain = torch.tensor([0.5, 2.0], requires_grad=True)
    result = expose(image, SensorParams(gain))
    assert torch.equal(result[0], quantise(image[0] * 0.5))
    assert torch.equal(result[1], quantise(image[1] * 2))
    (found,) = torch.autograd.grad(result.sum(), gain)
    torch.testing.assert_close(found, image.sum((1, 2, 3)))


def test_bits_of_the_prior_set_the_number_of_levels():
    params = Sensor(gain=(0.5, 2), bits=4).sample((500, 3, 1, 1), torch.Generator().manual_seed(0))
    assert params.levels == 15
    assert params.gain.min() >= 0.5
    assert params.gain.max() <= 2
    assert params.gain.std() > 0.3


def test_golden_values():
    image = torch.tensor([-0.1, 0.1, 0.4, 0.6, 1.2])
    torch.testing.assert_close(quantise(image, 4), torch.tensor([0.0, 0.0, 0.5, 0.5, 1.0]))
