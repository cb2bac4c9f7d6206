"""Pictures that use a part of the range of their file are restored in that part."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import Means, Untouched, random_restorer

import ssl_restore_samples
from ssl_restore.evaluation.metrics import psnr
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.ranged import Ranged
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images

TEN = 1023 / 65535


def test_a_narrow_picture_is_restored_as_the_wide_one_is():
    restorer = random_restorer()
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        narrow, wide = Ranged(restorer, TEN)(TEN * image), restorer(image)
    torch.testing.assert_close(narrow / TEN, wide.clamp(max=1), rtol=0, atol=1e-5)


def test_a_hot_pixel_beyond_white_goes_with_what_the_restorer_takes():
    image = torch.full((1, 3, 9, 9), 0.3 * TEN)
    image[..., 4, 4] = 1.0  # 64 times white
    restored = Ranged(Means(), TEN)(image) / TEN
    assert restored.max() < 0.5
    stays = Ranged(Untouched(), TEN)(image)
    torch.testing.assert_close(stays, image, rtol=1e-5, atol=0)


def test_light_beyond_white_that_the_restorer_leaves_comes_back():
    image = torch.full((1, 3, 12, 12), 0.3 * TEN)
    image[..., 4:9, 4:9] = 1.5 * TEN
    restored = Ranged(Means(), TEN)(image) / TEN
    torch.testing.assert_close(restored[..., 5:8, 5:8], torch.full((1, 3, 3, 3), 1.5))


@pytest.mark.parametrize("white", [0.0, -0.1, 1.1])
def test_white_out_of_the_range_is_refused(white):
    with pytest.raises(ValueError, match="white must be above 0 and at most 1"):
        Ranged(Untouched(), white)


@pytest.mark.parametrize("bits", [10, 12])
def test_bits_in_a_file_of_16_are_denoised_as_well_as_8(bits):
    clean = images.read(ssl_restore_samples.photographs() / "cow.jpg").pixels[:200, :200]
    noise = np.random.default_rng(0).normal(0, 25 / 255, clean.shape)
    noisy = np.clip(clean / 255 + noise, 0, 1)
    restorer, most = load_restorer(None, torch.device("cpu"), task="denoise"), 2**bits - 1
    eight = restore(restorer, np.rint(255 * noisy).astype(np.uint8), precision="fp32")
    deep = np.rint(most * noisy).astype(np.uint16)
    ranged = restore(Ranged(restorer, most / 65535), deep, precision="fp32")
    assert ranged.max() > 0.8 * most
    as_eight = np.rint(ranged * (255 / most)).clip(0, 255).astype(np.uint8)
    assert psnr(as_eight, clean) == pytest.approx(psnr(eight, clean), abs=0.1)
    plain = restore(restorer, deep, precision="fp32") * (255 / most)
    assert psnr(np.rint(plain).clip(0, 255).astype(np.uint8), clean) < psnr(as_eight, clean) - 1
