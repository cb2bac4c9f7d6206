"""A restorer on a picture, then on smaller sizes of the result."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import pixels, random_restorer, save_restorer, write_photo
from torch.nn import functional as F

import ssl_restore
from ssl_restore.errors import UserError
from ssl_restore.inference import load, tiles
from ssl_restore.inference.fine_to_coarse import restore_pixels, restore_values, scale_of
from ssl_restore.inference.tiles import restore, restore_tensor
from ssl_restore.inference.wrappers import (
    SelfEnsemble,
    Strength,
)
from ssl_restore.io import images
from ssl_restore.restorer import Restorer
from ssl_restore.training import checkpoint
from ssl_restore_cli.main import main


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


def test_what_is_found_at_half_the_size_is_taken_from_the_result(tiny):
    restorer, _ = checkpoint.load(tiny)
    image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        first = restorer(image)
        small = F.avg_pool2d(first, 2)
        taken = F.interpolate(small - restorer(small), scale_factor=2.0, mode="bilinear")
    assert taken.abs().max() > 0.05
    found = restore_values(restorer, image, scale=2, precision="fp32")
    torch.testing.assert_close(found, first - taken)


def test_at_smaller_sizes_it_is_less_thorough():
    restorer = random_restorer(thorough=True)
    whole = SelfEnsemble(Strength(restorer, 0.5))
    coarse = whole.at_smaller_sizes()
    assert coarse.core.thorough == 0.25
    assert (whole.core.thorough, restorer.thorough) == (0.5, 0.5)  # those stay as they were
    restorer.thorough = 0.1
    assert restorer.at_smaller_sizes().thorough == 0
    assert random_restorer().at_smaller_sizes().thorough is None


class Dimmed(Restorer):
    """Nine tenths of the picture, of any size."""

    stride, reach = 1, 0

    def __init__(self):
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor(0.9))

    def forward(self, image):
        return self.share * image


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("scale", [2, 4, 3])
def test_pixels_are_restored_as_values_are(scale, kind):
    """Each size takes a tenth of what is left: 0.9^n of a smooth picture, but for rounding."""
    peak = np.iinfo(kind).max
    rows, columns = np.mgrid[:69, :83]
    ramp = np.repeat((peak * (0.2 + (rows + columns) / 250))[..., None], 3, axis=2)
    photo = ramp.astype(kind)
    expected = 0.9 ** {2: 2, 3: 2, 4: 3}[scale]
    found = restore_pixels(Dimmed(), photo, scale=scale, precision="fp32")
    assert found.dtype == kind
    np.testing.assert_allclose(found / photo, expected, rtol=0, atol=0.02)
    image = torch.from_numpy(ramp / peak).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        values = restore_values(Dimmed(), image, scale=scale, precision="fp32")
    torch.testing.assert_close(values, expected * image, rtol=0, atol=0.01)


def test_scale_1_is_the_restorer_alone(tiny):
    restorer, _ = checkpoint.load(tiny)
    photo = pixels(40, 56)
    for found in (restore_pixels(restorer, photo), restore_pixels(restorer, photo, scale=None)):
        assert np.array_equal(found, restore(restorer, photo))
    image = images.to_tensor(photo)
    assert torch.equal(restore_values(restorer, image), restore_tensor(restorer, image))


def test_tiles_are_exact_at_all_sizes(tiny):
    restorer, _ = checkpoint.load(tiny)
    photo = pixels(90, 130)
    one, other = (
        restore_pixels(restorer, photo, scale=2, tile=tile, precision="fp32") for tile in (0, 32)
    )
    assert np.array_equal(one, other)


def test_smaller_sizes_of_a_large_picture_have_tiles_no_larger_than_its_own(tiny, monkeypatch):
    restorer, _ = checkpoint.load(tiny)
    monkeypatch.setattr(tiles, "TILE_PIXELS", 20_000)
    monkeypatch.setattr(tiles, "LARGE_PIXELS", 40_000)
    windows = {}
    apply = tiles._apply

    def seen(restorer, window, *others):
        windows.setdefault(scale, []).append(window[0, 0].numel())
        return apply(restorer, window, *others)

    monkeypatch.setattr(tiles, "_apply", seen)
    for scale in (1, 2):
        restore_pixels(restorer, pixels(250, 260), scale=scale)
    assert len(windows[2]) > len(windows[1])
    assert max(windows[2]) == max(windows[1]) <= 10_000


@pytest.mark.parametrize(
    ("longest", "expected"), [(100, 2), (1999, 2), (2000, 4), (3999, 4), (4000, 8), (200_000, 16)]
)
def test_the_scale_fits_the_size(longest, expected):
    restorer = random_restorer()
    assert scale_of(restorer, (300, longest), None) == 1  # it does not ask for any
    restorer.coarse_from = 2000
    assert scale_of(restorer, (300, longest), None) == expected
    assert scale_of(restorer, (longest, 300), None) == expected
    assert scale_of(restorer, (300, longest), 1) == 1


@pytest.mark.parametrize(("shortest", "expected"), [(3, 2), (61, 2), (62, 4), (250, 16)])
def test_a_scale_that_leaves_too_few_pixels_does_not_fit(shortest, expected):
    restorer = random_restorer()
    restorer.coarse_from = 500
    for size in ((shortest, 9000), (9000, shortest)):
        assert scale_of(restorer, size, None) == expected


def test_sizes_of_a_few_pixels_are_left_out(tiny):
    restorer, _ = checkpoint.load(tiny)
    photo = pixels(20, 24)
    assert np.array_equal(restore_pixels(restorer, photo, scale=16), restore(restorer, photo))


def test_checkpoints_tell_whether_they_ask_for_it(tiny, tmp_path):
    on = torch.device("cpu")
    assert load.load_restorer(None, on, task="derain").coarse_from == 500
    assert load.load_restorer(None, on, task="denoise").coarse_from is None
    assert load.load_restorer(tiny, on).coarse_from is None
    coarse = save_restorer(tmp_path / "coarse.safetensors", coarse_from=100)
    assert load.load_restorer(coarse, on).coarse_from == 100


def test_a_scale_that_was_chosen_is_said(tmp_path):
    coarse = save_restorer(tmp_path / "coarse.safetensors", coarse_from=50)
    write_photo(tmp_path / "a.png", 130, 240, seed=1)  # at 1/16 it would be 8 px high
    call = ["derain", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--weights", str(coarse)]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    line = "a.png: 240x130, restored down to 1/8 of its size, for wide streaks; --scale 1 leaves"
    assert line in result.stderr
    again = [*call[:2], str(tmp_path / "c.png"), *call[3:], "--scale", "1"]
    result = CliRunner().invoke(main, again)
    assert "restored down" not in result.stderr
    one, other = (images.read(tmp_path / name).pixels for name in ("b.png", "c.png"))
    assert one.shape == other.shape


def test_a_restorer_that_enlarges_takes_no_smaller_sizes():
    larger = Dimmed()
    larger.scale = 2
    with pytest.raises(UserError, match="this restorer enlarges"):
        scale_of(larger, (40, 40), 2)
    assert scale_of(larger, (40, 40), 1) == 1


@pytest.mark.parametrize("scale", [0, 17, 2.5, "2"])
def test_a_scale_that_is_none_is_refused(tiny, scale):
    with pytest.raises(UserError, match="a whole number from 1 to 16 is expected"):
        ssl_restore.restore(pixels(20, 20), str(tiny), scale=scale)
