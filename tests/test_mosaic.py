"""Mosaic and demosaicing against a loop over pixels, and what they keep exactly; smoothing."""

from __future__ import annotations

import pytest
import torch

from degradations import colours_of_sites, demosaic, gaussian_kernel, mosaic, sharpen, smooth
from degradations.kernels import convolve

PATTERN = (("R", "G"), ("g", "B"))  # g: green in a row with blue


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def picture(height=6, width=7, batch=1):
    return torch.rand(batch, 3, height, width, generator=stream(1), dtype=torch.float64)


def share(value):
    return torch.tensor([value], dtype=torch.float64)


def colour(row, column, phase):
    return PATTERN[(row + phase // 2) % 2][(column + phase % 2) % 2]


@pytest.mark.parametrize("phase", range(4))
def test_a_site_measures_the_colour_of_the_shifted_pattern(phase):
    image = picture()
    raw = mosaic(image, torch.tensor([phase]))
    sites = colours_of_sites(torch.tensor([phase]), 6, 7)
    assert (sites.sum(1) == 1).all()
    for row in range(6):
        for column in range(7):
            name = colour(row, column, phase)
            assert (
                raw[0, 0, row, column] == image[0, "RgB".index(name.replace("G", "g"))][row, column]
            )
            assert sites[0, "RGgB".index(name), row, column]


def slow_estimate(raw, row, column, wanted, phase, correction):
    """Malvar, He and Cutler's formulas, pixel by pixel: bilinear, and `correction` of the gain
    times the Laplacian of the colour that was measured there."""
    height, width = raw.shape

    def at(down, right):
        places = []
        for place, size in ((abs(row + down), height), (abs(column + right), width)):
            places.append(2 * (size - 1) - place if place >= size else place)
        return raw[places[0], places[1]]

    own = colour(row, column, phase)
    if own.upper() == wanted:
        return at(0, 0)
    cross = [at(-1, 0), at(1, 0), at(0, -1), at(0, 1)]
    far = [at(-2, 0), at(2, 0), at(0, -2), at(0, 2)]
    corners = [at(down, right) for down in (-1, 1) for right in (-1, 1)]
    centre = at(0, 0)
    if wanted == "G":  # at red or blue: alpha = 1/2
        return sum(cross) / 4 + correction * (centre - sum(far) / 4) / 2
    if own.upper() == "G":  # beta = 5/8: neighbours of the wanted colour in the row or the column
        in_row = (own == "G") == (wanted == "R")
        near = cross[2:] if in_row else cross[:2]
        along, across = (far[2:], far[:2]) if in_row else (far[:2], far[2:])
        laplacian = centre - (sum(corners) + sum(along) - sum(across) / 2) / 5
        return sum(near) / 2 + correction * 5 / 8 * laplacian
    return sum(corners) / 4 + correction * 3 / 4 * (centre - sum(far) / 4)  # gamma = 3/4


@pytest.mark.parametrize("phase", range(4))
@pytest.mark.parametrize("correction", [0.0, 1.0, 0.3])
def test_demosaicing_is_the_formula_of_every_pixel(phase, correction):
    raw = torch.rand(1, 1, 6, 7, generator=stream(2), dtype=torch.float64)
    found = demosaic(raw, torch.tensor([phase]), share(correction))
    for row in range(6):
        for column in range(7):
            slow = [
                slow_estimate(raw[0, 0], row, column, wanted, phase, correction) for wanted in "RGB"
            ]
            torch.testing.assert_close(found[0, :, row, column], torch.stack(slow))


@pytest.mark.parametrize("correction", [0.0, 1.0])
def test_flat_colours_and_inner_slopes_of_light_come_back_exactly(correction):
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(14.0), indexing="ij")
    slopes = torch.tensor([0.01, -0.02, 0.015]).view(3, 1, 1)
    image = (0.4 + slopes * rows - 0.01 * slopes * columns)[None].double()
    phase = torch.tensor([1])
    back = demosaic(mosaic(image, phase), phase, share(correction))
    torch.testing.assert_close(back[..., 2:-2, 2:-2], image[..., 2:-2, 2:-2])
    flat = torch.tensor([0.2, 0.5, 0.7]).view(1, 3, 1, 1).expand(1, 3, 5, 4).double()
    torch.testing.assert_close(demosaic(mosaic(flat, phase), phase, share(correction)), flat)


def test_demosaicing_keeps_what_was_measured():
    image, phase = picture(), torch.tensor([2])
    back = demosaic(mosaic(image, phase), phase, share(1.0))
    torch.testing.assert_close(mosaic(back, phase), mosaic(image, phase))


def test_grey_detail_comes_back_better_with_the_correction():
    """A grey edge: bilinear colours it, Malvar's gradient correction hardly does."""
    image = torch.zeros(1, 3, 16, 16)
    image[..., 9:] = 0.8
    phase = torch.tensor([0])
    left = [
        (demosaic(mosaic(image, phase), phase, torch.tensor([c])) - image).square().mean().item()
        for c in (0.0, 1.0)
    ]
    assert left[1] < 0.5 * left[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (3, 2)])
def test_pictures_of_a_few_pixels_are_finite(size):
    image, phase = torch.rand(1, 3, *size, generator=stream()), torch.tensor([3])
    assert demosaic(mosaic(image, phase), phase, torch.tensor([1.0])).isfinite().all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: mosaic(torch.rand(1, 1, 4, 4), torch.tensor([0])), "of 3 channels"),
        (lambda: mosaic(torch.rand(1, 3, 4, 4), torch.tensor([4])), "phase must be .* at most 3"),
        (
            lambda: demosaic(torch.rand(1, 3, 4, 4), torch.tensor([0]), torch.tensor([0.0])),
            "one channel",
        ),
        (
            lambda: demosaic(torch.rand(1, 1, 4, 4), torch.tensor([0]), torch.tensor([1.5])),
            "correction must be .* at most 1",
        ),
    ],
)
def test_what_is_no_mosaic_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# Smoothing


@pytest.mark.parametrize("width", [0.3, 1.0, 2.5])
def test_smoothing_is_convolution_with_the_gaussian_kernel(width):
    """Up to the last 0.3 % of the kernel, which is cut off."""
    image = picture(20, 24)
    kernel = gaussian_kernel(torch.tensor(width, dtype=torch.float64))
    expected = convolve(image[0], kernel)
    torch.testing.assert_close(smooth(image, share(width))[0], expected, rtol=0, atol=5e-3)


def test_smoothing_by_nothing_is_the_identity_to_the_bit_and_flat_ground_stays():
    image = picture()
    assert torch.equal(smooth(image, share(0.0)), image)
    flat = torch.full((1, 3, 5, 6), 0.3, dtype=torch.float64)
    torch.testing.assert_close(smooth(flat, share(3.0)), flat)


def test_every_image_has_its_own_width():
    image = picture(9, 8, batch=2)
    both = smooth(image, torch.tensor([0.5, 3.0]))
    for i, width in enumerate((0.5, 3.0)):
        torch.testing.assert_close(both[i : i + 1], smooth(image[i : i + 1], share(width)))


def test_smoothing_and_sharpening_have_right_gradients():
    image, width = picture(5, 6).requires_grad_(), share(0.7).requires_grad_()
    assert torch.autograd.gradcheck(smooth, (image, width))
    assert torch.autograd.gradcheck(sharpen, (image, width))


def test_sharpening_adds_what_smoothing_takes_and_keeps_the_mean():
    image = picture(9, 9)
    assert torch.equal(sharpen(image, share(0.0)), image)
    once, twice = (sharpen(image, share(amount)) for amount in (1.0, 2.0))
    torch.testing.assert_close(twice - image, 2 * (once - image))
    torch.testing.assert_close(once.mean(), image.mean())
    assert once.var() > image.var()
