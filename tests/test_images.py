"""Pictures in and out of files: nothing lost, whatever the format."""

from __future__ import annotations

import struct

import click
import numpy as np
import pytest
import tifffile
from picture_files import (
    EXIF,
    GREY_PROFILE,
    ORIENTATION,
    RGB_PROFILE,
    chunk,
    exif_block,
    noise,
    parsed,
    raw_png,
    same,
    unusable_reason,
)
from PIL import Image, ImageOps

from ssl_restore.io import MAX_PIXELS
from ssl_restore.io.formats import bands as in_bands
from ssl_restore.io.images import Picture, read, write
from ssl_restore.io.picture import to_eight_bits
from ssl_restore_cli import options

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
    transparency = noise(*size, 0, kind, 1) if alpha else None
    if alpha:
        transparency.flat[0] = 0  # the colour under full transparency must survive too
    before = Picture(noise(*size, channels, kind), transparency)
    write(tmp_path / f"a{suffix}", before)
    after = read(tmp_path / f"a{suffix}")
    expected = (
        before.pixels.repeat(3, axis=2) if (suffix, channels) == (".webp", 1) else before.pixels
    )
    assert same(after.pixels, expected)
    assert same(after.alpha, before.alpha)
    assert after.icc is after.exif is None


def test_sixteen_bit_rgb_png_round_trips_exactly(tmp_path):
    before = Picture(noise(64, 48, 3, np.uint16), None, RGB_PROFILE, exif_block()[6:])
    write(tmp_path / "a.png", before)
    after = read(tmp_path / "a.png")
    assert same(after.pixels, before.pixels)
    assert (after.icc, after.exif) == (before.icc, before.exif)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("kind", "channels"), [(np.uint8, 3), (np.uint8, 1), (np.uint16, 3)])
def test_pictures_of_many_bands_round_trip_exactly(tmp_path, monkeypatch, suffix, kind, channels):
    monkeypatch.setattr(in_bands, "BAND_BYTES", 1000)
    ramp = np.add.outer(np.arange(95), 2 * np.arange(61)).astype(kind)[:, :, None]
    before = Picture(ramp.repeat(channels, axis=2) + noise(95, 61, channels, kind) // 64)
    assert len(list(in_bands.bands(before))) > 5
    write(tmp_path / f"a{suffix}", before)
    assert same(read(tmp_path / f"a{suffix}").pixels, before.pixels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
def test_other_readers_see_the_same_eight_bit_png_and_tiff(tmp_path, channels, alpha):
    picture = Picture(noise(20, 31, channels), noise(20, 31, 0, seed=1) if alpha else None)
    expected = picture.pixels
    if alpha:
        expected = np.dstack((expected, picture.alpha))
    for suffix in (".png", ".tif"):
        write(tmp_path / f"a{suffix}", picture)
        with Image.open(tmp_path / f"a{suffix}") as image:
            assert np.array_equal(np.asarray(image), expected.squeeze())
            assert image.getbands() == tuple({1: "L", 3: "RGB"}[channels] + "A" * alpha)


def test_tifffile_sees_the_same_sixteen_bit_tiff(tmp_path):
    picture = Picture(noise(20, 31, 3, np.uint16), noise(20, 31, 0, np.uint16, 1), RGB_PROFILE)
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
        tmp_path / f"a{suffix}",
        Picture(noise(9, 9, channels, kind), None, profile, exif_block()[6:]),
    )
    after = read(tmp_path / f"a{suffix}")
    assert after.icc == (None if (suffix, channels) == (".webp", 1) else profile)
    exif = parsed(after.exif)
    assert exif[271] == "Make of camera"
    assert exif.get_ifd(EXIF)[33434] == pytest.approx(0.005)
    assert exif.get_ifd(34853)[1] == "N"
    assert suffix == ".tif" or after.exif == exif_block()[6:]  # byte for byte, maker notes and all


def test_a_bmp_loses_profile_and_exif_but_is_written(tmp_path):
    write(tmp_path / "a.bmp", Picture(noise(4, 4, 3), None, RGB_PROFILE, exif_block()[6:]))
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
    picture = Picture(noise(64, 64, 3))
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
    pixels = (smooth[:, :, None] + noise(200, 300, 3) % 4).astype(np.uint8)
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
        assert same(read(tmp_path / f"a{suffix}").pixels, pixels)
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
    bits = noise(5, 11, 0) % 2 == 1
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
    key = chunk(b"tRNS", struct.pack(">H", 1))
    (tmp_path / "a.png").write_bytes(raw_png(len(values), 2, depth, 0, [row, row], key))
    picture = read(tmp_path / "a.png")
    peak = 65535 if depth == 16 else 255
    assert picture.pixels[1, :, 0].tolist() == [v * scale for v in values]
    assert picture.alpha[1].tolist() == [0 if v == 1 else peak for v in values]
    assert picture.pixels.dtype == picture.alpha.dtype == (np.uint16 if depth == 16 else np.uint8)


@pytest.mark.parametrize("depth", [8, 16])
def test_an_rgb_png_with_a_key_colour_gets_alpha(tmp_path, depth):
    pixels = noise(3, 4, 3, {8: np.uint8, 16: np.uint16}[depth])
    rows = [row.astype(f">u{depth // 8}").tobytes() for row in pixels]
    key = chunk(b"tRNS", struct.pack(">HHH", *pixels[1, 2].tolist()))
    (tmp_path / "a.png").write_bytes(raw_png(4, 3, depth, 2, rows, key))
    picture = read(tmp_path / "a.png")
    assert same(picture.pixels, pixels)
    assert np.argwhere(picture.alpha == 0).tolist() == [[1, 2]]


def test_the_content_and_not_the_suffix_tells_the_format(tmp_path):
    pixels = noise(8, 8, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert same(read(tmp_path / "a.jpg").pixels, pixels)


@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"bigtiff": True}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_sixteen_bit_tiff_layouts_are_read_alike(tmp_path, options, tile):
    pixels = noise(40, 31, 3, np.uint16)
    tags = [(ORIENTATION, 3, 1, 6, True)]
    options = options | ({"tile": tile, "rowsperstrip": None} if tile else {})
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extratags=tags, **options)
    assert same(read(tmp_path / "a.tif").pixels, np.rot90(pixels, -1))


@pytest.mark.parametrize(
    ("kind", "shape", "options", "words"),
    [
        (np.complex64, (8, 9), {"photometric": "minisblack"}, ["64-bit"]),
        (np.uint8, (8, 9, 5), {"photometric": "rgb", "extrasamples": [2, 0]}, ["5 x 8-bit"]),
    ],
)
def test_a_tiff_that_would_be_read_wrong_is_refused(tmp_path, kind, shape, options, words):
    tifffile.imwrite(tmp_path / "a.tif", np.ones(shape, kind), **options)
    unusable_reason(tmp_path / "a.tif", *words, "save it first as grey or RGB")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize(
    ("extra", "words"),
    [(0, "its last channel is of no stated meaning (RGBX)"),
     (1, "its last channel is premultiplied (associated) alpha")],
)  # fmt: skip
def test_a_channel_that_is_no_plain_alpha_is_refused_by_its_name(
    tmp_path, kind, channels, extra, words
):
    light = "rgb" if channels == 4 else "minisblack"
    options = {"photometric": light, "planarconfig": "contig", "extrasamples": [extra]}
    tifffile.imwrite(tmp_path / "a.tif", np.ones((8, 9, channels), kind), **options)
    unusable_reason(tmp_path / "a.tif", words, "as plain (unassociated) alpha")


@pytest.mark.parametrize("suffix", [".tif", ".png", ".webp"])
def test_several_pages_or_frames_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(noise(8, 8, 3, seed=s)) for s in (0, 1)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    unusable_reason(tmp_path / f"a{suffix}", "several pages or frames")


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
    stored = Picture(noise(5, 7, 3, kind), noise(5, 7, 0, kind, 1), None, exif_block(turn)[6:])
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
    assert same(picture.pixels, UPRIGHT[turn](stored.pixels))
    assert same(picture.alpha, UPRIGHT[turn](stored.alpha))
    assert picture.pixels.flags.c_contiguous
    assert picture.exif is None or parsed(picture.exif).get(ORIENTATION, 1) == 1
    write(tmp_path / f"b{suffix}", picture)
    assert same(read(tmp_path / f"b{suffix}").pixels, picture.pixels)  # not turned twice


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_jpeg_comes_upright_as_pillow_turns_it(tmp_path, turn):
    Image.fromarray(noise(24, 16, 3)).save(tmp_path / "a.jpg", exif=exif_block(turn))
    picture = read(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert np.array_equal(picture.pixels, np.asarray(ImageOps.exif_transpose(image)))
    assert parsed(picture.exif)[ORIENTATION] == 1
    assert parsed(picture.exif)[271] == "Make of camera"


def test_the_thumbnail_of_the_unrestored_picture_is_dropped(tmp_path):
    directory = struct.pack("<HHHLHHL", 1, ORIENTATION, 3, 1, 6, 0, 26)
    thumbnail = struct.pack("<HHHLHHL", 1, 259, 3, 1, 6, 0, 0)
    block = b"II*\0\x08\0\0\0" + directory + thumbnail
    write(tmp_path / "a.jpg", Picture(noise(8, 16, 3), None, None, block))
    picture = read(tmp_path / "a.jpg")
    assert picture.pixels.shape == (16, 8, 3)
    assert picture.exif[18:20] == b"\1\0"
    assert picture.exif[22:26] == bytes(4)


@pytest.mark.parametrize(
    "junk", [b"II*\0", b"II*\0\xff\xff\xff\xff", b"hello", b"MM\0*\0\0\0\x08\xff\xff"]
)
def test_a_broken_exif_block_does_not_stop_the_picture(tmp_path, junk):
    Image.fromarray(noise(8, 9, 3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + junk)
    assert read(tmp_path / "a.jpg").pixels.shape == (8, 9, 3)


def test_exif_after_the_pixels_of_a_png_is_found(tmp_path):
    for depth in (8, 16):
        rows = [bytes(3 * depth // 8)] * 2
        after = chunk(b"eXIf", exif_block(6)[6:])
        (tmp_path / "a.png").write_bytes(raw_png(1, 2, depth, 2, rows, after=after))
        picture = read(tmp_path / "a.png")
        assert picture.pixels.shape == (1, 2, 3)
        assert parsed(picture.exif)[271] == "Make of camera"


def test_the_largest_picture_of_the_commands_is_that_of_the_library():
    command = options.max_pixels(click.Command("read"))
    command = options.max_pixels(click.Command("read"))
    assert [option.default for option in command.params] == [MAX_PIXELS]


def test_sixteen_bits_are_rounded_to_the_nearest_of_eight():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    expected = np.round(levels / 257).astype(np.uint8)
    assert np.array_equal(to_eight_bits(levels), expected)
    assert np.array_equal(to_eight_bits(expected), expected)
