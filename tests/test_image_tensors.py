"""Pictures found in folders, and as tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from picture_files import (
    RGB_PROFILE,
    noise,
    same,
)

from ssl_restore.errors import UserError
from ssl_restore.io.images import Picture, find, read, to_pixels, to_tensor, write

# --- folders ------------------------------------------------------------------------------------


def _touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_pictures_are_found_in_natural_order(tmp_path):
    names = ["7.png", "a1b10.png", "Img1.JPG", "img2.png", "img10.png", "z.TIFF"]
    _touch(tmp_path, *reversed(names), "notes.txt", ".img3.png", "deep/img1.png")
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in find(tmp_path)] == names


def test_folders_are_searched_only_when_asked(tmp_path):
    _touch(tmp_path, "b10/1.png", "b9/2.png", "a.png", ".cache/1.png")
    assert find(tmp_path) == [tmp_path / "a.png"]
    found = [p.relative_to(tmp_path).as_posix() for p in find(tmp_path, recursive=True)]
    assert found == ["a.png", "b9/2.png", "b10/1.png"]


def test_names_that_differ_in_case_or_zeros_have_one_order(tmp_path):
    _touch(tmp_path, "img01.png", "img1.png", "IMG1.png", "²3.png", "٣.png")
    assert find(tmp_path) == find(tmp_path)
    assert len(find(tmp_path)) == 5


def test_a_missing_or_empty_folder_is_named_with_the_remedy(tmp_path):
    _touch(tmp_path, "notes.txt", "deep/a.png")
    with pytest.raises(UserError, match=r"none: no such folder"):
        find(tmp_path / "none")
    with pytest.raises(UserError, match=r"is a file, not a folder"):
        find(tmp_path / "notes.txt")
    with pytest.raises(UserError, match=r"no picture in it .*not searched.*\.png, \.jpg") as caught:
        find(tmp_path)
    assert str(tmp_path) in str(caught.value)


# --- tensors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_value_survives_the_tensor(kind, channels):
    values = np.arange(np.iinfo(kind).max + 1, dtype=kind).reshape(-1, 32)
    pixels = np.stack([np.roll(values, 5 * c, 0) for c in range(channels)], axis=2)
    tensor = to_tensor(pixels)
    assert (tensor.dtype, tuple(tensor.shape)) == (torch.float32, (1, 3, *values.shape))
    assert (tensor.min().item(), tensor.max().item()) == (0.0, 1.0)
    assert same(to_pixels(tensor, pixels), pixels)


def test_the_tensor_is_rgb_over_peak_in_planes():
    pixels = np.array([[[255, 0, 51]]], np.uint8)
    assert to_tensor(pixels).flatten().tolist() == pytest.approx([1.0, 0.0, 0.2], abs=1e-7)


def test_pixels_are_rounded_and_clipped_and_the_tensor_is_kept():
    tensor = (
        torch.tensor([-0.2, 100.4 / 255, 100.6 / 255, 1.7]).reshape(1, 1, 2, 2).repeat(1, 3, 1, 1)
    )
    before = tensor.clone()
    assert to_pixels(tensor, np.empty((1, 1, 3), np.uint8))[:, :, 1].tolist() == [
        [0, 100],
        [101, 255],
    ]
    assert to_pixels(tensor, np.empty((1, 1, 1), np.uint16))[:, :, 0].tolist() == [
        *([0, round(100.4 * 257)], [round(100.6 * 257), 65535]),
    ]
    assert torch.equal(tensor, before)


def test_grey_is_the_mean_of_the_three_channels():
    tensor = torch.tensor([0.0, 0.3, 0.9]).reshape(1, 3, 1, 1)
    assert to_pixels(tensor, np.empty((1, 1, 1), np.uint8)).tolist() == [[[102]]]


def test_a_tensor_with_gradient_or_half_precision_is_taken():
    tensor = torch.full((1, 3, 2, 2), 0.5, requires_grad=True)
    assert to_pixels(tensor, np.empty((1, 1, 3), np.uint8)).max() == 128
    half = to_pixels(tensor.half(), np.empty((1, 1, 3), np.uint16))  # 65504 is the largest half
    assert half.max() == 32768


def test_nan_is_refused():
    tensor = torch.zeros(1, 3, 4, 4)
    tensor[0, 1, 2, 3] = float("nan")
    with pytest.raises(UserError, match="NaN"):
        to_pixels(tensor, np.empty((4, 4, 3), np.uint8))


@pytest.mark.parametrize("shape", [(3, 4, 4), (2, 3, 4, 4), (1, 1, 4, 4)])
def test_a_tensor_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"\(1, 3, H, W\)"):
        to_pixels(torch.zeros(shape), np.empty((4, 4, 3), np.uint8))


def test_a_picture_is_kept_exactly_from_file_to_tensor_to_file(tmp_path):
    before = Picture(noise(16, 12, 3, np.uint16), noise(16, 12, 0, np.uint16, 1), RGB_PROFILE)
    write(tmp_path / "a.png", before)
    middle = read(tmp_path / "a.png")
    after = to_pixels(to_tensor(middle.pixels), middle.pixels)
    write(tmp_path / "b.png", Picture(after, middle.alpha, middle.icc, middle.exif))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
