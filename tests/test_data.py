"""Pictures in memory and the patches drawn from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_restore import rng
from ssl_restore.io import images
from ssl_restore.io.images import Picture
from ssl_restore.training import data


def pictures_of(*arrays):
    return data.Pictures(tuple(np.array(a, np.uint8) for a in arrays), (), "")


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(height, width, seed=0, kind=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max, (height, width, 3), kind)


# Reading


def test_pictures_come_back_as_they_are(tmp_path):
    arrays = [noise(20, 30, seed) for seed in range(3)]
    for index, array in enumerate(arrays):
        images.write(tmp_path / f"{index}.png", Picture(array))
    found = data.load(images.find(tmp_path), patch=16)
    assert all(np.array_equal(a, b) for a, b in zip(found.pixels, arrays, strict=True))
    assert found.skipped == ()


def test_pictures_that_cannot_be_used_are_named_and_the_others_kept(tmp_path):
    images.write(tmp_path / "good.png", Picture(noise(20, 30)))
    images.write(tmp_path / "small.png", Picture(noise(15, 40)))
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:100])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    seen = []
    found = data.load(images.find(tmp_path), patch=16, on_read=seen.append)
    assert len(found.pixels) == 1
    assert len(seen) == 5
    text = "\n".join(found.skipped)
    assert len(found.skipped) == 4
    assert all(name in text for name in ("cut.png", "empty.jpg", "text.jpg"))
    assert "small.png: 40x15 is smaller than the patch of 16" in text


def test_deep_and_grey_pictures_become_8_bit_rgb(tmp_path):
    deep = noise(16, 16, kind=np.uint16)
    deep[0, 0], deep[0, 1] = 0, 65535
    images.write(tmp_path / "deep.png", Picture(deep))
    images.write(tmp_path / "grey.png", Picture(noise(16, 16)[:, :, :1]))
    images.write(tmp_path / "alpha.png", Picture(noise(16, 16), noise(16, 16)[:, :, 0]))
    alpha, first, grey = data.load(images.find(tmp_path), patch=16).pixels
    assert all(p.shape == (16, 16, 3) and p.dtype == np.uint8 for p in (alpha, first, grey))
    assert np.abs(first.astype(float) - deep / 257).max() <= 1
    assert first[0, 0].max() == 0
    assert first[0, 1].min() == 255
    assert np.array_equal(grey, np.repeat(noise(16, 16)[:, :, :1], 3, axis=2))
    assert np.array_equal(alpha, noise(16, 16))


def test_budget_keeps_a_window_of_each_picture(tmp_path):
    whole = noise(200, 300)
    images.write(tmp_path / "a.png", Picture(whole))
    images.write(tmp_path / "b.png", Picture(noise(20, 30)))
    budget = 2 * 3 * 6000

    def load(seed):
        return data.load(images.find(tmp_path), patch=16, seed=seed, budget_bytes=budget)

    window, small = load(0).pixels
    rows, columns = window.shape[:2]
    assert 0.9 * 6000 < rows * columns <= 6000
    assert columns / rows == pytest.approx(1.5, abs=0.05)
    places = (whole[: 201 - rows, : 301 - columns] == window[0, 0]).all(axis=2).nonzero()
    cuts = [whole[y : y + rows, x : x + columns] for y, x in zip(*places, strict=True)]
    assert any(np.array_equal(cut, window) for cut in cuts)  # a window, not a resampled copy
    assert small.shape == (20, 30, 3)
    assert np.array_equal(load(0).pixels[0], window)
    assert not np.array_equal(load(1).pixels[0], window)


def test_window_of_a_panorama_still_holds_a_patch(tmp_path):
    images.write(tmp_path / "a.png", Picture(noise(20, 900)))
    found = data.load(images.find(tmp_path), patch=16, budget_bytes=3 * 2000)
    assert min(found.pixels[0].shape[:2]) >= 16
    assert data.patches(found, 2, 16, stream(), upright=True).shape == (2, 3, 16, 16)


def test_fingerprint_is_that_of_the_pixels(tmp_path):
    def fingerprint(array, suffix=".png"):
        path = tmp_path / f"a{suffix}"
        images.write(path, Picture(array))
        return data.load([path], patch=16).fingerprint

    array = noise(16, 16)
    changed = array.copy()
    changed[7, 7, 1] ^= 1
    assert fingerprint(array) == fingerprint(array) == fingerprint(array, ".tif")
    assert fingerprint(changed) != fingerprint(array)


# Patches


def test_patches_are_pixels_of_the_pictures():
    whole = noise(40, 50)
    patches = data.patches(pictures_of(whole), 12, 16, stream(), upright=True)
    assert patches.shape == (12, 3, 16, 16)
    assert patches.dtype == torch.float32
    assert 0 <= patches.min() < patches.max() <= 1
    views = np.lib.stride_tricks.sliding_window_view(whole, (16, 16), axis=(0, 1))
    for patch in patches:
        stored = (patch * 255).round().numpy().astype(np.uint8)
        both = (stored, stored[:, :, ::-1])  # as it is, or mirrored
        assert any((views == turned).all(axis=(2, 3, 4)).any() for turned in both)


def test_patches_depend_on_the_generator_alone():
    pictures = pictures_of(noise(40, 50), noise(30, 20, 1))

    def drawn(seed):
        return data.patches(pictures, 4, 16, rng.derive(seed, "clean", 3), upright=False)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    state = torch.get_rng_state()
    drawn(1)
    assert torch.equal(torch.get_rng_state(), state)


def ramp(axis):
    """Brightness that rises along an axis; a patch tells which way it lies."""
    return np.repeat(np.indices((200, 200))[axis][..., None], 3, axis=2)


def directions(axis, *, upright):
    """How often patches rise and fall along height and width."""
    patches = data.patches(pictures_of(ramp(axis)), 64, 16, stream(), upright=upright)
    down = (patches[:, 0, -1, 0] - patches[:, 0, 0, 0]).sign().int().tolist()
    right = (patches[:, 0, 0, -1] - patches[:, 0, 0, 0]).sign().int().tolist()
    return set(zip(down, right, strict=True))


def test_upright_pictures_are_mirrored_left_to_right_only():
    assert directions(0, upright=True) == {(1, 0)}
    assert directions(1, upright=True) == {(0, 1), (0, -1)}


def test_other_pictures_take_all_symmetries_of_the_square():
    for axis in (0, 1):
        assert directions(axis, upright=False) == {(1, 0), (-1, 0), (0, 1), (0, -1)}


@pytest.mark.parametrize("size", [(16, 16), (16, 400), (400, 16), (17, 16), (480, 480), (720, 960)])
def test_patch_lies_inside_the_picture_even_at_the_last_draw(size, monkeypatch):
    whole = np.full((*size, 3), 100)
    edge = torch.full((7,), 1 - 2**-24)  # the largest number that torch.rand gives
    for draw in (edge, torch.zeros(7)):
        monkeypatch.setattr(data.torch, "rand", lambda *a, draw=draw, **k: draw)
        patches = data.patches(pictures_of(whole), 2, 16, stream(), upright=False)
        assert patches.shape == (2, 3, 16, 16)
        assert torch.allclose(patches, torch.tensor(100 / 255))


def test_every_picture_and_every_place_is_drawn():
    corner = np.zeros((18, 18, 3))
    corner[0, 0], corner[-1, -1], corner[0, -1], corner[-1, 0] = 10, 20, 30, 40
    patches = data.patches(pictures_of(corner, corner + 100), 400, 16, stream(), upright=True)
    values = set((patches * 255).round().int().unique().tolist())
    assert values == {0, 10, 20, 30, 40, 100, 110, 120, 130, 140}


def test_large_pictures_are_also_seen_small():
    """A checkerboard turns grey when it is shrunk by two, and stays one at full size."""
    board = np.repeat((np.indices((720, 720)).sum(0) % 2 * 255)[..., None], 3, axis=2)
    patches = data.patches(pictures_of(board), 60, 16, stream(), upright=True)
    spread = patches.amax(dim=(1, 2, 3)) - patches.amin(dim=(1, 2, 3))
    assert {round(value, 2) for value in spread.tolist()} == {1.0, 0.0, 0.11}  # 1, 1/2 and 1/3
    small = data.patches(pictures_of(board[:479, :479]), 60, 16, stream(), upright=True)
    assert small.amin(dim=(1, 2, 3)).max() == 0  # never shrunk below the least side
