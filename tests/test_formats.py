"""Formats of files: each is told by its content, and kept at its depth."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
import tifffile
from deraining import derain, names
from picture_files import noise, same, unusable_reason
from PIL import Image, ImageCms
from tiny import save_restorer

from ssl_restore.io import formats, images
from ssl_restore.io.images import Picture, read, write


def smooth(height=48, width=64, kind=np.uint8, channels=3):
    y, x = np.mgrid[:height, :width]
    planes = np.stack([x / width, y / height, (x + y) / (width + height)], axis=2)[:, :, :channels]
    return (planes * np.iinfo(kind).max).astype(kind)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPEG", ".dib", ".avif", ".tiff"])
def test_every_suffix_that_is_written_is_read_again(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, Picture(smooth()))
    found = read(path)
    assert np.abs(found.pixels.astype(int) - smooth()).mean() < 2
    assert found.metadata.source == formats.WRITTEN[suffix.lower()].name
    assert images.pixel_count(path) == 48 * 64


@pytest.mark.parametrize("suffix", [".gif", ".tga", ".ppm", ".qoi", ".jp2"])
def test_what_pillow_reads_is_read(tmp_path, suffix):
    Image.fromarray(smooth()).save(tmp_path / f"a{suffix}")
    found = read(tmp_path / f"a{suffix}")
    assert np.abs(found.pixels.astype(int) - smooth()).mean() < (12 if suffix == ".gif" else 2)
    assert images.pixel_count(tmp_path / f"a{suffix}") == 48 * 64


def test_a_gif_with_transparency_has_alpha(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(tmp_path / "a.gif", transparency=1, comment=b"hello")
    found = read(tmp_path / "a.gif")
    assert found.alpha.tolist() == [[255, 0]]
    assert found.pixels[0, 0].tolist() == [10, 20, 30]
    assert found.metadata.comment == "hello"


def test_an_animation_is_refused(tmp_path):
    frames = [Image.fromarray(noise(8, 8, 3, seed=seed)) for seed in (0, 1)]
    for suffix in (".gif", ".avif"):
        frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
        unusable_reason(tmp_path / f"a{suffix}", "several pages or frames")


@pytest.mark.parametrize("alpha", [False, True])
def test_an_avif_of_ten_bits_keeps_them(tmp_path, alpha):
    deep = smooth(kind=np.uint16) >> 6
    given = np.dstack((deep, deep[:, :, 0])) if alpha else deep
    order = [2, 1, 0, 3][: given.shape[2]]
    options = [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 100]
    (_, packed) = cv2.imencode(".avif", np.ascontiguousarray(given[:, :, order]), options)
    (tmp_path / "a.avif").write_bytes(packed.tobytes())
    found = read(tmp_path / "a.avif")
    assert found.pixels.dtype == np.uint16
    assert np.abs(found.pixels / 65535 - deep / 1023).mean() < 0.002
    assert (found.alpha is not None) == alpha


def test_a_grey_avif_stays_near(tmp_path):
    write(tmp_path / "a.avif", Picture(smooth(channels=1), smooth()[:, :, 1].copy()))
    found = read(tmp_path / "a.avif")
    assert np.abs(found.pixels.mean(axis=2) - smooth(channels=1)[:, :, 0]).mean() < 2
    assert np.abs(found.alpha.astype(int) - smooth()[:, :, 1]).mean() < 2


@pytest.mark.parametrize("most", [1023, 4095, 65535])
@pytest.mark.parametrize(("number", "channels"), [(5, 1), (6, 3)])
def test_a_pnm_of_more_than_eight_bits_keeps_them(tmp_path, most, number, channels):
    values = noise(5, 7, channels, np.uint16).astype(int) % (most + 1)
    head = f"P{number}\n# made by hand\n7 5\n{most}\n".encode()
    (tmp_path / "a.ppm").write_bytes(head + values.astype(">u2").tobytes())
    found = read(tmp_path / "a.ppm").pixels
    assert same(found, np.round(values * (65535 / most)).astype(np.uint16))
    (tmp_path / "a.ppm").write_bytes(head + values.astype(">u2").tobytes()[:-1])
    unusable_reason(tmp_path / "a.ppm", "damaged or cut short")


def test_a_jpeg_2000_of_sixteen_bits_keeps_them(tmp_path):
    deep = smooth(kind=np.uint16)
    lossless = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
    (_, packed) = cv2.imencode(".jp2", deep[:, :, ::-1].copy(), lossless)
    (tmp_path / "a.jp2").write_bytes(packed.tobytes())
    found = read(tmp_path / "a.jp2").pixels
    assert found.dtype == np.uint16
    assert np.abs(found.astype(int) - deep).mean() < 40


def ink_profile():
    """A profile of another colour space than it is used for would be refused: Lab stands for it."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def test_cmyk_goes_through_its_profile(tmp_path, monkeypatch):
    """Of a profile that LittleCMS takes; that of the file is asked, and its words are sRGB."""
    asked = []
    real = ImageCms.profileToProfile

    def convert(image, given, wanted, **options):
        asked.append((image.mode, given.tobytes()[:4] if hasattr(given, "tobytes") else given))
        as_rgb = image.convert("RGB")
        srgb = ImageCms.createProfile("sRGB")
        return real(as_rgb, srgb, wanted, outputMode=options["outputMode"])

    monkeypatch.setattr(ImageCms, "profileToProfile", convert)
    for suffix in (".jpg", ".tif"):
        image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
        image.save(tmp_path / f"a{suffix}", icc_profile=ink_profile())
        found = read(tmp_path / f"a{suffix}")
        assert asked.pop()[0] == "CMYK"
        assert found.icc is None
        assert np.abs(found.pixels.astype(int) - [255, 0, 0]).max() <= 6
        assert found.metadata.jpeg is None


def test_lab_becomes_srgb(tmp_path):
    lab = Image.merge("LAB", [Image.new("L", (8, 8), v) for v in (136, 128, 128)])  # L* 53, grey
    lab.save(tmp_path / "a.tif")
    found = read(tmp_path / "a.tif").pixels
    assert np.ptp(found.astype(int), axis=2).max() <= 3
    assert abs(int(found[0, 0, 0]) - 128) < 5


@pytest.mark.parametrize("first", ["picture", "thumbnail"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_thumbnail_as_another_page_is_left_out(tmp_path, first, kind):
    pixels, small = noise(40, 60, 3, kind), noise(4, 6, 3, kind)
    pages = [(pixels, 0), (small, 1)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for page, subfile in pages if first == "picture" else pages[::-1]:
            tiff.write(page, photometric="rgb", subfiletype=subfile)
    assert same(read(tmp_path / "a.tif").pixels, pixels)


@pytest.mark.parametrize(
    ("others", "count"),
    [([(10, 15)], 1), ([(4, 7)], 1), ([(20, 30)], 2), ([(10, 10)], 2), ([(15, 10)], 2),
     ([(10, 15), (10, 15)], 3)],
)  # fmt: skip
def test_the_second_of_two_pages_is_a_thumbnail_by_shape_and_size_alone(tmp_path, others, count):
    pages = [noise(*size, 3, np.uint8) for size in ((40, 60), *others)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for page in pages:
            tiff.write(page, photometric="rgb")
    assert images.page_count(tmp_path / "a.tif") == count
    found = list(images.pages(tmp_path / "a.tif"))
    assert [one.pixels.shape for one in found] == [page.shape for page in pages[:count]]
    assert same(found[0].pixels, pages[0])


@pytest.mark.parametrize("depth", [8, 16])
def test_an_interlaced_png_is_read_like_another(tmp_path, depth):
    """Adam7 by hand: seven small pictures, one after the other."""
    import struct  # noqa: PLC0415
    import zlib  # noqa: PLC0415

    from picture_files import chunk  # noqa: PLC0415

    pixels = noise(9, 11, 3, {8: np.uint8, 16: np.uint16}[depth])
    starts = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1)]  # fmt: skip
    rows = b""
    for top, left, down, right in starts:
        for row in pixels[top::down, left::right]:
            rows += b"\0" + row.astype(f">u{depth // 8}").tobytes() if row.size else b""
    head = struct.pack(">IIBBBBB", 11, 9, depth, 2, 0, 0, 1)
    whole = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + whole)
    assert same(read(tmp_path / "a.png").pixels, pixels)


def test_a_jpeg_made_of_several_pictures_gives_the_first(tmp_path):
    frames = [Image.fromarray(smooth()), Image.fromarray(noise(48, 64, 3))]
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:], quality=95)
    assert np.abs(read(tmp_path / "a.jpg").pixels.astype(int) - smooth()).mean() < 2


@pytest.mark.parametrize(
    ("name", "start", "module", "package"),
    [
        ("a.CR3", b"\0\0\0\x18ftypcrx ", "rawpy", "rawpy"),
        ("a.dng", b"II*\0\x08\0\0\0", "rawpy", "rawpy"),
        ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "pillow_heif", "pillow-heif"),
        ("a.exr", b"\x76\x2f\x31\x01\2\0\0\0", "OpenEXR", "OpenEXR"),
        ("a.jxl", b"\xff\x0a\xff\0\0\0\0\0\0\0\0\0\0\0", "imagecodecs", "imagecodecs"),
    ],
)
def test_a_missing_package_is_one_line_that_names_the_extra(
    tmp_path, monkeypatch, name, start, module, package
):
    monkeypatch.setitem(sys.modules, module, None)  # what is None cannot be imported
    (tmp_path / name).write_bytes(start + bytes(40))
    unusable_reason(tmp_path / name, f"takes the package {package}; install ssl-restore[formats]")
    assert images.pixel_count(tmp_path / name) in (0, 1 << 18) or name == "a.jxl"


def test_one_picture_of_a_missing_package_leaves_the_others_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    weights = save_restorer(tmp_path / "w.safetensors")
    write(tmp_path / "in.png", Picture(smooth()))
    (tmp_path / "in").mkdir()
    (tmp_path / "in.png").rename(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    result = derain(tmp_path / "in", tmp_path / "out", "--weights", weights)
    assert result.exit_code == 1
    assert "b.heic: HEIC takes the package pillow-heif" in result.stderr
    assert names(tmp_path / "out") == ["a.png"]
