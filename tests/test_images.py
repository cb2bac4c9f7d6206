"""Pictures in and out of files: nothing lost, nothing half read, nothing half written."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms, ImageOps

from ssl_restore import encoders, images
from ssl_restore.errors import UserError
from ssl_restore.images import Picture, find, read, to_pixels, to_tensor, write

RGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_PROFILE = RGB_PROFILE[:16] + b"GRAY" + RGB_PROFILE[20:]
EXIF, ORIENTATION = 34665, 274


def _noise(height, width, channels, kind=np.uint8, seed=0):
    top = np.iinfo(kind).max + 1
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, top, shape, dtype=kind)


def _exif(orientation=1):
    exif = Image.Exif()
    exif[271], exif[ORIENTATION] = "Make of camera", orientation
    exif.get_ifd(EXIF)[33434] = 0.005  # exposure time, s
    exif.get_ifd(34853)[1] = "N"
    return exif.tobytes()


def _parsed(block):
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + block)
    return exif


def _chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _raw_png(width, height, depth, kind, rows, before=b"", after=b""):
    """A PNG made by hand from its packed rows."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = _chunk(b"IHDR", header) + before + _chunk(b"IDAT", data) + after
    return b"\x89PNG\r\n\x1a\n" + chunks + _chunk(b"IEND", b"")


def _same(a, b):
    return a is b is None or (a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b))


def _refusal(path, *words, **options):
    """The message of the refusal: one line that names the file and holds the words."""
    with pytest.raises(UserError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


# --- round trips ---------------------------------------------------------------------------------

LOSSLESS = [
    (suffix, kind, channels, alpha)
    for suffix in (".png", ".tif", ".tiff", ".webp", ".bmp")
    for kind in (np.uint8, np.uint16)
    for channels in (1, 3)
    for alpha in (False, True)
    if not (suffix in (".webp", ".bmp") and kind is np.uint16)
    and not (suffix == ".bmp" and alpha)
    and not (suffix[:4] == ".tif" and kind is np.uint16 and channels == 1 and alpha)
]


@pytest.mark.parametrize(("suffix", "kind", "channels", "alpha"), LOSSLESS)
@pytest.mark.parametrize("size", [(37, 53), (1, 1)])
def test_lossless_formats_round_trip_exactly(tmp_path, suffix, kind, channels, alpha, size):
    transparency = _noise(*size, 0, kind, 1) if alpha else None
    if alpha:
        transparency.flat[0] = 0  # the colour under full transparency must survive too
    before = Picture(_noise(*size, channels, kind), transparency)
    write(tmp_path / f"a{suffix}", before)
    after = read(tmp_path / f"a{suffix}")
    expected = (
        before.pixels.repeat(3, axis=2) if (suffix, channels) == (".webp", 1) else before.pixels
    )
    assert _same(after.pixels, expected)
    assert _same(after.alpha, before.alpha)
    assert after.icc is after.exif is None


def test_sixteen_bit_rgb_png_round_trips_exactly(tmp_path):
    before = Picture(_noise(64, 48, 3, np.uint16), None, RGB_PROFILE, _exif()[6:])
    write(tmp_path / "a.png", before)
    after = read(tmp_path / "a.png")
    assert _same(after.pixels, before.pixels)
    assert (after.icc, after.exif) == (before.icc, before.exif)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("kind", "channels"), [(np.uint8, 3), (np.uint8, 1), (np.uint16, 3)])
def test_pictures_of_many_bands_round_trip_exactly(tmp_path, monkeypatch, suffix, kind, channels):
    monkeypatch.setattr(encoders, "_BAND", 1000)
    monkeypatch.setattr(encoders._bands, "__defaults__", (1000,))
    ramp = np.add.outer(np.arange(95), 2 * np.arange(61)).astype(kind)[:, :, None]
    before = Picture(ramp.repeat(channels, axis=2) + _noise(95, 61, channels, kind) // 64)
    assert len(list(encoders._bands(before))) > 5
    write(tmp_path / f"a{suffix}", before)
    assert _same(read(tmp_path / f"a{suffix}").pixels, before.pixels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
def test_other_readers_see_the_same_eight_bit_png_and_tiff(tmp_path, channels, alpha):
    picture = Picture(_noise(20, 31, channels), _noise(20, 31, 0, seed=1) if alpha else None)
    expected = picture.pixels
    if alpha:
        expected = np.dstack((expected, picture.alpha))
    for suffix in (".png", ".tif"):
        write(tmp_path / f"a{suffix}", picture)
        with Image.open(tmp_path / f"a{suffix}") as image:
            assert np.array_equal(np.asarray(image), expected.squeeze())
            assert image.getbands() == tuple({1: "L", 3: "RGB"}[channels] + "A" * alpha)


def test_tifffile_sees_the_same_sixteen_bit_tiff(tmp_path):
    picture = Picture(_noise(20, 31, 3, np.uint16), _noise(20, 31, 0, np.uint16, 1), RGB_PROFILE)
    write(tmp_path / "a.tif", picture)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages[0]
        assert page.tags["InterColorProfile"].value == RGB_PROFILE
        assert page.extrasamples == (2,)
        assert page.photometric.name == "RGB"


@pytest.mark.parametrize(
    ("suffix", "kind", "channels"),
    [
        *((s, np.uint8, c) for s in (".png", ".tif", ".jpg", ".webp") for c in (1, 3)),
        *((s, np.uint16, c) for s in (".png", ".tif") for c in (1, 3)),
    ],
)
def test_profile_and_exif_are_kept(tmp_path, suffix, kind, channels):
    profile = GREY_PROFILE if channels == 1 else RGB_PROFILE
    write(
        tmp_path / f"a{suffix}", Picture(_noise(9, 9, channels, kind), None, profile, _exif()[6:])
    )
    after = read(tmp_path / f"a{suffix}")
    assert after.icc == (None if (suffix, channels) == (".webp", 1) else profile)
    exif = _parsed(after.exif)
    assert exif[271] == "Make of camera"
    assert exif.get_ifd(EXIF)[33434] == pytest.approx(0.005)
    assert exif.get_ifd(34853)[1] == "N"
    assert suffix == ".tif" or after.exif == _exif()[6:]  # byte for byte, maker notes and all


def test_a_bmp_loses_profile_and_exif_but_is_written(tmp_path):
    write(tmp_path / "a.bmp", Picture(_noise(4, 4, 3), None, RGB_PROFILE, _exif()[6:]))
    after = read(tmp_path / "a.bmp")
    assert after.icc is after.exif is None


def test_a_jpeg_is_written_without_chroma_subsampling(tmp_path):
    chequer = np.indices((32, 32)).sum(0) % 2
    pixels = np.stack([chequer * 255, 255 - chequer * 255, chequer * 0], axis=2).astype(np.uint8)
    write(tmp_path / "a.jpg", Picture(pixels))
    with Image.open(tmp_path / "a.jpg") as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3
    assert np.abs(read(tmp_path / "a.jpg").pixels.astype(int) - pixels).mean() < 12


def test_a_higher_jpeg_quality_is_nearer_and_larger(tmp_path):
    picture = Picture(_noise(64, 64, 3))
    errors, sizes = [], []
    for quality in (50, 95):
        write(tmp_path / "a.jpg", picture, quality=quality)
        errors.append(np.abs(read(tmp_path / "a.jpg").pixels.astype(int) - picture.pixels).mean())
        sizes.append((tmp_path / "a.jpg").stat().st_size)
    assert errors[1] < errors[0] / 2
    assert sizes[1] > sizes[0]


def test_the_png_is_no_larger_than_pillows(tmp_path):
    y, x = np.mgrid[:200, :300]
    smooth = 127 + 60 * np.sin(x / 31) + 60 * np.cos(y / 17 + x / 50)
    pixels = (smooth[:, :, None] + _noise(200, 300, 3) % 4).astype(np.uint8)
    write(tmp_path / "a.png", Picture(pixels))
    Image.fromarray(pixels).save(tmp_path / "b.png")
    ours, theirs = ((tmp_path / name).stat().st_size for name in ("a.png", "b.png"))
    assert ours < 1.1 * theirs


# --- what decoders give -------------------------------------------------------------------------


def test_a_palette_becomes_rgb(tmp_path):
    pixels = np.array([[[255, 0, 0], [0, 128, 0]], [[0, 0, 7], [255, 0, 0]]], np.uint8)
    for suffix in (".png", ".bmp", ".tif"):
        image = Image.fromarray(pixels).quantize(4)
        assert image.mode == "P"
        image.save(tmp_path / f"a{suffix}")
        assert _same(read(tmp_path / f"a{suffix}").pixels, pixels)
        assert read(tmp_path / f"a{suffix}").alpha is None


def test_a_palette_with_transparency_becomes_rgb_with_alpha(tmp_path):
    image = Image.new("P", (2, 2))
    image.putdata([0, 1, 2, 1])
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "a.png", transparency=bytes([255, 0, 128]))
    picture = read(tmp_path / "a.png")
    assert picture.pixels[0].tolist() == [[10, 20, 30], [40, 50, 60]]
    assert picture.alpha.tolist() == [[255, 0], [128, 0]]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_one_bit_becomes_black_and_white(tmp_path, suffix):
    bits = _noise(5, 11, 0) % 2 == 1
    Image.fromarray(bits).save(tmp_path / f"a{suffix}")
    picture = read(tmp_path / f"a{suffix}")
    assert np.array_equal(picture.pixels.reshape(5, 11, -1)[:, :, 0], bits * np.uint8(255))


def test_a_cmyk_jpeg_becomes_rgb_without_its_profile(tmp_path):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan: red
    image.save(tmp_path / "a.jpg", quality=100, icc_profile=b"\0" * 16 + b"CMYK" + b"\0" * 108)
    picture = read(tmp_path / "a.jpg")
    assert picture.icc is None
    assert np.abs(picture.pixels.astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize(("depth", "scale"), [(1, 255), (2, 85), (4, 17), (8, 1), (16, 1)])
def test_a_grey_png_of_any_depth_with_a_key_gets_alpha(tmp_path, depth, scale):
    values = [1, 0] if depth == 1 else [1, 0, 3, 2]
    bits = "".join(f"{v:0{depth}b}" for v in values)
    row = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    key = _chunk(b"tRNS", struct.pack(">H", 1))
    (tmp_path / "a.png").write_bytes(_raw_png(len(values), 2, depth, 0, [row, row], key))
    picture = read(tmp_path / "a.png")
    peak = 65535 if depth == 16 else 255
    assert picture.pixels[1, :, 0].tolist() == [v * scale for v in values]
    assert picture.alpha[1].tolist() == [0 if v == 1 else peak for v in values]
    assert picture.pixels.dtype == picture.alpha.dtype == (np.uint16 if depth == 16 else np.uint8)


@pytest.mark.parametrize("depth", [8, 16])
def test_an_rgb_png_with_a_key_colour_gets_alpha(tmp_path, depth):
    pixels = _noise(3, 4, 3, {8: np.uint8, 16: np.uint16}[depth])
    rows = [row.astype(f">u{depth // 8}").tobytes() for row in pixels]
    key = _chunk(b"tRNS", struct.pack(">HHH", *pixels[1, 2].tolist()))
    (tmp_path / "a.png").write_bytes(_raw_png(4, 3, depth, 2, rows, key))
    picture = read(tmp_path / "a.png")
    assert _same(picture.pixels, pixels)
    assert np.argwhere(picture.alpha == 0).tolist() == [[1, 2]]


def test_the_content_and_not_the_suffix_tells_the_format(tmp_path):
    pixels = _noise(8, 8, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert _same(read(tmp_path / "a.jpg").pixels, pixels)


@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"bigtiff": True}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_sixteen_bit_tiff_layouts_are_read_alike(tmp_path, options, tile):
    pixels = _noise(40, 31, 3, np.uint16)
    tags = [(ORIENTATION, 3, 1, 6, True)]
    options = options | ({"tile": tile, "rowsperstrip": None} if tile else {})
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extratags=tags, **options)
    assert _same(read(tmp_path / "a.tif").pixels, np.rot90(pixels, -1))


@pytest.mark.parametrize(
    ("kind", "shape", "options", "words"),
    [
        (np.float32, (8, 9, 3), {"photometric": "rgb"}, ["32-bit floating point"]),
        (np.float32, (8, 9), {"photometric": "minisblack"}, ["32-bit floating point"]),
        (np.int16, (8, 9), {"photometric": "minisblack"}, ["16-bit signed"]),
        (np.uint32, (8, 9), {"photometric": "minisblack"}, ["32-bit whole"]),
        (np.uint16, (3, 8, 9), {"photometric": "rgb", "planarconfig": "separate"}, ["planes 2"]),
        (np.uint16, (8, 9), {"photometric": "miniswhite"}, ["photometric 0"]),
        (
            *(np.uint16, (8, 9, 4)),
            {"photometric": "rgb", "extrasamples": ["assocalpha"]},
            ["extra (1,)"],
        ),
        (np.uint8, (8, 9, 5), {"photometric": "rgb", "extrasamples": [2, 0]}, ["5 x 8-bit"]),
    ],
)
def test_a_tiff_that_would_be_read_wrong_is_refused(tmp_path, kind, shape, options, words):
    tifffile.imwrite(tmp_path / "a.tif", np.ones(shape, kind), **options)
    _refusal(tmp_path / "a.tif", *words, "save it first as 8 or 16 bit")


@pytest.mark.parametrize("suffix", [".tif", ".png", ".webp"])
def test_several_pages_or_frames_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(_noise(8, 8, 3, seed=s)) for s in (0, 1)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    _refusal(tmp_path / f"a{suffix}", "several pages or frames")


# --- orientation --------------------------------------------------------------------------------

UPRIGHT = {  # EXIF orientation -> what turns the stored array upright
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        *((suffix, np.uint8) for suffix in (".png", ".webp", ".tif")),
        *((suffix, np.uint16) for suffix in (".png", ".tif")),
    ],
)
def test_all_eight_orientations_come_upright_with_their_alpha(tmp_path, turn, suffix, kind):
    stored = Picture(_noise(5, 7, 3, kind), _noise(5, 7, 0, kind, 1), None, _exif(turn)[6:])
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(
            *(path, np.dstack((stored.pixels, stored.alpha))),
            photometric="rgb",
            extrasamples=["unassalpha"],
            extratags=[(ORIENTATION, 3, 1, turn, True)],
        )
    else:
        write(path, stored)
    picture = read(path)
    assert _same(picture.pixels, UPRIGHT[turn](stored.pixels))
    assert _same(picture.alpha, UPRIGHT[turn](stored.alpha))
    assert picture.pixels.flags.c_contiguous
    assert picture.exif is None or _parsed(picture.exif).get(ORIENTATION, 1) == 1
    write(tmp_path / f"b{suffix}", picture)
    assert _same(read(tmp_path / f"b{suffix}").pixels, picture.pixels)  # not turned twice


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_jpeg_comes_upright_as_pillow_turns_it(tmp_path, turn):
    Image.fromarray(_noise(24, 16, 3)).save(tmp_path / "a.jpg", exif=_exif(turn))
    picture = read(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert np.array_equal(picture.pixels, np.asarray(ImageOps.exif_transpose(image)))
    assert _parsed(picture.exif)[ORIENTATION] == 1
    assert _parsed(picture.exif)[271] == "Make of camera"


def test_the_thumbnail_of_the_unrestored_picture_is_dropped(tmp_path):
    directory = struct.pack("<HHHLHHL", 1, ORIENTATION, 3, 1, 6, 0, 26)
    thumbnail = struct.pack("<HHHLHHL", 1, 259, 3, 1, 6, 0, 0)
    block = b"II*\0\x08\0\0\0" + directory + thumbnail
    write(tmp_path / "a.jpg", Picture(_noise(8, 16, 3), None, None, block))
    picture = read(tmp_path / "a.jpg")
    assert picture.pixels.shape == (16, 8, 3)
    assert picture.exif[18:20] == b"\1\0"
    assert picture.exif[22:26] == bytes(4)


@pytest.mark.parametrize(
    "junk", [b"II*\0", b"II*\0\xff\xff\xff\xff", b"hello", b"MM\0*\0\0\0\x08\xff\xff"]
)
def test_a_broken_exif_block_does_not_stop_the_picture(tmp_path, junk):
    Image.fromarray(_noise(8, 9, 3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + junk)
    assert read(tmp_path / "a.jpg").pixels.shape == (8, 9, 3)


def test_exif_after_the_pixels_of_a_png_is_found(tmp_path):
    for depth in (8, 16):
        rows = [bytes(3 * depth // 8)] * 2
        after = _chunk(b"eXIf", _exif(6)[6:])
        (tmp_path / "a.png").write_bytes(_raw_png(1, 2, depth, 2, rows, after=after))
        picture = read(tmp_path / "a.png")
        assert picture.pixels.shape == (1, 2, 3)
        assert _parsed(picture.exif)[271] == "Make of camera"


# --- faults in reading --------------------------------------------------------------------------


def test_a_missing_file_a_folder_and_an_empty_file_are_told_apart(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    _refusal(tmp_path / "none.png", "no such file")
    _refusal(tmp_path / "folder.png", "is a folder")
    _refusal(tmp_path / "empty.png", "is empty")


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no device files here")
def test_a_device_is_refused_and_not_read_for_ever():
    with pytest.raises(UserError, match="not a regular file"):
        read("/dev/zero")


@pytest.mark.parametrize(
    "content",
    [b"rain, rain, go away", b"GIF89a" + bytes(30), b"\x89", b"RIFF\0\0\0\0WAVE", b"\0" * 99],
)
def test_what_is_not_a_picture_is_refused(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    _refusal(tmp_path / "a.png", "not a PNG, JPEG, TIFF, WebP or BMP", "convert it")


def test_a_camera_raw_file_is_refused_though_its_thumbnail_is_a_tiff(tmp_path):
    write(tmp_path / "a.tif", Picture(_noise(8, 8, 3)))
    (tmp_path / "a.tif").rename(tmp_path / "a.NEF")
    _refusal(tmp_path / "a.NEF", "developed")


def _files(tmp_path):
    y, x = np.mgrid[:90, :120]
    pixels = np.stack([x * 2, y * 2, x + y], axis=2).astype(np.uint8) + _noise(90, 120, 3) // 16
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
        _refusal(path)
    for cut in range(1, 16):  # so near the end all pixels may be there: then all must be right
        path.write_bytes(whole[:-cut])
        with contextlib.suppress(UserError):
            assert _same(read(path).pixels, good.pixels), cut


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
        _refusal(path)


def test_a_wrong_png_checksum_is_an_error_even_where_a_decoder_ignores_it(tmp_path):
    whole = _raw_png(1, 2, 8, 2, [bytes(3)] * 2)
    (tmp_path / "a.png").write_bytes(whole[:-13] + bytes([whole[-13] ^ 1]) + whole[-12:])
    _refusal(tmp_path / "a.png", "wrong checksum of chunk b'IDAT'")


def test_missing_tiff_strips_are_found_before_a_decoder_talks_about_them(tmp_path, capfd):
    write(tmp_path / "a.tif", Picture(_noise(30, 40, 3, np.uint16)))
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-1])
    _refusal(tmp_path / "a.tif", "its samples lie beyond its end")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("depth", [8, 16])
def test_a_bomb_is_refused_before_decoding(tmp_path, depth, monkeypatch):
    (tmp_path / "bomb.png").write_bytes(_raw_png(60_000, 50_000, depth, 2, [bytes(1000)]))
    decoded = []
    monkeypatch.setattr(images, "_decode_8_bit", lambda *a: decoded.append(a))
    monkeypatch.setattr(images, "_decode_16_bit", lambda *a: decoded.append(a))
    _refusal(tmp_path / "bomb.png", "3000.0 Mpixel", "limit of 200.0", "--max-pixels 3000000000")
    assert not decoded


def test_the_pixel_limit_is_the_largest_allowed_size(tmp_path):
    for suffix in (".png", ".jpg", ".tif", ".webp", ".bmp"):
        write(tmp_path / f"a{suffix}", Picture(_noise(10, 11, 3)))
        assert images.pixel_count(tmp_path / f"a{suffix}") == 110
        assert read(tmp_path / f"a{suffix}", max_pixels=110).pixels.shape == (10, 11, 3)
        _refusal(tmp_path / f"a{suffix}", "--max-pixels 110", max_pixels=109)


def test_pillows_own_limit_stops_only_webp_and_neither_warns_nor_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    for suffix in (".png", ".jpg", ".tif", ".webp", ".bmp"):
        write(tmp_path / f"a{suffix}", Picture(_noise(10, 11, 3)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if suffix == ".webp":
                _refusal(tmp_path / "a.webp", "too large for a WebP", "PNG")
            else:
                assert read(tmp_path / f"a{suffix}").pixels.shape == (10, 11, 3)
    assert Image.MAX_IMAGE_PIXELS == 5


def test_pictures_are_read_in_threads(tmp_path):
    pictures = [Picture(_noise(30, 30, 3, seed=s)) for s in range(8)]
    for index, picture in enumerate(pictures):
        write(tmp_path / f"{index}.png", picture)
    right = []

    def check(index):
        right.append(_same(read(tmp_path / f"{index}.png").pixels, pictures[index].pixels))

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
    write(path, Picture(_noise(8, 8, 3)))
    old = path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left.*kept as it was"):
        write(path, Picture(_noise(64, 64, 3)))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes there")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_a_disk_that_fills_up_in_the_middle_leaves_the_old_file(tmp_path, suffix):
    import resource  # noqa: PLC0415  not on Windows

    path = tmp_path / f"a{suffix}"
    write(path, Picture(_noise(8, 8, 3)))
    old = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"File too large.*kept as it was"):
            write(path, Picture(_noise(300, 300, 3)))
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
        write(tmp_path / "a.jpg", Picture(_noise(4, 4, 3)), quality=quality)


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
    assert _same(to_pixels(tensor, pixels), pixels)


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
    before = Picture(_noise(16, 12, 3, np.uint16), _noise(16, 12, 0, np.uint16, 1), RGB_PROFILE)
    write(tmp_path / "a.png", before)
    middle = read(tmp_path / "a.png")
    after = to_pixels(to_tensor(middle.pixels), middle.pixels)
    write(tmp_path / "b.png", Picture(after, middle.alpha, middle.icc, middle.exif))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
