"""JPEG against libjpeg itself (through Pillow), and what its gradients say."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from degradations.jpeg import Jpeg, JpegParams, quantisation, store_jpeg

PHOTO = Path(__file__).parents[1] / "data_samples" / "photos" / "carcassonne.jpg"


def photograph(height=90, width=123, dtype=torch.float32):
    """Sides that are multiples of neither 8 nor 16."""
    with Image.open(PHOTO) as file:
        pixels = np.asarray(file.convert("RGB"))[40 : 40 + height, 60 : 60 + width]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(dtype) / 255


def by_pillow(image, quality, *, subsampled):
    pixels = (image[0].permute(1, 2, 0) * 255).round().byte().numpy()
    file = io.BytesIO()
    picture = Image.fromarray(pixels if len(image[0]) == 3 else pixels[..., 0])
    picture.save(file, "JPEG", quality=quality, subsampling=2 if subsampled else 0)
    read = np.asarray(Image.open(file)).reshape(pixels.shape)
    return torch.from_numpy(read.copy()).permute(2, 0, 1)[None] / 255


def stored(image, *quality, subsampled=False):
    return store_jpeg(image, JpegParams(torch.tensor(quality, dtype=image.dtype), subsampled))


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 90, 100])
@pytest.mark.parametrize("subsampled", [False, True])
def test_it_is_the_jpeg_of_libjpeg_to_within_rounding(quality, subsampled):
    # Measured on 6 pictures: 0.03 to 0.19 of 255 in the mean (the loss: 3 to 20).
    image = photograph()
    theirs = by_pillow(image, quality, subsampled=subsampled)
    ours = stored(image, float(quality), subsampled=subsampled)
    difference = (ours - theirs).abs().mean() * 255
    loss = (theirs - image).abs().mean() * 255
    assert difference < 0.25
    assert quality == 100 or difference < 0.05 * loss


def test_a_grey_picture_is_that_of_a_grey_file():
    grey = photograph()[:, 1:2]
    difference = stored(grey, 40.0) - by_pillow(grey, 40, subsampled=False)
    assert difference.abs().mean() * 255 < 0.1


@pytest.mark.parametrize("quality", [1, 5, 25, 49, 50, 83, 100])
def test_tables_are_those_of_a_file(quality):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
    luma = quantisation(torch.tensor([float(quality)]))[0]
    assert luma.flatten().int().tolist() == Image.open(file).quantization[0]


@pytest.mark.parametrize("subsampled", [False, True])
def test_a_flat_grey_picture_stays_as_it_is(subsampled):
    grey = torch.full((1, 3, 13, 21), 128 / 255)
    assert torch.equal(stored(grey, 5.0, subsampled=subsampled), grey)
    light = torch.full((1, 3, 13, 21), 201 / 255)
    assert (stored(light, 90.0, subsampled=subsampled) - light).abs().max() < 1.5 / 255


def test_quality_100_is_nearly_the_identity_and_less_loses_more():
    image = photograph()
    losses = [float((stored(image, q) - image).abs().mean() * 255) for q in (100.0, 80, 40, 10)]
    assert losses[0] < 0.3
    assert losses == sorted(losses)
    assert losses[1] > 10 * losses[0]


def test_halved_colour_keeps_the_luma_and_blurs_the_colour():
    image = torch.zeros(1, 3, 16, 16)
    image[:, 0, :, 3::4] = 1
    image[:, 1, :, 3::4] = 0.2
    full, half = (stored(image, 100.0, subsampled=s) for s in (False, True))
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    inside = (image[:, 0] > 0).unsqueeze(1)
    assert (full - image).abs().max() < 3 / 255
    assert (half[:, :1] - image[:, :1])[inside].mean() < -0.2
    luma = [(picture * weights).sum(1) for picture in (half, image)]
    assert (luma[0] - luma[1]).abs().mean() < 0.5 * (half - image).abs().mean()


def test_each_image_has_its_own_quality():
    image = photograph(24, 40)
    both = stored(torch.cat([image, image]), 20.0, 90.0)
    assert torch.equal(both[:1], stored(image, 20.0))
    assert torch.equal(both[1:], stored(image, 90.0))


def test_at_4_4_4_the_stand_in_gradient_on_the_image_is_the_identity():
    image = photograph(19, 23, torch.float64).requires_grad_()
    weights = torch.rand(image.shape, generator=torch.Generator().manual_seed(0)).double()
    (found,) = torch.autograd.grad((stored(image, 30.0) * weights).sum(), image)
    inside = torch.zeros_like(weights, dtype=torch.bool)
    inside[..., :16, :16] = True  # at the right and below, a pixel stands for the padding too
    torch.testing.assert_close(found[inside], weights[inside], rtol=0, atol=1e-9)


@pytest.mark.parametrize("subsampled", [False, True])
def test_descent_through_jpeg_finds_what_the_quantisation_hides(subsampled):
    # The gain and the tint of a photograph, from its JPEG of quality 30: every value is a step.
    image = photograph(48, 48)
    truth = torch.tensor([0.8, 0.6, 0.9]).view(3, 1, 1)
    seen = stored(image * truth, 30.0, subsampled=subsampled)
    gain = torch.ones(3, 1, 1, requires_grad=True)
    for _ in range(40):
        error = stored(image * gain, 30.0, subsampled=subsampled) - seen
        (slope,) = torch.autograd.grad(error.square().mean(), gain)
        with torch.no_grad():
            gain -= 2 * slope
    torch.testing.assert_close(gain.detach(), truth, rtol=0, atol=0.02)


@pytest.mark.parametrize("quality", [15.0, 30.0, 60.0, 90.0])
def test_the_stand_in_gradient_on_the_quality_says_that_more_is_closer(quality):
    image = photograph(dtype=torch.float64)
    value = torch.tensor([quality], dtype=torch.float64, requires_grad=True)

    def error(q):
        return (store_jpeg(image, JpegParams(q, False)) - image).square().mean()

    (found,) = torch.autograd.grad(error(value), value)
    slope = (error(value.detach() + 4) - error(value.detach() - 4)) / 8
    assert slope < 0
    assert 0.2 < float(found / slope) < 5  # right in sign and size, not to the digit


@pytest.mark.parametrize("quality", [0.0, -3.0, 101.0, float("nan")])
def test_a_quality_out_of_range_is_refused(quality):
    with pytest.raises(ValueError, match=r"quality must be at least 1 and at most 100"):
        stored(photograph(8, 8), quality)


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match=r"1 or 3 channels.*\(1, 2, 8, 8\)"):
        stored(torch.zeros(1, 2, 8, 8), 50.0)


def test_drawn_qualities_are_whole_and_in_range():
    drawn = Jpeg(quality=(40, 60)).sample((500, 3, 8, 8), torch.Generator().manual_seed(0)).quality
    assert torch.equal(drawn, drawn.round())
    assert drawn.min() >= 40
    assert drawn.max() <= 60
    assert drawn.unique().numel() > 15
