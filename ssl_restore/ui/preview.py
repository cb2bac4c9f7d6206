"""Pictures as a browser shows them: JPEG of full size, made once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
from PIL import Image

from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.clips.reader import Clip
from ssl_restore.io.clips.suffixes import is_clip
from ssl_restore.io.files import replacing
from ssl_restore.io.picture import Picture, to_eight_bits
from ssl_restore.report.album import LONGEST_PX, encoded

QUALITY = 95


def read(path: Path, max_pixels: int) -> Picture:
    """A picture, the first page of a stack, or a frame from the middle of a clip."""
    if is_clip(path):
        return Picture(Clip(path, max_pixels).at(0.5).pixels())
    return next(images.pages(path, max_pixels=max_pixels))


def shown(path: Path, folder: Path, max_pixels: int, size: tuple[int, int] | None = None) -> Path:
    """The JPEG of a picture, in a folder; enlarged to a (height, width) where that is given."""
    status = path.stat()
    key = f"{path}|{status.st_size}|{status.st_mtime_ns}|{size}"
    target = folder / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.jpg"
    if target.is_file():
        return target
    picture = read(path, max_pixels)
    pixels = to_eight_bits(picture.pixels)
    if size is not None and pixels.shape[:2] != size:
        channels = pixels.shape[2]
        pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_CUBIC)
        pixels = pixels.reshape(*size, channels)
    if max(pixels.shape[:2]) > LONGEST_PX:
        raise UserError(f"{path}: a side is longer than a browser shows; download it")
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        temporary.write_bytes(encoded(Picture(pixels, icc=picture.icc), QUALITY))
    return target


def _size(path: Path) -> tuple[int, int]:
    """(height, width), by the head of a file."""
    with Image.open(path) as opened:
        return opened.height, opened.width


def pair(left: Path, right: Path, folder: Path, max_pixels: int) -> tuple[Path, Path]:
    """Two pictures of one scene, the smaller one enlarged to the size of the other."""
    first, second = (shown(path, folder, max_pixels) for path in (left, right))
    sizes = [_size(path) for path in (first, second)]
    if sizes[0] == sizes[1]:
        return first, second
    height, width = max(sizes)
    return (
        shown(left, folder, max_pixels, (height, width)),
        shown(right, folder, max_pixels, (height, width)),
    )
