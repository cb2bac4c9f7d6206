"""Formats of the extra `formats`; each test is left out where its package is not installed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from deraining import derain
from picture_files import RGB_PROFILE, exif_block, noise, parsed, same, unusable_reason
from PIL import Image
from tiny import pixels, save_restorer

from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.images import Picture, read, write
from ssl_restore.io.picture import Levels, Metadata


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


def smooth(kind=np.uint8, height=48, width=64):
    y, x = np.mgrid[:height, :width]
    planes = np.stack([x / width, y / height, (x + y) / (width + height)], axis=2)
    return (planes * np.iinfo(kind).max).astype(kind)


# --- HEIC ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_heic_goes_in_and_out(tmp_path, kind, alpha):
    pytest.importorskip("pillow_heif")
    seen = smooth(kind)[:, :, 0].copy() if alpha else None
    given = Picture(smooth(kind), seen, RGB_PROFILE, exif_block()[6:], Metadata(xmp=b"<x/>"))
    write(tmp_path / "a.heic", given)
    found = read(tmp_path / "a.heic")
    assert found.pixels.dtype == kind
    most = np.iinfo(kind).max
    assert np.abs(found.pixels.astype(float) - given.pixels).mean() < 0.01 * most
    assert (found.alpha is not None) == alpha
    assert found.icc == RGB_PROFILE
    assert parsed(found.exif)[271] == "Make of camera"
    assert found.metadata.xmp == b"<x/>"
    assert images.pixel_count(tmp_path / "a.heic") == 48 * 64
    assert read(tmp_path / "a.heic", max_pixels=48 * 64).pixels.shape == (48, 64, 3)
    unusable_reason(tmp_path / "a.heic", "over the limit", max_pixels=48 * 64 - 1)


def test_a_heic_whose_exif_says_turned_is_not_turned_twice(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    image = heif.from_bytes(mode="RGB", size=(64, 48), data=smooth().tobytes())
    image.save(tmp_path / "a.heic", exif=exif_block(6), quality=95)
    reference = np.asarray(heif.open_heif(tmp_path / "a.heic"))
    found = read(tmp_path / "a.heic")
    assert same(found.pixels, reference)
    assert parsed(found.exif).get(274, 1) == 1


def test_a_heic_is_restored_to_one(tiny, tmp_path):
    pytest.importorskip("pillow_heif")
    write(tmp_path / "in.heic", Picture(pixels(48, 64)))
    assert derain(tmp_path / "in.heic", tmp_path / "out/", "--weights", tiny).exit_code == 0
    assert read(tmp_path / "out" / "in.heic").metadata.source == "HEIC"


def test_a_heic_that_is_cut_short_is_damaged(tmp_path):
    pytest.importorskip("pillow_heif")
    write(tmp_path / "a.heic", Picture(smooth()))
    whole = (tmp_path / "a.heic").read_bytes()
    for length in (40, 200, len(whole) - 50):
        (tmp_path / "a.heic").write_bytes(whole[:length])
        unusable_reason(tmp_path / "a.heic", "damaged or cut short")


# --- JPEG XL -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [(48, 64), (37, 53), (600, 900), (128, 128)])
def test_a_jpeg_xl_is_read_at_its_depth(tmp_path, kind, size):
    codecs = pytest.importorskip("imagecodecs")
    pytest.importorskip("pillow_jxl")
    array = smooth(np.uint16, *size)
    array = (array / 65535).astype(kind) if kind is np.float32 else array.astype(kind)
    (tmp_path / "a.jxl").write_bytes(codecs.jpegxl_encode(array, lossless=True, effort=1))
    found = read(tmp_path / "a.jxl")
    assert same(found.pixels, array)
    assert images.pixel_count(tmp_path / "a.jxl") == size[0] * size[1]
    unusable_reason(tmp_path / "a.jxl", "over the limit", max_pixels=size[0] * size[1] - 1)


def test_a_jpeg_xl_keeps_exif_and_xmp_and_becomes_png(tiny, tmp_path):
    pytest.importorskip("imagecodecs")
    pytest.importorskip("pillow_jxl")
    buffer = io.BytesIO()
    image = Image.fromarray(smooth())
    image.save(buffer, "JXL", lossless=True, exif=exif_block(), xmp=b"<x/>", use_container=True)
    (tmp_path / "a.jxl").write_bytes(buffer.getvalue())
    found = read(tmp_path / "a.jxl")
    assert same(found.pixels, smooth())
    assert parsed(found.exif)[271] == "Make of camera"
    assert found.metadata.xmp == b"<x/>"
    assert derain(tmp_path / "a.jxl", tmp_path / "out/", "--weights", tiny).exit_code == 0
    assert read(tmp_path / "out" / "a.png").metadata.xmp == b"<x/>"


def test_a_jpeg_xl_that_is_cut_short_is_damaged(tmp_path):
    codecs = pytest.importorskip("imagecodecs")
    pytest.importorskip("pillow_jxl")
    whole = codecs.jpegxl_encode(smooth(), lossless=True)
    for length in (3, 20, len(whole) // 2):
        (tmp_path / "a.jxl").write_bytes(whole[:length])
        unusable_reason(tmp_path / "a.jxl", "damaged or cut short")


# --- OpenEXR -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("name", ["RGB", "RGBA", "Y"])
def test_an_exr_comes_back_as_it_was_with_all_its_channels(tmp_path, kind, name):
    exr = pytest.importorskip("OpenEXR")
    light = np.random.default_rng(0).random((20, 30, len(name))).astype(kind) * 4 - 1
    light = light.squeeze().astype(kind)
    depth = np.random.default_rng(1).random((20, 30)).astype(np.float32)
    header = {"compression": exr.PIZ_COMPRESSION, "type": exr.scanlineimage, "owner": "me"}
    exr.File(header, {name: light, "Z": depth}).write(str(tmp_path / "a.exr"))
    picture = read(tmp_path / "a.exr")
    assert picture.levels == Levels(0, 1, np.dtype(kind).name, linear=True)
    assert (picture.alpha is not None) == (name == "RGBA")
    write(tmp_path / "b.exr", picture)
    found = exr.File(str(tmp_path / "b.exr"))
    assert found.header()["owner"] == "me"
    assert found.header()["compression"] == exr.PIZ_COMPRESSION
    assert np.array_equal(found.channels()["Z"].pixels, depth)
    again = found.channels()[name].pixels
    assert again.dtype == kind
    np.testing.assert_allclose(again, light, rtol=2e-3, atol=1e-3)
    assert images.pixel_count(tmp_path / "a.exr") == 600


def test_an_exr_is_restored_and_what_is_brighter_than_white_is_kept(tiny, tmp_path):
    exr = pytest.importorskip("OpenEXR")
    light = (pixels(24, 40).astype(np.float32) / 255) ** 2.2
    light[5:8, 5:8] = 40.0
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    exr.File(header, {"RGB": light}).write(str(tmp_path / "a.exr"))
    assert derain(tmp_path / "a.exr", tmp_path / "b.exr", "--weights", tiny).exit_code == 0
    found = exr.File(str(tmp_path / "b.exr")).channels()["RGB"].pixels
    assert found[6, 6].min() > 20
    assert np.abs(found - light)[10:].mean() > 1e-3  # restored


def test_an_exr_becomes_a_tiff_and_a_png_an_exr(tmp_path):
    exr = pytest.importorskip("OpenEXR")
    light = np.full((8, 9, 3), 0.2140, np.float32)
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    exr.File(header, {"RGB": light}).write(str(tmp_path / "a.exr"))
    write(tmp_path / "a.tif", read(tmp_path / "a.exr"))
    assert read(tmp_path / "a.tif").pixels == pytest.approx(0.5, abs=1e-3)
    write(tmp_path / "b.exr", Picture(np.full((8, 9, 3), 128, np.uint8)))
    assert exr.File(str(tmp_path / "b.exr")).channels()["RGB"].pixels == (
        pytest.approx(0.2159, abs=1e-3)
    )


def test_an_exr_without_colour_or_cut_short_is_refused(tmp_path):
    exr = pytest.importorskip("OpenEXR")
    depth = np.zeros((20, 30), np.float32)
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    exr.File(header, {"Z": depth}).write(str(tmp_path / "a.exr"))
    unusable_reason(tmp_path / "a.exr", "has no colour, but Z")
    exr.File(header, {"RGB": noise(20, 30, 3).astype(np.float32)}).write(str(tmp_path / "a.exr"))
    whole = (tmp_path / "a.exr").read_bytes()
    for length in (10, 100, len(whole) // 2):
        (tmp_path / "a.exr").write_bytes(whole[:length])
        unusable_reason(tmp_path / "a.exr", "damaged or cut short")


# --- raw -----------------------------------------------------------------------------------------


def write_dng(path, mosaic, orientation=1):
    """A raw file of a made-up camera with a Bayer mosaic RGGB of 14 bits."""
    tifffile = pytest.importorskip("tifffile")
    rational = [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]
    tags = [
        (274, 3, 1, orientation, True), (271, 2, 5, "Maker", True), (272, 2, 6, "Camera", True),
        (33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([0, 1, 1, 2]), True),
        (50706, 1, 4, bytes([1, 4, 0, 0]), True), (50708, 2, 7, "Camera1", True),
        (50714, 3, 1, 0, True), (50717, 3, 1, 16383, True),
        (50721, 10, 9, rational, True), (50728, 5, 3, [1, 1, 1, 1, 1, 1], True),
        (50778, 3, 1, 21, True),
    ]  # fmt: skip
    tifffile.imwrite(path, mosaic, photometric=32803, extratags=tags, metadata=None, software=False)
    return path


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_raw_file_is_developed_into_sixteen_bits(tiny, tmp_path, orientation):
    pytest.importorskip("rawpy")
    mosaic = np.full((96, 128), 4000, np.uint16)
    mosaic[::2, ::2], mosaic[:, 64:] = 8000, 600  # more red, and dark on the right
    path = write_dng(tmp_path / "a.dng", mosaic, orientation)
    found = read(path)
    assert found.pixels.dtype == np.uint16
    assert found.pixels.shape[:2] == ((96, 128) if orientation == 1 else (128, 96))
    bright = found.pixels[:, :50] if orientation == 1 else found.pixels[:50]
    dark = found.pixels[:, 80:] if orientation == 1 else found.pixels[80:]
    assert bright.mean() > 2 * dark.mean()
    assert found.icc is not None
    assert parsed(found.exif)[271] == "Maker"
    assert parsed(found.exif).get(274, 1) == 1
    assert images.pixel_count(path) == 96 * 128
    assert derain(path, tmp_path / "out/", "--weights", tiny).exit_code == 0
    assert read(tmp_path / "out" / "a.png").pixels.dtype == np.uint16


def test_a_raw_file_that_is_none_is_damaged(tmp_path):
    pytest.importorskip("rawpy")
    (tmp_path / "a.cr3").write_bytes(b"\0\0\0\x18ftypcrx " + bytes(400))
    with pytest.raises(UserError, match=r"a\.cr3: damaged or cut short"):
        read(tmp_path / "a.cr3")
