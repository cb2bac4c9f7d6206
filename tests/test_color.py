import pytest
import torch

from degradations.color import luma, to_display, to_linear


def test_known_values_of_srgb():
    # IEC 61966-2-1, worked out by hand; display 10 of 255 lies on the straight piece.
    display = torch.tensor([0.0, 10 / 255, 0.5, 128 / 255, 1.0], dtype=torch.float64)
    linear = torch.tensor([0.0, 0.00303526983, 0.21404114, 0.21586050, 1.0], dtype=torch.float64)
    torch.testing.assert_close(to_linear(display), linear, rtol=0, atol=1e-8)
    grey = to_display(torch.tensor(0.18, dtype=torch.float64))
    assert float(grey) * 255 == pytest.approx(117.64, abs=0.01)


def test_there_and_back_is_the_identity_also_outside_the_unit_range():
    values = torch.linspace(-0.5, 2, 1001, dtype=torch.float64)
    # The two knees of the standard are rounded to 4 digits: 2e-8 apart where they should meet.
    torch.testing.assert_close(to_display(to_linear(values)), values, rtol=0, atol=1e-7)
    torch.testing.assert_close(to_linear(to_display(values)), values, rtol=0, atol=1e-7)


def test_every_8_bit_level_survives_in_float32():
    levels = torch.arange(256) / 255
    assert torch.equal((to_display(to_linear(levels)) * 255).round(), torch.arange(256.0))


@pytest.mark.parametrize(("convert", "slope"), [(to_linear, 1 / 12.92), (to_display, 12.92)])
def test_the_straight_piece_goes_on_below_zero_with_its_slope(convert, slope):
    values = torch.tensor([-0.3, -1e-3, 0.0, 1e-3], dtype=torch.float64, requires_grad=True)
    result = convert(values)
    torch.testing.assert_close(result, values * slope)
    (found,) = torch.autograd.grad(result.sum(), values)
    torch.testing.assert_close(found, torch.full_like(values, slope))


@pytest.mark.parametrize("convert", [to_linear, to_display])
def test_transfer_is_continuous_and_increasing(convert):
    values = torch.linspace(-0.1, 1.1, 120001, dtype=torch.float64)
    step = convert(values).diff()
    assert step.min() > 0
    assert step.max() < 13 * 1e-5 * 1.01


def test_gradients_are_right_on_both_pieces():
    values = torch.tensor([-0.2, 0.001, 0.02, 0.2, 0.9, 1.3], dtype=torch.float64)
    for convert in (to_linear, to_display):
        assert torch.autograd.gradcheck(convert, (values.clone().requires_grad_(),))


def test_luma_weighs_the_primaries_and_leaves_grey_alone():
    primaries = torch.eye(3).view(3, 3, 1, 1)
    assert luma(primaries).flatten().tolist() == pytest.approx([0.2126, 0.7152, 0.0722])
    grey = torch.full((2, 3, 4, 5), 0.3)
    torch.testing.assert_close(luma(grey), grey[:, :1])


def test_luma_of_anything_but_three_channels_says_so():
    with pytest.raises(ValueError, match=r"3 channels.*\(1, 4, 2, 2\)"):
        luma(torch.zeros(1, 4, 2, 2))
