"""What a file says besides its pixels passes through, from every format to every other."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import tifffile
from picture_files import RGB_PROFILE, chunk, exif_block, noise, parsed, raw_png, same
from PIL import Image

from ssl_restore.io.formats import jpeg, png
from ssl_restore.io.images import Picture, read, write
from ssl_restore.io.picture import Metadata

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>rights</x:xmpmeta>"
IPTC = b"\x1c\x02x\x00\tA caption"
PATH = b"8BIM" + struct.pack(">HHL", 2000, 0, 5) + b"path!\0"  # a clipping path, of odd length
RESOURCES = jpeg.with_iptc(IPTC) + PATH
TEXTS = (("Comment", "made at night"), ("Author", "Hanako"), ("Title", "雨"))
COLOUR = ((b"cICP", b"\x09\x10\0\1"), (b"gAMA", struct.pack(">L", 100000)))
SAID = Metadata(XMP, RESOURCES, (300.0, 150.0), TEXTS, COLOUR)
KEPT = {  # what each format holds
    ".png": {"xmp", "photoshop", "dpi", "texts", "colour"},
    ".jpg": {"xmp", "photoshop", "dpi", "comment"},
    ".tif": {"xmp", "photoshop", "dpi"},
    ".webp": {"xmp"},
    ".avif": {"xmp"},
    ".bmp": {"dpi"},
}


def said_by(metadata, name):
    value = getattr(metadata, name)
    return tuple(round(v) for v in value) if name == "dpi" and value else value


@pytest.mark.parametrize("suffix", KEPT)
def test_a_format_keeps_what_it_holds_and_is_written_without_the_rest(tmp_path, suffix):
    write(tmp_path / f"a{suffix}", Picture(noise(16, 16, 3), metadata=SAID))
    found = read(tmp_path / f"a{suffix}").metadata
    for name in ("xmp", "photoshop", "texts", "colour", "comment"):
        if name in KEPT[suffix]:
            assert getattr(found, name) == getattr(SAID, name), name
    tiff = suffix == ".tif"  # whose directory says it, and so its EXIF block does
    if "dpi" in KEPT[suffix] and not tiff:
        assert said_by(found, "dpi") == (300, 150)
    if tiff:
        exif = parsed(read(tmp_path / f"a{suffix}").exif)
        assert (exif[282], exif[283], exif[296], exif[270]) == (300, 150, 2, "made at night")


@pytest.mark.parametrize("first", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("second", [".png", ".jpg", ".tif"])
def test_iptc_xmp_and_resolution_survive_two_formats(tmp_path, first, second):
    write(tmp_path / f"a{first}", Picture(noise(16, 16, 3), None, RGB_PROFILE, metadata=SAID))
    write(tmp_path / f"b{second}", read(tmp_path / f"a{first}"))
    found = read(tmp_path / f"b{second}")
    assert found.metadata.xmp == XMP
    assert found.metadata.photoshop == RESOURCES
    assert found.icc == RGB_PROFILE
    if second != ".tif" and first != ".tif":
        assert said_by(found.metadata, "dpi") == (300, 150)


def test_other_readers_find_it_in_a_jpeg(tmp_path):
    write(tmp_path / "a.jpg", Picture(noise(16, 16, 3), None, None, exif_block()[6:], SAID))
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.info["xmp"] == XMP
        assert image.info["photoshop"][1028] == IPTC
        assert image.info["comment"] == b"made at night"
        assert image.info["dpi"] == (300, 150)
        assert image.getexif()[271] == "Make of camera"


def test_other_readers_find_it_in_a_png(tmp_path):
    write(tmp_path / "a.png", Picture(noise(16, 16, 3), metadata=SAID))
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)
        assert image.info["gamma"] == 1.0
        assert image.text["Title"] == "雨"
        assert image.info["xmp"] == XMP
        assert "IPTC profile" in image.text["Raw profile type iptc"]


def test_other_readers_find_it_in_a_tiff(tmp_path):
    write(tmp_path / "a.tif", Picture(noise(16, 16, 3), None, RGB_PROFILE, metadata=SAID))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        tags = tiff.pages[0].tags
        assert tags["XMP"].value == XMP
        assert tags["IPTCNAA"].value == IPTC
        assert tags["XResolution"].value == (300, 1)
        assert tags["InterColorProfile"].value == RGB_PROFILE


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iTXt packed"])
def test_every_kind_of_text_of_a_png_is_read(tmp_path, kind):
    body = {
        b"tEXt": b"Key\0value",
        b"zTXt": b"Key\0\0" + zlib.compress(b"value"),
        b"iTXt": b"Key\0\0\0en\0Schl\0value",
        b"iTXt packed": b"Key\0\1\0en\0\0" + zlib.compress(b"value"),
    }[kind]
    text = chunk(kind[:4], body)
    for where in ("before", "after"):
        (tmp_path / "a.png").write_bytes(raw_png(1, 1, 8, 0, [b"\7"], **{where: text}))
        assert read(tmp_path / "a.png").metadata.texts == (("Key", "value"),)


def test_a_text_that_unpacks_to_gigabytes_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(png, "_TEXT_LIMIT", 1000)
    text = chunk(b"zTXt", b"Key\0\0" + zlib.compress(bytes(2000)))
    (tmp_path / "a.png").write_bytes(raw_png(1, 1, 8, 0, [b"\7"], text))
    assert read(tmp_path / "a.png").metadata.texts == ()


def test_iptc_of_a_tiff_may_be_whole_numbers(tmp_path):
    numbers = tuple(np.frombuffer(IPTC.ljust(-(-len(IPTC) // 4) * 4, b"\0"), "<u4").tolist())
    tag = (33723, 4, len(numbers), numbers, True)
    tifffile.imwrite(tmp_path / "a.tif", noise(8, 8, 3), photometric="rgb", extratags=[tag])
    assert jpeg.iptc_of(read(tmp_path / "a.tif").metadata.photoshop) == IPTC


def test_thumbnails_of_the_picture_before_are_dropped_from_photoshops_resources(tmp_path):
    thumbnail = b"8BIM" + struct.pack(">HHL", 1036, 0, 4) + b"old!"
    given = Metadata(photoshop=thumbnail + RESOURCES)
    write(tmp_path / "a.jpg", Picture(noise(16, 16, 3), metadata=given))
    assert read(tmp_path / "a.jpg").metadata.photoshop == RESOURCES


def test_resources_larger_than_a_segment_are_put_together_again(tmp_path):
    large = b"8BIM" + struct.pack(">HHL", 2001, 0, 150_000) + bytes(150_000)
    write(tmp_path / "a.jpg", Picture(noise(16, 16, 3), metadata=Metadata(photoshop=large)))
    assert read(tmp_path / "a.jpg").metadata.photoshop == large


def test_a_comment_in_no_known_code_comes_back_byte_for_byte(tmp_path):
    comment = b"caf\xe9 \xff"
    Image.fromarray(noise(16, 16, 3)).save(tmp_path / "a.jpg", comment=comment)
    write(tmp_path / "b.jpg", read(tmp_path / "a.jpg"))
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["comment"] == comment
    write(tmp_path / "c.png", read(tmp_path / "a.jpg"))  # which has no such text
    assert read(tmp_path / "c.png").metadata.comment.startswith("caf")


def test_the_place_on_earth_of_a_tiff_is_kept_unless_the_picture_is_enlarged(tmp_path):
    tags = [(33550, 12, 3, (10.0, 10.0, 0.0), True), (34737, 2, 4, "WGS|", True)]
    tifffile.imwrite(tmp_path / "a.tif", noise(8, 8, 3), photometric="rgb", extratags=tags)
    write(tmp_path / "b.tif", read(tmp_path / "a.tif"))
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.pages[0].tags[33550].value == (10.0, 10.0, 0.0)
        assert tiff.pages[0].tags[34737].value.startswith("WGS")
    given = read(tmp_path / "a.tif")
    assert given.restored(noise(8, 8, 3)).metadata.tags
    assert given.restored(noise(16, 16, 3)).metadata.tags == ()


def test_a_turned_picture_says_so_nowhere_any_more(tmp_path):
    xmp = b'<rdf:Description tiff:Orientation="6"/><tiff:Orientation>6</tiff:Orientation>'
    pixels = noise(16, 24, 3)
    given = Metadata(xmp=xmp, dpi=(300.0, 150.0))
    write(tmp_path / "a.png", Picture(pixels, None, None, exif_block(6)[6:], given))
    found = read(tmp_path / "a.png")
    assert same(found.pixels, np.rot90(pixels, -1))
    assert found.metadata.xmp == xmp.replace(b"6", b"1")
    assert said_by(found.metadata, "dpi") == (150, 300)


# --- JPEG: quantised in half the steps of its source ---------------------------------------------


def photograph(side=128):
    y, x = np.mgrid[:side, :side]
    waves = 127 + 50 * np.sin(x / 9) + 50 * np.cos(y / 7 + x / 20)
    pixels = np.stack([waves, 0.8 * waves + 20, 255 - waves], axis=2)
    return (pixels + noise(side, side, 3) % 16).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [40, 75, 90, 98])
@pytest.mark.parametrize("sampling", [0, 2])
def test_a_jpeg_is_written_in_half_the_steps_of_its_source(tmp_path, quality, sampling):
    Image.fromarray(photograph()).save(tmp_path / "a.jpg", quality=quality, subsampling=sampling)
    picture = read(tmp_path / "a.jpg")
    write(tmp_path / "b.jpg", picture)
    with Image.open(tmp_path / "a.jpg") as before, Image.open(tmp_path / "b.jpg") as after:
        assert after.quantization == halved(before.quantization)
        assert [layer[1:3] for layer in before.layer] == [layer[1:3] for layer in after.layer]
    sizes = [(tmp_path / name).stat().st_size for name in ("a.jpg", "b.jpg")]
    assert sizes[0] < sizes[1] < 2 * sizes[0]
    if sampling == 0:  # what was not touched is nearly as it was
        again, once = read(tmp_path / "b.jpg").pixels.astype(int), picture.pixels.astype(int)
        assert np.abs(again - once).mean() < np.abs(once - photograph()).mean() / 2


def halved(tables):
    return {key: [(step + 1) // 2 for step in table] for key, table in tables.items()}


def test_a_quality_that_is_asked_for_is_taken(tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "a.jpg", quality=40)
    write(tmp_path / "b.jpg", read(tmp_path / "a.jpg"), quality=95)
    Image.fromarray(photograph()).save(tmp_path / "c.jpg", quality=95)
    with Image.open(tmp_path / "b.jpg") as found, Image.open(tmp_path / "c.jpg") as expected:
        assert found.quantization == expected.quantization
        assert [layer[1:3] for layer in found.layer] == [(1, 1)] * 3


def test_a_grey_jpeg_stays_one(tmp_path):
    Image.fromarray(photograph()[:, :, 0]).save(tmp_path / "a.jpg", quality=60)
    write(tmp_path / "b.jpg", read(tmp_path / "a.jpg"))
    with Image.open(tmp_path / "a.jpg") as before, Image.open(tmp_path / "b.jpg") as after:
        assert after.mode == "L"
        assert after.quantization == halved(before.quantization)
