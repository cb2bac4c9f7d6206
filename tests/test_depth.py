"""Plausible distances: positive, of median one, with the edges of the picture, by the seed."""

from __future__ import annotations

import numpy as np
import torch

from degradations.depth import box_mean, coefficients, plausible_depth


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def halves(count=24, height=48, width=64):
    """Pictures with one vertical edge and some texture."""
    image = torch.full((count, 3, height, width), 0.2)
    image[..., width // 2 :] = 0.8
    return image + 0.02 * torch.rand(image.shape, generator=generator(9))


def test_distances_are_positive_with_a_median_of_one():
    depth = plausible_depth(torch.rand(8, 3, 40, 56, generator=generator(1)), generator())
    assert depth.shape == (8, 1, 40, 56)
    assert depth.min() > 0
    torch.testing.assert_close(depth.flatten(1).median(dim=1)[0], torch.ones(8))


def test_the_seed_alone_draws_them():
    image = halves(2)
    one, again, other = (plausible_depth(image, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other)


def test_distances_change_most_where_the_picture_has_its_edge():
    change = plausible_depth(halves(), generator()).log().diff(dim=-1).abs().mean(dim=(0, 1, 2))
    edge = change[31]
    assert edge > 3 * change[8:24].mean()
    assert edge > 3 * change[40:56].mean()


def test_pictures_of_one_pixel_and_of_one_colour_have_finite_distances():
    for size in ((1, 1), (2, 5), (16, 16)):
        depth = plausible_depth(torch.full((2, 3, *size), 0.5), generator())
        assert depth.isfinite().all()
        assert depth.min() > 0


def test_the_mean_of_a_box_is_that_of_what_lies_in_the_picture():
    x = torch.rand(1, 2, 9, 7, generator=generator(2), dtype=torch.float64)
    found = box_mean(x, 2)
    for row, column in ((0, 0), (4, 3), (8, 6), (1, 5)):
        part = x[..., max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        torch.testing.assert_close(found[..., row, column], part.mean(dim=(2, 3)))


def test_the_guided_filter_keeps_what_is_linear_in_its_guide_and_smooths_the_rest():
    guide = torch.rand(1, 1, 32, 32, generator=generator(5), dtype=torch.float64)
    a, b = coefficients(guide, 3 * guide - 1, radius=3, eps=1e-9)
    kept = a * guide + b
    torch.testing.assert_close(kept, 3 * guide - 1, atol=1e-5, rtol=0)
    flat = torch.full_like(guide, 0.5)
    noise = torch.rand(flat.shape, generator=generator(6), dtype=torch.float64)
    a, b = coefficients(flat, noise, radius=3, eps=1e-3)
    assert (a * flat + b).std() < 0.2 * noise.std()


def test_distances_have_a_gradient_in_the_picture():
    image = torch.rand(1, 3, 12, 12, generator=generator(7)).requires_grad_()
    plausible_depth(image, generator()).sum().backward()
    assert image.grad.isfinite().all()
    assert np.count_nonzero(image.grad) > 0
