"""White that is not the largest value, and broken pixels, wherever a picture is restored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from noisy import photograph, with_noise
from tiny import Means

import ssl_restore as sr
from degradations import Noise, SaltPepper
from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.evaluation import scoring
from ssl_restore.inference.condition import condition_of
from ssl_restore.inference.solve import solved
from ssl_restore.io import images
from ssl_restore.io.picture import Picture

NOISE = Noise(gain=(0, 0), sigma=(0.06, 0.06))
SALT = SaltPepper(share=(0.05, 0.05), salt=(0.5, 0.5), apart=0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photo():
    return photograph(160)


@pytest.fixture
def denoiser():
    restorer = Means().eval()
    restorer.task = "denoise"
    return restorer


class Curve(Means):
    """What depends on where white is."""

    def forward(self, image):
        return image.square()


def test_restore_knows_the_white_of_a_file_and_of_no_array_of_numbers(photo):
    restorer = Curve().eval()
    restorer.task = "denoise"
    ten = with_noise(photo, NOISE, most=1023, dtype=np.uint16)
    expected = 1023 * (ten / 1023) ** 2
    assert np.abs(sr.restore(ten, restorer, precision="fp32") - expected).max() <= 1
    values = np.float32(ten / 65535)
    given = sr.restore(values, restorer, precision="fp32")
    np.testing.assert_allclose(given, values**2, rtol=1e-5)
    restorer.task = "derain"
    assert np.abs(sr.restore(ten, restorer, precision="fp32") - expected).max() <= 1


def test_restore_mends_broken_pixels_before_a_denoiser(photo):
    restorer = Means(side=1).eval()  # which leaves all as it is
    salted = with_noise(photo, SALT)
    restorer.task = "denoise"
    mended = sr.restore(salted, restorer)
    assert ((mended == 0) | (mended == 255)).mean() < 0.01
    restorer.task = "derain"
    assert np.array_equal(sr.restore(salted, restorer), salted)


def test_evaluate_scores_ten_bits_as_eight(photo, denoiser, tmp_path):
    for bits, most, dtype in ((8, 255, np.uint8), (10, 1023, np.uint16)):
        for name, prior in (("noisy", NOISE), ("clean", Noise(gain=(0, 0), sigma=(0, 0)))):
            (tmp_path / f"{name}{bits}").mkdir()
            pixels = with_noise(photo, prior, most, dtype)
            images.write(tmp_path / f"{name}{bits}" / "a.png", Picture(pixels))
    eight, ten = (
        {
            row.method: row.scores["psnr_rgb"]
            for row in sr.evaluate(tmp_path / f"noisy{bits}", tmp_path / f"clean{bits}", denoiser)
        }
        for bits in (8, 10)
    )
    assert ten == pytest.approx(eight, abs=0.1)


def test_evaluate_mends_broken_pixels_before_a_denoiser(photo):
    restorer = Means(side=1).eval()
    restorer.task = "denoise"
    method = scoring.methods(discover.task("denoise"), restorer)["restorer"]
    mended = method(with_noise(photo, SALT))
    assert ((mended == 0) | (mended == 255)).mean() < 0.01


@pytest.mark.parametrize("white", [None, 1023])
def test_a_solver_is_given_the_picture_between_black_and_its_white(photo, white):
    ten = with_noise(photo, NOISE, most=1023, dtype=np.uint16)
    given = []

    def solve(image):
        given.append(image)
        return {"clean": image.square()}

    (result,) = solved(ten, solve, device=CPU, condition=lambda pixels: condition_of(pixels, white))
    assert given[0].max().item() == pytest.approx(ten.max() / 1023, abs=1e-4)
    assert np.abs(result - 1023 * (ten / 1023) ** 2).max() <= 1


def test_a_solver_is_given_a_mended_picture(photo):
    salted = with_noise(photo, SALT)
    (result,) = solved(salted, lambda image: {"clean": image}, device=CPU, condition=condition_of)
    assert ((result == 0) | (result == 255)).mean() < 0.01


@pytest.mark.parametrize(
    ("pixels", "white", "said"),
    [
        (np.full((70, 70, 3), 9, np.uint8), 300, "beyond 255"),
        (np.full((70, 70, 3), 200, np.uint8), 100, "100 % of the values are above"),
        (np.full((70, 70, 3), 0.5, np.float32), 100, "whole numbers"),
    ],
)
def test_a_white_that_is_none_is_refused(pixels, white, said):
    with pytest.raises(UserError, match=said):
        condition_of(pixels, white)
