"""TIFF: numbers of every type, stacks of pages, BigTIFF."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from deraining import derain, refused
from picture_files import ORIENTATION, RGB_PROFILE, noise, same, unusable_reason
from PIL import Image
from tiny import pixels, random_restorer, save_restorer

from ssl_restore.errors import UserError
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.formats import bands as in_bands
from ssl_restore.io.formats import tiff_writer
from ssl_restore.io.images import Picture, read, write
from ssl_restore.io.picture import Levels, Metadata, to_eight_bits, to_whole_numbers
from ssl_restore.training import data
from ssl_restore_cli.main import main


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


def numbers(kind, shape=(24, 40, 3), top=None):
    values = np.random.default_rng(0).random(shape)
    low, high = (0, 1) if np.dtype(kind).kind == "f" else (-300, 900)
    if np.dtype(kind).kind == "u":
        low = 0
    return (low + values * ((top or high) - low)).astype(kind)


def photometric(array):
    return "rgb" if array.shape[-1] in (3, 4) else "minisblack"


# --- types of numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "i2", "i4", "u4", ">f4", ">i2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_type_of_number_comes_back_as_it_was(tmp_path, kind, channels):
    top = 100 if kind == "i1" else None
    array = numbers(kind, (24, 40, channels), top).squeeze()
    if kind == "i1":
        array = np.abs(array)
    order = {"byteorder": ">"} if kind[0] == ">" else {}
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=photometric(array), **order)
    picture = read(tmp_path / "a.tif")
    assert picture.pixels.dtype == np.float32
    assert picture.levels.kind == np.dtype(kind).newbyteorder("=").name
    assert (picture.levels.black, picture.levels.white) == (
        (0, 1) if "f" in kind else (min(0, array.min()), array.max())
    )
    write(tmp_path / "b.tif", picture)
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        found = tiff.pages[0].asarray()
        assert found.dtype.newbyteorder("=") == np.dtype(kind).newbyteorder("=")
        np.testing.assert_allclose(found, array, rtol=1e-6, atol=1e-6)
        assert tiff.pages[0].photometric.name == ("RGB" if channels == 3 else "MINISBLACK")
    again = read(tmp_path / "b.tif")
    assert again.levels == picture.levels
    np.testing.assert_allclose(again.pixels, picture.pixels, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 5}, {"bigtiff": True}]
)
def test_floating_point_of_every_layout_is_read(tmp_path, options):
    array = numbers("f4")
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", **options)
    assert same(read(tmp_path / "a.tif").pixels, array)
    assert images.pixel_count(tmp_path / "a.tif") == 24 * 40


@pytest.mark.parametrize("packed", [5, 8, 32946])  # LZW, and Deflate of two kinds
def test_floats_are_read_however_they_are_packed(tmp_path, packed):
    array = numbers("f4")
    options = [cv2.IMWRITE_TIFF_COMPRESSION, packed]
    assert cv2.imwrite(str(tmp_path / "a.tif"), array[:, :, ::-1].copy(), options)
    assert same(read(tmp_path / "a.tif").pixels, array)


def test_separate_planes_and_white_as_nothing_are_read(tmp_path):
    for kind in (np.uint8, np.uint16):
        array = noise(9, 11, 3, kind)
        path = tmp_path / "a.tif"
        planes = np.moveaxis(array, -1, 0)
        tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
        assert same(read(path).pixels, array)
        grey = noise(9, 11, 0, kind)
        tifffile.imwrite(path, grey, photometric="miniswhite")
        assert same(read(path).pixels[:, :, 0], np.iinfo(kind).max - grey)


def test_a_package_that_is_missing_is_named_with_the_extra(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", numbers("i2"), photometric="rgb", compression="zlib")

    def missing(self, *arguments, **options):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", missing)
    unusable_reason(tmp_path / "a.tif", "imagecodecs", "ssl-restore[formats]")
    tifffile.imwrite(tmp_path / "a.tif", numbers("f4"), photometric="rgb", compression="zlib")
    assert same(read(tmp_path / "a.tif").pixels, numbers("f4"))  # OpenCV unpacks it


def test_numbers_that_single_precision_does_not_hold_are_refused(tmp_path):
    array = numbers("u4")
    array[0, 0] = 2**25 + 1
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb")
    unusable_reason(tmp_path / "a.tif", "whole numbers up to 33554433", "save it first as 16 bit")
    tifffile.imwrite(tmp_path / "a.tif", np.full((9, 9), np.nan, "f4"), photometric="minisblack")
    unusable_reason(tmp_path / "a.tif", "all its samples are infinite or no numbers")


def test_alpha_profile_and_metadata_of_floats_are_kept(tmp_path):
    alpha = noise(24, 40, 0).astype(np.float32) / 255
    given = Picture(numbers("f4"), alpha, RGB_PROFILE, None, Metadata(xmp=b"<x/>"),
                    Levels(0, 1, "float32"))  # fmt: skip
    write(tmp_path / "a.tif", given)
    found = read(tmp_path / "a.tif")
    assert same(found.pixels, given.pixels)
    assert same(found.alpha, alpha)
    assert (found.icc, found.metadata.xmp) == (RGB_PROFILE, b"<x/>")


def test_floats_are_not_put_into_what_cannot_hold_them(tmp_path):
    picture = Picture(numbers("f4"), levels=Levels(0, 1, "float32"))
    for suffix in (".png", ".jpg", ".webp"):
        with pytest.raises(UserError, match=r"cannot store float32 samples; save it as .*\.tif"):
            write(tmp_path / f"a{suffix}", picture)


def test_levels_and_their_inverse():
    for levels in (Levels(0, 1, "float32", linear=True), Levels(-300, 900, "float64")):
        values = np.linspace(-2, 5, 1001)[:, None, None]
        stored = levels.stored(levels.shown(values).astype(np.float64))
        np.testing.assert_allclose(stored, values, atol=2e-4)
    assert Levels(0, 1, "float32", linear=True).shown(np.array([0.0, 0.2140, 1.0])) == (
        pytest.approx([0, 0.5, 1], abs=1e-3)
    )
    assert Levels(0, 100, "uint8").stored(np.array([-1.0, 0.5, 9.0])).tolist() == [0, 50, 255]


def test_floats_as_whole_numbers():
    values = np.array([[[-1.0, 0.5, 2.0]], [[np.nan, 1.0, 0.0]]], np.float32)
    assert to_eight_bits(values).tolist() == [[[0, 128, 255]], [[0, 255, 0]]]
    assert to_whole_numbers(values).dtype == np.uint16


# --- restored ------------------------------------------------------------------------------------


def test_floats_are_restored_and_what_lies_beyond_is_kept(tiny, tmp_path):
    array = pixels(24, 40).astype(np.float32) / 255
    array[3, 4], array[5, 6], array[7, 8] = 1.4, -0.3, np.nan
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb")
    assert derain(tmp_path / "a.tif", tmp_path / "b.tif", "--weights", tiny).exit_code == 0
    found = tifffile.imread(tmp_path / "b.tif")
    assert found.dtype == np.float32
    inside = np.nan_to_num(array).clip(0, 1)
    restored = restore(random_restorer(), inside, precision="fp32")
    assert np.isnan(found[7, 8]).all()
    beyond = np.nan_to_num(array - inside)
    valid = ~np.isnan(found)
    expected = np.maximum(restored, 0) + beyond
    np.testing.assert_allclose(found[valid], expected[valid], atol=2e-3)
    assert found[3, 4].min() > 1.2  # not cut off


TASKS = (["derain", "--strength", "2"], ["denoise"], ["dehaze"], ["upscale"])


@pytest.mark.parametrize("call", TASKS, ids=lambda call: call[0])
@pytest.mark.parametrize("low", [0.0, -0.02])
def test_no_float_becomes_darker_than_black_or_than_the_darkest_was(tmp_path, call, low):
    dark = pixels(48, 64).astype(np.float32) / 2550
    dark[::2, ::2] = 0
    tifffile.imwrite(tmp_path / "a.tif", dark + np.float32(low), photometric="rgb")
    paths = [str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]
    result = CliRunner().invoke(main, [*call, *paths, "--precision", "fp32"])
    assert result.exit_code == 0, result.output
    assert tifffile.imread(paths[1]).min() >= np.float32(low)


def test_the_range_that_is_taken_is_said_once(tiny, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(3):
        array = numbers("f4") * 4000
        tifffile.imwrite(tmp_path / "in" / f"{number}.tif", array, photometric="rgb")
    result = derain(tmp_path / "in", tmp_path / "out", "--weights", tiny)
    assert result.exit_code == 0
    assert result.stderr.count("taken for black") == 1
    assert "float32 samples; 0 is taken for black and 399" in result.stderr
    assert tifffile.imread(tmp_path / "out" / "0.tif").max() > 3000


def test_layers_of_floats_are_pictures_of_sixteen_bits(tiny, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", numbers("f4"), photometric="rgb")
    call = (tmp_path / "a.tif", tmp_path / "out/", "--weights", tiny, "--layers", tmp_path / "t")
    assert derain(*call).exit_code == 0
    assert read(tmp_path / "t" / "a.png").pixels.dtype == np.uint16


def test_a_float_goes_to_no_png(tiny, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", numbers("f4"), photometric="rgb")
    message = refused(tmp_path / "a.tif", tmp_path / "b.png", "--weights", tiny)
    assert "PNG cannot store float32 samples" in message


def test_floats_are_denoised_by_what_their_noise_is(tmp_path):
    draws = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96]
    clean = (0.4 + 0.2 * np.sin(x / 17) + 0.1 * np.cos(y / 23))[:, :, None] + np.zeros(3)
    noisy = (clean + draws.normal(0, 0.08, clean.shape)).astype(np.float32)
    for name, scale in (("a", 1.0), ("b", 3000.0)):
        tifffile.imwrite(tmp_path / f"{name}.tif", scale * noisy, photometric="rgb")
        call = ["denoise", str(tmp_path / f"{name}.tif"), str(tmp_path / f"{name}2.tif")]
        result = CliRunner().invoke(main, call)
        assert result.exit_code == 0, result.stderr
        found = tifffile.imread(tmp_path / f"{name}2.tif") / scale
        assert np.abs(found - clean).mean() < 0.4 * np.abs(noisy - clean).mean()
    result = CliRunner().invoke(main, [*call, "--overwrite", "--white", "1023"])
    assert "--white is of whole numbers" in result.stderr


# --- stacks --------------------------------------------------------------------------------------


def stack(path, kind=np.uint16, count=4, **options):
    array = np.stack([noise(20, 30, 0, np.uint8, seed) for seed in range(count)]).astype(kind)
    tifffile.imwrite(path, array, photometric="minisblack", **options)
    return array


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.int16])
@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}])
def test_a_stack_comes_page_by_page_and_goes_back(tmp_path, kind, options):
    array = stack(tmp_path / "a.tif", kind, **options)
    path = tmp_path / "a.tif"
    assert images.page_count(path) == 4
    found = list(images.pages(path))
    assert len(found) == 4
    images.write_pages(tmp_path / "b.tif", iter(found), 4)
    again = tifffile.imread(tmp_path / "b.tif")
    assert again.dtype == kind
    np.testing.assert_allclose(again, array, rtol=1e-6)
    assert images.page_count(tmp_path / "b.tif") == 4
    with Image.open(tmp_path / "b.tif") as image:
        assert image.n_frames == 4


def test_levels_of_a_stack_are_those_of_all_its_pages(tmp_path):
    array = stack(tmp_path / "a.tif", np.float32) * np.arange(1, 5)[:, None, None]
    tifffile.imwrite(tmp_path / "a.tif", array.astype(np.float32), photometric="minisblack")
    assert {page.levels for page in images.pages(tmp_path / "a.tif")} == {
        Levels(0.0, float(array.max()), "float32")
    }


def test_pages_may_differ_in_size_and_turn(tmp_path):
    sizes, turns = [(20, 30), (10, 12), (7, 9)], [1, 6, 3]
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for number, size in enumerate(sizes):
            tag = (ORIENTATION, 3, 1, turns[number], True)
            tiff.write(noise(*size, 3, np.uint16, number), photometric="rgb", extratags=[tag])
    found = [page.pixels for page in images.pages(tmp_path / "a.tif")]
    assert same(found[1], np.rot90(noise(10, 12, 3, np.uint16, 1), -1))
    assert same(found[2], np.rot90(noise(7, 9, 3, np.uint16, 2), 2))


def test_a_stack_is_restored_page_by_page(tiny, tmp_path):
    array = stack(tmp_path / "a.tif", np.uint16) * np.uint16(257)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    result = derain(tmp_path / "a.tif", tmp_path / "b.tif", "--weights", tiny)
    assert result.exit_code == 0, result.stderr
    found = tifffile.imread(tmp_path / "b.tif")
    for page, source in zip(found, array, strict=True):
        expected = restore(random_restorer(), source[:, :, None], precision="fp32")[:, :, 0]
        assert np.abs(page.astype(int) - expected).max() <= 60  # weights are stored in half


def test_a_stack_among_pictures_goes_on_and_fails_alone(tiny, tmp_path):
    (tmp_path / "in").mkdir()
    stack(tmp_path / "in" / "a.tif")
    write(tmp_path / "in" / "b.png", Picture(pixels(24, 40)))
    whole = stack(tmp_path / "in" / "c.tif").nbytes
    data_of = (tmp_path / "in" / "c.tif").read_bytes()
    (tmp_path / "in" / "c.tif").write_bytes(data_of[: whole // 2])
    call = (tmp_path / "in", tmp_path / "out", "--weights", tiny)
    result = derain(*call)
    assert result.exit_code == 1
    assert "c.tif: damaged" in result.stderr
    assert images.page_count(tmp_path / "out" / "a.tif") == 4
    assert not (tmp_path / "out" / "c.tif").exists()
    (tmp_path / "in" / "c.tif").write_bytes(data_of)
    result = derain(*call, "--skip-existing")
    assert "2 exist already" in result.stderr
    assert images.page_count(tmp_path / "out" / "c.tif") == 4


def test_what_holds_one_page_is_refused_for_a_stack(tiny, tmp_path):
    stack(tmp_path / "a.tif")
    message = refused(tmp_path / "a.tif", tmp_path / "b.png", "--weights", tiny)
    assert "b.png: holds one page, not 4; save it as .tif" in message
    call = (tmp_path / "a.tif", tmp_path / "out/", "--weights", tiny, "--layers", tmp_path / "t")
    assert "layers of a stack of pages are not written" in refused(*call)


def test_a_stack_is_many_pictures_to_learn_from(tmp_path):
    stack(tmp_path / "a.tif", np.uint8)
    found = data.load([tmp_path / "a.tif"], patch=16)
    assert len(found.pixels) == 4
    assert found.skipped == ()


def test_pages_that_lead_in_a_circle_end(tmp_path):
    stack(tmp_path / "a.tif", np.uint8, count=2)
    whole = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        first, second = (page.offset for page in tiff.pages)
        count = len(tiff.pages[1].tags)
    whole[second + 2 + 12 * count :][:4] = b""
    at = second + 2 + 12 * count
    whole[at : at + 4] = first.to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(whole)
    assert images.page_count(tmp_path / "a.tif") == 2


# --- BigTIFF -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_what_may_pass_four_gigabytes_is_written_as_bigtiff(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(tiff_writer, "_LARGEST", 1000)
    monkeypatch.setattr(in_bands, "BAND_BYTES", 500)
    exif = Image.Exif()
    exif[271] = "Make of camera"
    exif.get_ifd(34665)[33434] = 0.005
    given = Picture(noise(24, 40, 3, kind), None, RGB_PROFILE, exif.tobytes()[6:])
    write(tmp_path / "a.tif", given)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_bigtiff
        assert np.array_equal(tiff.asarray(), given.pixels)
    found = read(tmp_path / "a.tif")
    assert same(found.pixels, given.pixels)
    assert found.icc == RGB_PROFILE
    assert b"Make of camera" in found.exif
    images.write_pages(tmp_path / "b.tif", iter([given, given]), 2)
    assert len(tifffile.TiffFile(tmp_path / "b.tif").pages) == 2
