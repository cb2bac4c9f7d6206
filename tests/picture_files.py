"""Pictures made by hand, and what tests of their files ask."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from ssl_restore.errors import UserError
from ssl_restore.io.images import read

RGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_PROFILE = RGB_PROFILE[:16] + b"GRAY" + RGB_PROFILE[20:]
EXIF, ORIENTATION = 34665, 274


def noise(height, width, channels, kind=np.uint8, seed=0):
    top = np.iinfo(kind).max + 1
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, top, shape, dtype=kind)


def exif_block(orientation=1):
    exif = Image.Exif()
    exif[271], exif[ORIENTATION] = "Make of camera", orientation
    exif.get_ifd(EXIF)[33434] = 0.005  # exposure time, s
    exif.get_ifd(34853)[1] = "N"
    return exif.tobytes()


def parsed(block):
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + block)
    return exif


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def raw_png(width, height, depth, kind, rows, before=b"", after=b""):
    """A PNG made by hand from its packed rows."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = chunk(b"IHDR", header) + before + chunk(b"IDAT", data) + after
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def same(a, b):
    return a is b is None or (a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b))


def unusable_reason(path, *words, **options):
    """The message of the refusal: one line that names the file and holds the words."""
    with pytest.raises(UserError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for word in words:
        assert word in message
    return message
