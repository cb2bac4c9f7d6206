"""Damaged, foreign and oversized files, full disks: one line, and nothing half written."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import warnings

import numpy as np
import pytest
import tifffile
from picture_files import (
    noise,
    raw_png,
    same,
    unusable_reason,
)
from PIL import Image
from PIL import __version__ as pillow_version

from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.formats import by_pillow, png
from ssl_restore.io.images import Picture, read, write

PILLOW = int(pillow_version.split(".")[0])

# --- faults in reading --------------------------------------------------------------------------


def test_a_missing_file_a_folder_and_an_empty_file_are_told_apart(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    unusable_reason(tmp_path / "none.png", "no such file")
    unusable_reason(tmp_path / "folder.png", "is a folder")
    unusable_reason(tmp_path / "empty.png", "is empty")


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no device files here")
def test_a_device_is_refused_and_not_read_for_ever():
    with pytest.raises(UserError, match="not a regular file"):
        read("/dev/zero")


@pytest.mark.parametrize(
    "content",
    [b"rain, rain, go away", b"BZh91AY" + bytes(30), b"\x89", b"RIFF\0\0\0\0WAVE", b"\0" * 99],
)
def test_what_is_not_a_picture_is_refused(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    unusable_reason(tmp_path / "a.png", "not a PNG, JPEG, TIFF, WebP, BMP", "convert it")


def test_a_camera_raw_file_is_refused_though_its_thumbnail_is_a_tiff(tmp_path):
    write(tmp_path / "a.tif", Picture(noise(8, 8, 3)))
    (tmp_path / "a.tif").rename(tmp_path / "a.NEF")
    with pytest.raises(UserError, match=r"a\.NEF: (damaged|a camera's raw file takes)"):
        read(tmp_path / "a.NEF")


def _files(tmp_path):
    y, x = np.mgrid[:90, :120]
    pixels = np.stack([x * 2, y * 2, x + y], axis=2).astype(np.uint8) + noise(90, 120, 3) // 16
    deep = pixels.astype(np.uint16) * 257
    for name in ("a.png", "a.tif", "a.jpg", "a.webp", "a.bmp"):
        write(tmp_path / name, Picture(pixels))
    Image.fromarray(pixels).save(tmp_path / "progressive.jpg", progressive=True)
    write(tmp_path / "deep.png", Picture(deep, deep[:, :, 0]))
    write(tmp_path / "deep.tif", Picture(deep))
    tifffile.imwrite(tmp_path / "last.tif", deep, photometric="rgb")
    tifffile.imwrite(tmp_path / "plain.tif", pixels, photometric="rgb")
    return sorted(tmp_path.iterdir())


FILES = ["a.bmp", "a.jpg", "a.png", "a.tif", "a.webp", "deep.png", "deep.tif", "last.tif"]
FILES += ["plain.tif", "progressive.jpg"]


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_an_error_at_every_length(tmp_path, name):
    assert [p.name for p in _files(tmp_path)] == FILES
    path = tmp_path / name
    whole, good = path.read_bytes(), read(path)
    lengths = {1, 2, 7, 8, 9, 12, 16, 25, 33, 40, 100, len(whole) - 300, len(whole) - 20}
    for length in sorted(lengths | {len(whole) * k // 12 for k in range(1, 12)}):
        path.write_bytes(whole[:length])
        unusable_reason(path)
    for cut in range(1, 16):  # so near the end all pixels may be there: then all must be right
        path.write_bytes(whole[:-cut])
        with contextlib.suppress(UserError):
            assert same(read(path).pixels, good.pixels), cut


@pytest.mark.parametrize("name", FILES)
def test_random_damage_gives_a_picture_or_one_line(tmp_path, name):
    _files(tmp_path)
    path, rng = tmp_path / name, np.random.default_rng(7)
    whole = path.read_bytes()
    messages = []
    for _ in range(60):
        broken = bytearray(whole)
        for at in rng.integers(0, min(len(whole), rng.choice([60, 400, 10**9])), 3):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read(path, max_pixels=1_000_000)  # any other exception fails the test
            except UserError as error:
                messages.append(str(error))
    assert len(messages) > 5
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize("name", ["a.png", "deep.png"])
def test_a_flipped_bit_in_a_png_is_an_error(tmp_path, name):
    _files(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    for at in range(60, len(whole) - 4, len(whole) // 25):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        unusable_reason(path)


def test_a_wrong_png_checksum_is_an_error_even_where_a_decoder_ignores_it(tmp_path):
    whole = raw_png(1, 2, 8, 2, [bytes(3)] * 2)
    (tmp_path / "a.png").write_bytes(whole[:-13] + bytes([whole[-13] ^ 1]) + whole[-12:])
    unusable_reason(tmp_path / "a.png", "wrong checksum of chunk b'IDAT'")


def test_missing_tiff_strips_are_found_before_a_decoder_talks_about_them(tmp_path, capfd):
    write(tmp_path / "a.tif", Picture(noise(30, 40, 3, np.uint16)))
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-1])
    unusable_reason(tmp_path / "a.tif", "its samples lie beyond its end")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("depth", [8, 16])
def test_a_bomb_is_refused_before_decoding(tmp_path, depth, monkeypatch):
    (tmp_path / "bomb.png").write_bytes(raw_png(60_000, 50_000, depth, 2, [bytes(1000)]))
    decoded = []
    monkeypatch.setattr(by_pillow, "decoded", lambda *a: decoded.append(a))
    monkeypatch.setattr(png, "_sixteen_bits", lambda *a, **k: decoded.append(a))
    unusable_reason(
        tmp_path / "bomb.png", "3000.0 Mpixel", "limit of 200.0", "`max_pixels=3000000000`"
    )
    assert not decoded


def test_the_pixel_limit_is_the_largest_allowed_size(tmp_path):
    for suffix in (".png", ".jpg", ".tif", ".webp", ".bmp"):
        write(tmp_path / f"a{suffix}", Picture(noise(10, 11, 3)))
        assert images.pixel_count(tmp_path / f"a{suffix}") == 110
        assert read(tmp_path / f"a{suffix}", max_pixels=110).pixels.shape == (10, 11, 3)
        unusable_reason(tmp_path / f"a{suffix}", "`max_pixels=110`", max_pixels=109)


def test_pillows_own_limit_stops_at_most_webp_and_neither_warns_nor_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    for suffix in (".png", ".jpg", ".tif", ".webp", ".bmp"):
        write(tmp_path / f"a{suffix}", Picture(noise(10, 11, 3)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if suffix == ".webp" and PILLOW >= 13:  # it counts there by itself
                unusable_reason(tmp_path / "a.webp", "too large for a WebP", "PNG")
            else:
                assert read(tmp_path / f"a{suffix}").pixels.shape == (10, 11, 3)
    assert Image.MAX_IMAGE_PIXELS == 5


def test_pictures_are_read_in_threads(tmp_path):
    pictures = [Picture(noise(30, 30, 3, seed=s)) for s in range(8)]
    for index, picture in enumerate(pictures):
        write(tmp_path / f"{index}.png", picture)
    right = []

    def check(index):
        right.append(same(read(tmp_path / f"{index}.png").pixels, pictures[index].pixels))

    threads = [threading.Thread(target=check, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 8


# --- faults in writing --------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, Picture(noise(8, 8, 3)))
    old = path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left.*kept as it was"):
        write(path, Picture(noise(64, 64, 3)))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes there")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_a_disk_that_fills_up_in_the_middle_leaves_the_old_file(tmp_path, suffix):
    import resource  # noqa: PLC0415  not on Windows

    path = tmp_path / f"a{suffix}"
    write(path, Picture(noise(8, 8, 3)))
    old = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"File too large.*kept as it was"):
            write(path, Picture(noise(300, 300, 3)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "picture", "words"),
    [
        ("a.jpg", Picture(np.ones((4, 4, 3), np.uint8), np.ones((4, 4), np.uint8)), "alpha.*png"),
        ("a.bmp", Picture(np.ones((4, 4, 3), np.uint8), np.ones((4, 4), np.uint8)), "alpha.*png"),
        ("a.jpg", Picture(np.ones((4, 4, 3), np.uint16)), "16 bits.*png"),
        ("a.webp", Picture(np.ones((4, 4, 3), np.uint16)), "16 bits.*png"),
        ("a.bmp", Picture(np.ones((4, 4, 1), np.uint16)), "16 bits.*png"),
        ("a.tif", Picture(np.ones((4, 4, 1), np.uint16), np.ones((4, 4), np.uint16)), "alpha.*png"),
        ("a.webp", Picture(np.ones((1, 16384, 3), np.uint8)), "cannot store it.*png"),
        ("a.jpg", Picture(np.ones((1, 70_000, 3), np.uint8)), "cannot store it.*png"),
        ("a.jpg", Picture(np.ones((4, 4, 3), np.uint8), None, None, bytes(70_000)), "cannot store"),
        ("a.gif", Picture(np.ones((4, 4, 3), np.uint8)), r"'.gif'; use one of .png, .jpg"),
        ("a", Picture(np.ones((4, 4, 3), np.uint8)), "use one of .png"),
        ("none/a.png", Picture(np.ones((4, 4, 3), np.uint8)), "create it first"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_nothing_written(tmp_path, name, picture, words):
    with pytest.raises(UserError, match=words) as caught:
        write(tmp_path / name, picture)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("quality", [0, 101])
def test_a_quality_out_of_range_is_refused(tmp_path, quality):
    with pytest.raises(UserError, match=f"quality {quality}"):
        write(tmp_path / "a.jpg", Picture(noise(4, 4, 3)), quality=quality)


@pytest.mark.parametrize(
    ("pixels", "alpha"),
    [
        (np.zeros((4, 4), np.uint8), None),
        (np.zeros((4, 4, 4), np.uint8), None),
        (np.zeros((0, 4, 3), np.uint8), None),
        (np.zeros((4, 4, 3), np.float32), None),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint16)),
    ],
)
def test_a_picture_of_the_wrong_shape_or_type_cannot_be_made(pixels, alpha):
    with pytest.raises(ValueError, match="must be"):
        Picture(pixels, alpha)
