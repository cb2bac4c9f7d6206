"""Large pictures: one copy in memory, and the same bits as small ones."""

from __future__ import annotations

import resource
import sys

import cv2
import numpy as np
import pytest
import tifffile
from deraining import derain
from picture_files import noise, raw_png, same, unusable_reason
from PIL import Image
from tiny import pixels, random_restorer, save_restorer

from ssl_restore.inference import fine_to_coarse
from ssl_restore.inference.tiles import restore, tile_sides
from ssl_restore.io.formats import bands, png, png_bands, tiff_pages
from ssl_restore.io.images import Picture, read, write

RESTORER = random_restorer()


@pytest.mark.parametrize("tile", [4, 8, 36, 64])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 64), (131, 97)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_in_place_gives_what_a_second_picture_gives(size, tile, kind):
    """Also where the margin is wider than several tiles."""
    tile = max(tile, 16) if size[0] > 100 else tile  # hundreds of tiles show nothing more
    picture = pixels(*size, dtype=kind)
    expected = restore(RESTORER, picture, tile=tile, precision="fp32")
    given = picture.copy()
    found = restore(RESTORER, given, tile=tile, precision="fp32", in_place=True)
    assert found is given
    assert np.array_equal(found, expected)
    assert not np.array_equal(found, picture)


def test_rows_that_were_overwritten_would_be_seen(monkeypatch):
    """The test above can fail: without the rows as they were, the result differs."""
    from ssl_restore.inference import tiles  # noqa: PLC0415

    picture = pixels(96, 64)
    expected = restore(RESTORER, picture, tile=16, precision="fp32")
    concatenate = np.concatenate

    def forgetful(parts):
        above, below = parts
        return concatenate((np.zeros_like(above), below))

    monkeypatch.setattr(tiles.np, "concatenate", forgetful)
    found = restore(RESTORER, picture.copy(), tile=16, precision="fp32", in_place=True)
    assert not np.array_equal(found, expected)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    ("size", "small"),
    [((69, 83), (35, 42)), ((64, 64), (32, 32)), ((50, 30), (12, 8)), ((20, 30), (20, 15))],
)
def test_bands_take_what_opencv_enlarges_at_once(monkeypatch, kind, size, small):
    monkeypatch.setattr(fine_to_coarse, "BAND_VALUES", 700)
    most = 1 if kind is np.float32 else np.iinfo(kind).max
    given = (pixels(*size) / 255 * most).astype(kind)
    down, restored = ((pixels(*small, seed=s) / 255 * most / 3).astype(kind) for s in (1, 2))
    taken = cv2.resize(down.astype(np.float32) - restored, size[::-1])
    expected = given - taken
    if kind is not np.float32:
        expected = np.clip(np.rint(expected), 0, most)
    found = given.copy()
    fine_to_coarse._take(found, down, restored, 1.0)
    difference = np.abs(found.astype(float) - expected)
    assert difference.max() <= (1 if kind is not np.float32 else 1e-5)
    assert (difference > 1e-5).mean() < 0.01  # but for a rounding of a half


@pytest.fixture
def large(monkeypatch):
    """What has more than 1000 pixels is large, in bands of a few rows."""
    monkeypatch.setattr(png, "LARGE_PIXELS", 1000)
    monkeypatch.setattr(tiff_pages, "LARGE_PIXELS", 1000)
    monkeypatch.setattr(png_bands, "BAND_BYTES", 700)
    monkeypatch.setattr(bands, "BAND_BYTES", 900)


KINDS = [(np.uint8, 1, False), (np.uint8, 3, False), (np.uint8, 3, True), (np.uint8, 1, True),
         (np.uint16, 1, False), (np.uint16, 3, False), (np.uint16, 3, True)]  # fmt: skip


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("kind", "channels", "alpha"), KINDS)
def test_large_pictures_are_decoded_in_bands(
    tmp_path, monkeypatch, large, suffix, kind, channels, alpha
):
    transparency = noise(40, 31, 0, kind, 1) if alpha else None
    given = Picture(noise(40, 31, channels, kind), transparency)
    write(tmp_path / f"a{suffix}", given)
    sizes = []
    whole = png._samples
    monkeypatch.setattr(png, "_samples", lambda *a: sizes.append(whole(*a)) or sizes[-1])
    found = read(tmp_path / f"a{suffix}")
    assert same(found.pixels, given.pixels)
    assert same(found.alpha, given.alpha)
    assert found.pixels.flags.writeable
    assert suffix == ".tif" or len(sizes) > 1


def test_every_filter_of_a_png_is_undone_across_bands(tmp_path, large):
    """Pillow chooses among all five for each row; so does libpng of OpenCV."""
    pixels_ = (pixels(60, 50) // 3 * 3).astype(np.uint8)
    Image.fromarray(pixels_).save(tmp_path / "a.png", optimize=True)
    assert same(read(tmp_path / "a.png").pixels, pixels_)
    cv2.imwrite(str(tmp_path / "b.png"), pixels_, [cv2.IMWRITE_PNG_STRATEGY, 1])
    assert same(read(tmp_path / "b.png").pixels, pixels_[:, :, ::-1].copy())


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"rowsperstrip": 7},
                                     {"compression": "zlib", "predictor": True},
                                     {"byteorder": ">"}, {"bigtiff": True}])  # fmt: skip
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_layout_of_a_large_tiff_is_read(tmp_path, large, options, kind):
    array = noise(40, 31, 3, kind)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", **options)
    assert same(read(tmp_path / "a.tif").pixels, array)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_large_picture_that_is_cut_short_is_damaged(tmp_path, large, suffix):
    write(tmp_path / f"a{suffix}", Picture(noise(40, 31, 3)))
    data = (tmp_path / f"a{suffix}").read_bytes()
    for length in (60, len(data) // 2, len(data) - 40):
        (tmp_path / f"a{suffix}").write_bytes(data[:length])
        unusable_reason(tmp_path / f"a{suffix}", "damaged or cut short")


def test_rows_that_a_png_lacks_are_noticed(tmp_path, large):
    rows = [bytes(range(90))] * 20
    (tmp_path / "a.png").write_bytes(raw_png(30, 40, 8, 2, rows))
    unusable_reason(tmp_path / "a.png", "20 of its 40 rows")


def test_tiles_of_large_pictures_are_half_as_large():
    for side, most in ((9_000, 1_600_000), (20_000, 800_000)):
        rows, columns = tile_sides(side, side, None, 64, 8)
        assert most / 2 < (rows + 128) * (columns + 128) <= most


def test_what_was_taken_is_still_known_where_it_is_asked_for(tmp_path, large):
    """With layers the picture as it was is needed: it is not written over."""
    weights = save_restorer(tmp_path / "w.safetensors")
    write(tmp_path / "a.png", Picture(pixels(24, 50)))
    call = (tmp_path / "a.png", tmp_path / "out/", "--weights", weights)
    assert derain(*call, "--layers", tmp_path / "t").exit_code == 0
    after, taken = read(tmp_path / "out" / "a.png").pixels, read(tmp_path / "t" / "a.png").pixels
    before = pixels(24, 50)
    assert np.array_equal(taken, np.where(before > after, before - after, 0))
    assert derain(*call, "--overwrite").exit_code == 0
    assert np.array_equal(read(tmp_path / "out" / "a.png").pixels, after)


def read_in_little_memory(source, limit):
    """In this process: 0 where reading it took less than `limit` bytes."""
    png.LARGE_PIXELS = tiff_pages.LARGE_PIXELS = 1000
    png_bands.BAND_BYTES = 1 << 20
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    picture = read(source)
    used = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)
    assert picture.pixels.shape[2] == 3
    sys.exit(0 if used < limit else f"{used / 1e6:.0f} MB")


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is another elsewhere")
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_large_picture_is_in_memory_once(tmp_path, processes, suffix):
    side = 3600  # 39 MB
    smooth = np.add.outer(np.arange(side), np.arange(side)).astype(np.uint8)
    write(tmp_path / f"a{suffix}", Picture(np.repeat(smooth[:, :, None], 3, axis=2)))
    process = processes(read_in_little_memory, tmp_path / f"a{suffix}", 1.5 * 3 * side**2)
    process.join(120)
    assert process.exitcode == 0
