"""PSNR, SSIM and luma against skimage, against loops, and against numbers computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ssl_restore.errors import UserError
from ssl_restore.evaluation.metrics import psnr, scores, ssim, studio_luma


def _pair(height, width, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    clean = np.add.outer(np.arange(height) * 3, np.arange(width) * 2)[:, :, None] % 256
    clean = np.repeat(clean, channels, axis=2).astype(np.uint8)
    noisy = np.clip(clean + rng.normal(0, 12, clean.shape), 0, 255).astype(np.uint8)
    return noisy, clean


def _ssim_loop(a, b):
    """Wang et al. 2004, eq. 13, one window at a time."""
    offset = np.arange(-5, 6)
    window = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for y in range(5, a.shape[0] - 5):
        for x in range(5, a.shape[1] - 5):
            p = a[y - 5 : y + 6, x - 5 : x + 6].astype(float)
            q = b[y - 5 : y + 6, x - 5 : x + 6].astype(float)
            m, n = (window * p).sum(), (window * q).sum()
            v, w = (window * (p - m) ** 2).sum(), (window * (q - n) ** 2).sum()
            c = (window * (p - m) * (q - n)).sum()
            c1, c2 = 2.55**2, 7.65**2
            values.append((2 * m * n + c1) * (2 * c + c2) / ((m**2 + n**2 + c1) * (v + w + c2)))
    return np.mean(values)


def test_psnr_of_a_difference_of_one_everywhere_is_48_13_db():
    a = np.full((4, 5, 3), 100, np.uint8)
    assert psnr(a, a + np.uint8(1)) == pytest.approx(20 * math.log10(255), abs=1e-12)
    assert psnr(a, a + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)


def test_psnr_of_one_wrong_value_of_four_is_computed_by_hand():
    a = np.array([[[10], [20]], [[30], [40]]], np.uint8)
    b = np.array([[[10], [20]], [[30], [50]]], np.uint8)  # mean square 100 / 4 = 25
    assert psnr(a, b) == pytest.approx(10 * math.log10(65025 / 25))


def test_psnr_of_black_and_white_is_zero():
    black, white = np.zeros((3, 3, 3), np.uint8), np.full((3, 3, 3), 255, np.uint8)
    assert psnr(black, white) == psnr(white, black) == 0.0  # unsigned bytes must not wrap


@pytest.mark.parametrize("shape", [(11, 11, 3), (40, 53, 3), (600, 40, 1), (266, 31, 3)])
def test_psnr_and_ssim_are_those_of_skimage(shape):
    a, b = _pair(*shape)
    expected = structural_similarity(
        *(a, b),
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
    )
    assert ssim(a, b) == pytest.approx(expected, abs=1e-10)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=255), abs=1e-10)


def test_ssim_is_that_of_a_loop_over_windows():
    a, b = _pair(19, 16, 1, seed=3)
    assert ssim(a, b) == pytest.approx(_ssim_loop(a[:, :, 0], b[:, :, 0]), abs=1e-12)


def test_ssim_of_two_flat_pictures_is_the_luminance_term():
    a, b = np.full((12, 12, 1), 50, np.uint8), np.full((12, 12, 1), 100, np.uint8)
    expected = (2 * 50 * 100 + 2.55**2) / (50**2 + 100**2 + 2.55**2)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-12)


def test_ssim_is_symmetric_and_averages_the_channels():
    a, b = _pair(30, 24)
    each = [ssim(a[:, :, c : c + 1], b[:, :, c : c + 1]) for c in range(3)]
    assert ssim(a, b) == pytest.approx(ssim(b, a), abs=1e-14)
    assert ssim(a, b) == pytest.approx(np.mean(each), abs=1e-14)
    assert max(each) - min(each) > 1e-4


def test_a_picture_taller_than_one_band_has_no_seam():
    a, b = _pair(600, 20)
    turned = ssim(a.transpose(1, 0, 2), b.transpose(1, 0, 2))  # one band, as it is 20 rows high
    assert ssim(a, b) == pytest.approx(turned, abs=1e-12)


def test_identical_pictures_have_infinite_psnr_and_ssim_one():
    a, _ = _pair(20, 20)
    assert scores(a, a.copy()) == {
        "psnr_rgb": math.inf,
        "ssim_rgb": pytest.approx(1.0, abs=1e-12),
        "psnr_y": math.inf,
        "ssim_y": pytest.approx(1.0, abs=1e-12),
    }


@pytest.mark.parametrize(
    ("rgb", "y"),
    [
        ((0, 0, 0), 16.0),
        ((255, 255, 255), 235.0),
        ((255, 0, 0), 81.481),
        ((0, 255, 0), 144.553),
        ((0, 0, 255), 40.966),
        ((1, 0, 0), 16.256788),
    ],
)
def test_luma_is_bt601_studio_range_and_not_rounded(rgb, y):
    assert studio_luma(np.array([[rgb]], np.uint8))[0, 0, 0] == pytest.approx(y, abs=1e-6)


def test_luma_of_grey_is_that_of_equal_channels():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    np.testing.assert_allclose(studio_luma(grey), studio_luma(grey.repeat(3, axis=2)), atol=1e-10)


def test_luma_scores_are_the_scores_of_the_lumas():
    a, b = _pair(25, 30)
    found = scores(a, b)
    y, clean_y = (x @ np.array([65.481, 128.553, 24.966]) / 255 + 16 for x in (a, b))
    assert found["psnr_y"] == pytest.approx(
        10 * math.log10(255**2 / ((y - clean_y) ** 2).mean()), abs=1e-10
    )
    assert found["ssim_y"] == pytest.approx(_ssim_loop(y, clean_y), abs=1e-10)
    assert found["psnr_rgb"] == psnr(a, b)
    assert found["ssim_rgb"] == ssim(a, b)
    assert found["psnr_y"] != found["psnr_rgb"]


@pytest.mark.parametrize("metric", [psnr, ssim, scores])
def test_different_sizes_are_refused_and_both_named(metric):
    a, b = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 31, 3), np.uint8)
    with pytest.raises(UserError, match="20 x 30 x 3 and 20 x 31 x 3"):
        metric(a, b)
    with pytest.raises(UserError, match="20 x 30 x 3 and 20 x 30 x 1"):
        metric(a, a[:, :, :1])


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_other_than_8_bit_values_are_refused(kind):
    with pytest.raises(UserError, match=np.dtype(kind).name):
        psnr(np.zeros((20, 20, 3), kind), np.zeros((20, 20, 3), np.uint8))


def test_a_picture_smaller_than_the_window_is_refused_by_ssim():
    a = np.zeros((10, 40, 3), np.uint8)
    assert psnr(a, a) == math.inf
    with pytest.raises(UserError, match="40 x 10"):
        ssim(a, a)


def test_the_pictures_are_not_changed():
    a, b = _pair(15, 15)
    before = a.copy(), b.copy()
    scores(a, b)
    assert np.array_equal(a, before[0])
    assert np.array_equal(b, before[1])
