import pytest
import torch

from degradations.sensor import Sensor, SensorParams, expose, quantise, tone


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


def curve(contrast, count=4001):
    values = torch.linspace(-0.5, 1.5, count, dtype=torch.float64)
    toned = tone(values.view(1, 1, 1, -1), torch.tensor([contrast], dtype=torch.float64))
    return values, toned.flatten()


@pytest.mark.parametrize("contrast", [-2.0, -0.7, 0.3, 1.0])
def test_the_tone_curve_rises_and_keeps_black_white_and_middle(contrast):
    values, toned = curve(contrast)
    assert toned.diff().min() > -1e-12
    fixed = torch.isclose(values % 0.5, torch.zeros(1).double()) | (values < 0) | (values > 1)
    torch.testing.assert_close(toned[fixed], values[fixed])
    upper = (values > 0.55) & (values < 0.95)
    assert ((toned - values)[upper] * contrast > 0).all()


def test_a_contrast_of_one_is_the_smoothstep_and_none_is_the_identity():
    values, toned = curve(1.0)
    inside = (values >= 0) & (values <= 1)
    x = values[inside]
    torch.testing.assert_close(toned[inside], 3 * x**2 - 2 * x**3)
    assert torch.equal(curve(0.0)[1], values)


def test_the_gradient_of_the_tone_curve_is_right():
    image = (0.05 + 0.4 * picture().double().abs()).requires_grad_()
    contrast = torch.tensor([-0.8, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(tone, (image, contrast), fast_mode=True)


def test_exposure_and_tone_of_the_camera_are_found_by_descent_through_it():
    image = picture().double().clamp(0, 1)
    truth = torch.tensor([0.7, 0.9]).double(), torch.tensor([0.8, -0.6]).double()
    seen = expose(image, SensorParams(truth[0], 255, truth[1]))
    gain = torch.ones(2, dtype=torch.float64, requires_grad=True)
    contrast = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([gain, contrast], lr=0.05)
    for _ in range(200):
        loss = (expose(image, SensorParams(gain, 255, contrast)) - seen).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(gain.detach(), truth[0], rtol=0, atol=0.005)
    torch.testing.assert_close(contrast.detach(), truth[1], rtol=0, atol=0.03)


def test_without_a_contrast_the_prior_draws_what_it_drew():
    alone, toned = (torch.Generator().manual_seed(4) for _ in range(2))
    params = Sensor(gain=(0.5, 2)).sample((3, 3, 4, 4), alone)
    assert params.contrast is None
    drawn = Sensor(gain=(0.5, 2), contrast=(-1, 1)).sample((3, 3, 4, 4), toned)
    assert torch.equal(drawn.gain, params.gain)
    assert drawn.contrast.abs().max() <= 1
    assert torch.equal(alone.get_state(), stream_after_one_draw())


def stream_after_one_draw():
    generator = torch.Generator().manual_seed(4)
    torch.rand(3, generator=generator)
    return generator.get_state()
