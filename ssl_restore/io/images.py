"""Reading and writing pictures so that nothing is lost: size, bit depth, alpha, ICC profile, EXIF.

8-bit files are decoded by Pillow and 16-bit ones, of which Pillow reads no colour, by OpenCV.

Not kept: resolution outside EXIF, XMP and text blocks, PNG gAMA/cHRM, palettes (they become RGB),
the EXIF thumbnail (it shows the picture before restoration), the profile of a CMYK file.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from torch import Tensor

from ssl_restore.errors import UserError
from ssl_restore.io import MAX_PIXELS, encoders
from ssl_restore.io.files import replacing
from ssl_restore.io.picture import Picture, Pixels

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
FORMATS |= {".webp": "WebP", ".bmp": "BMP"}


class _Tiff(TiffImageFile):
    def load_prepare(self) -> None:  # Pillow's asks the global limit again
        ImageFile.ImageFile.load_prepare(self)


# First bytes, and the class that opens it: Image.open has a pixel limit in a global of its own.
_KINDS: dict[str, tuple[bytes, Any]] = {
    "PNG": (rb"\x89PNG\r\n\x1a\n", PngImageFile),
    "JPEG": (rb"\xff\xd8\xff", JpegImageFile),
    "TIFF": (rb"II[*+]\0|MM\0[*+]", _Tiff),
    "WebP": (rb"RIFF....WEBP", WebPImageFile),
    "BMP": (rb"BM", BmpImageFile),
}
# What Pillow decoded -> what is kept; a key colour is turned into alpha apart.
_MODES = {"1": "L", "L": "L", "LA": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA"}
_MODES |= {"CMYK": "RGB", "YCbCr": "RGB"}
# What decoders raise on broken files, and encoders on what they cannot hold.
_CODEC = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError)
_ERRORS = (*_CODEC, struct.error, zlib.error, cv2.error)


def read(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in a PNG, JPEG, TIFF, WebP or BMP file, told by its content, turned upright.

    UserError, naming the file and the remedy, when it is missing, damaged, cut short, larger than
    `max_pixels` (refused before decoding), or holds what a Picture cannot: floating point,
    several pages or frames, channels besides colour and alpha.
    """
    path = Path(path)
    data = _load(path)
    form = next((f for f, (s, _) in _KINDS.items() if re.match(s, data, re.DOTALL)), None)
    if form is None or (form == "TIFF" and FORMATS.get(path.suffix.lower()) != "TIFF"):
        camera = " (a camera's raw file must be developed)" if form else ""
        raise UserError(f"{path}: not a PNG, JPEG, TIFF, WebP or BMP picture; convert it{camera}")
    try:
        return _decode(path, data, form, max_pixels)
    except Image.DecompressionBombError as error:  # Pillow's limit, which WebP alone still asks
        raise UserError(f"{path}: too large for a WebP; convert it to PNG ({error})") from error
    except _ERRORS as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"{path}: damaged or cut short ({reason}); fetch it again") from error


def pixel_count(path: Path) -> int:
    """Pixels of a picture by the head of its file; 0 where `read` would refuse it."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
            form = next(c for s, c in _KINDS.values() if re.match(s, start, re.DOTALL))
            file.seek(0)
            width, height = form(file).size
    except (*_ERRORS, StopIteration):
        return 0
    return int(width * height)


def _load(path: Path) -> bytes:
    if not path.is_file():
        what = "no such file; check the spelling" if not path.exists() else "not a regular file"
        raise UserError(f"{path}: {'is a folder; name a picture in it' if path.is_dir() else what}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    if not data:
        raise UserError(f"{path}: is empty; fetch it again")
    return data


def _decode(path: Path, data: bytes, form: str, max_pixels: int) -> Picture:
    deep, turn, chunks = False, 1, dict[bytes, bytes]()
    if form == "TIFF":  # with its orientation tag at 1, no version of a decoder turns it too
        turn, data = _turned_upright(data)
        deep = _is_16_bit_tiff(path, data)
    image: ImageFile.ImageFile = _KINDS[form][1](io.BytesIO(data), str(path))
    width, height = image.size
    if width * height > max_pixels:
        raise UserError(
            f"{path}: {width} x {height} is {width * height / 1e6:.1f} Mpixel, over the limit of "
            f"{max_pixels / 1e6:.1f}; if there is memory for it, `max_pixels={width * height}`"
        )
    if form != "JPEG" and getattr(image, "n_frames", 1) > 1:
        raise UserError(f"{path}: holds several pages or frames; save each as a file of its own")
    if form == "PNG":
        chunks = _png_chunks(data)
        deep = data[24] == 16
    if deep:
        grey = not image.mode.startswith("RGB") or (form == "PNG" and data[25] in (0, 4))
        array = _decode_16_bit(data, image.size, grey)
    else:
        array = _decode_8_bit(path, image)
    pixels, alpha = array, None
    key = image.info.get("transparency") if image.mode in ("1", "L", "I;16", "I", "RGB") else None
    if array.shape[2] in (2, 4):
        pixels, alpha = array[:, :, :-1], array[:, :, -1]
    if key is not None:  # Pillow leaves the key of a 2 or 4 bit grey unscaled
        key = key * {2: 85, 4: 17}.get(data[24], 1) if isinstance(key, int) else key
        alpha = (pixels != key).any(axis=2) * np.array(np.iinfo(pixels.dtype).max, pixels.dtype)
    exif = _tiff_exif(image) if form == "TIFF" else chunks.get(b"eXIf") or image.info.get("exif")
    exif = (exif or b"").removeprefix(b"Exif\0\0")
    if form != "TIFF":
        turn, exif = _turned_upright(exif, thumbnail=False)
    icc = image.info.get("icc_profile") if image.mode != "CMYK" else None
    upright = (_turned(pixels, turn), None if alpha is None else _turned(alpha, turn))
    return Picture(*upright, icc or None, exif or None)


def _decode_8_bit(path: Path, image: ImageFile.ImageFile) -> Pixels:
    """(H, W, 1 to 4): grey, grey and alpha, RGB or RGBA."""
    mode = _MODES.get(image.mode)
    if mode is None:
        raise UserError(f"{path}: {image.mode!r} samples; save it as 8 or 16 bit grey or RGB first")
    if image.mode == "P" and "transparency" in image.info:
        mode = "RGBA"
    image.load()
    array = np.asarray(image if image.mode == mode else image.convert(mode))
    return array if array.ndim == 3 else array[:, :, None]


def _decode_16_bit(data: bytes, size: tuple[int, int], grey: bool) -> Pixels:
    array: Pixels | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16 or array.shape[1::-1] != size:
        raise ValueError("the 16-bit samples do not decode")
    if array.ndim == 2:
        return array[:, :, None]
    if grey:  # with alpha: OpenCV repeats the grey
        return array[:, :, 2:] if array.shape[2] == 4 else array[:, :, :1]
    return cv2.cvtColor(array, [cv2.COLOR_BGR2RGB, cv2.COLOR_BGRA2RGBA][array.shape[2] - 3])


def _is_16_bit_tiff(path: Path, data: bytes) -> bool:
    """Whether it has 16 bits.  OpenCV returns garbage without a word for what is refused here."""
    tags: Any = ImageFileDirectory_v2(data[: 16 if 43 in data[2:4] else 8])
    if tags.next >= len(data):
        raise ValueError("its directory lies beyond its end")
    stream = io.BytesIO(data)
    stream.seek(tags.next)
    tags.load(stream)
    bits, numbers, light = tags.get(258, (1,)), tags.get(339, (1,)), tags.get(262)
    samples, planes, extra = tags.get(277, 1), tags.get(284, 1), tags.get(338, (2,))
    extras = samples - {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}.get(light, samples)
    deep = bool(bits[0] == 16)
    sane = set(numbers) <= {1, 4} and len(set(bits)) == 1 and bits[0] in (1, 2, 4, 8, 16)
    sane &= extras == 0 or (extras == 1 and extra == (2,))
    if deep:
        sane &= (light, samples) in ((1, 1), (2, 3), (2, 4)) and planes == 1
    if not sane:
        kind = {2: "signed", 3: "floating point"}.get(numbers[0], "whole number")
        raise UserError(
            f"{path}: a TIFF of {samples} x {bits[0]}-bit {kind} samples (photometric {light}, "
            f"planes {planes}, extra {extra}); save it first as 8 or 16 bit grey or RGB, "
            "interleaved, with no channel besides plain alpha"
        )
    places, lengths = tags.get(273) or tags.get(324, ()), tags.get(279) or tags.get(325, ())
    if any(at + length > len(data) for at, length in zip(places, lengths, strict=False)):
        raise ValueError("its samples lie beyond its end")
    return deep


def _png_chunks(data: bytes) -> dict[bytes, bytes]:
    """The first chunk of each name but IDAT.  Checks the CRC of all: decoders skip that of IDAT."""
    view, at, chunks = memoryview(data), 8, dict[bytes, bytes]()
    while b"IEND" not in chunks:
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise ValueError("it ends before its IEND chunk")
        name = data[at + 4 : at + 8]
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise ValueError(f"wrong checksum of chunk {name!r}")
        if name != b"IDAT":
            chunks.setdefault(name, data[at + 8 : end - 4])
        at = end
    return chunks


def _turned_upright(tiff: bytes, *, thumbnail: bool = True) -> tuple[int, bytes]:
    """The orientation of a TIFF or an EXIF block, which is one, and its bytes with the tag at 1."""
    order = "<" if tiff[:2] == b"II" else ">"
    head, number, counter, step = (4, "L", "H", 12)
    if 43 in tiff[2:4]:  # BigTIFF
        head, number, counter, step = (8, "Q", "Q", 20)
    turn, edits = 1, []
    try:
        (start,) = struct.unpack_from(order + number, tiff, head)
        (count,) = struct.unpack_from(order + counter, tiff, start)
        first = start + struct.calcsize(order + counter)
        for at in range(first, first + step * count, step):
            tag, kind = struct.unpack_from(order + "HH", tiff, at)
            if (tag, kind) == (274, 3):
                (turn,) = struct.unpack_from(order + "H", tiff, at + step - head)
                edits.append((at + step - head, struct.pack(order + "H", 1)))
        if not thumbnail:
            edits.append((first + step * count, bytes(head)))
    except (struct.error, OverflowError):
        pass  # a block nothing can read is kept as it came
    for at, value in edits:
        if tiff[at : at + len(value)] != value:
            tiff = tiff[:at] + value + tiff[at + len(value) :]
    return turn, tiff


def _turned(array: Pixels, turn: int) -> Pixels:
    """Rows and columns in display order; EXIF's `turn` says where the stored row 0, column 0 is."""
    array = array.swapaxes(0, 1) if turn in (5, 6, 7, 8) else array
    array = array[::-1] if turn in (3, 4, 7, 8) else array
    return np.ascontiguousarray(array[:, ::-1] if turn in (2, 3, 6, 7) else array)


def _tiff_exif(image: ImageFile.ImageFile) -> bytes | None:
    given, kept = image.getexif(), Image.Exif()
    encoders.copy_description(given, kept)
    return kept.tobytes() if len(kept) else None


def write(path: str | Path, picture: Picture, *, quality: int = 95) -> None:
    """Write the picture in the format of the suffix: whole, or not at all.

    PNG and TIFF (Deflate) keep all of a Picture; WebP is lossless but 8 bit, and colour, so that a
    grey profile is left out; JPEG is 4:4:4 of `quality` 1 to 100, 8 bit, without alpha; BMP has
    neither alpha nor profile nor EXIF.  UserError when the format cannot hold the bit depth, the
    alpha or the size, when the suffix is unknown, and when the file cannot be written.
    """
    path = Path(path)
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise UserError(f"{path}: unknown suffix {path.suffix!r}; use one of {', '.join(FORMATS)}")
    if not 1 <= quality <= 100:
        raise UserError(f"{path}: quality {quality} is not between 1 and 100")
    if picture.pixels.dtype != np.uint8 and form not in ("PNG", "TIFF"):
        raise UserError(f"{path}: {form} cannot store 16 bits; save it as .png or .tif")
    if picture.alpha is not None and form in ("JPEG", "BMP"):
        raise UserError(f"{path}: {form} cannot store the alpha channel; save it as .png")
    try:
        if form in ("PNG", "TIFF"):
            blocks = encoders.png(picture) if form == "PNG" else encoders.tiff(picture)
        else:
            blocks = [encoders.by_pillow(picture, form, quality)]
    except _ERRORS as error:
        raise UserError(f"{path}: {form} cannot store it ({error}); save it as .png") from error
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines(blocks)


def find(folder: str | Path, *, recursive: bool = False) -> list[Path]:
    """The pictures of a folder by suffix, hidden ones left out, in natural order: 2 before 10."""
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {what}; name a folder of pictures")
    pictures = []
    for path in folder.rglob("*") if recursive else folder.iterdir():
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if path.suffix.lower() in FORMATS and not hidden and path.is_file():
            order = [re.split(r"(\d+)", part.casefold()) for part in parts]
            order = [[int(s) if s.isdecimal() else s for s in part] for part in order]
            pictures.append((order, parts, path))
    if not pictures:
        deeper = "" if recursive else " (its folders were not searched)"
        raise UserError(f"{folder}: no picture in it{deeper}; looked for {', '.join(FORMATS)}")
    return [path for *_, path in sorted(pictures)]


def to_tensor(pixels: Pixels) -> Tensor:
    """(H, W, C) of 0 to 255 or 65535 -> (1, 3, H, W) float32 in [0, 1], grey repeated."""
    height, width, _ = pixels.shape
    tensor = np.empty((1, 3, height, width), np.float32)
    peak = np.float32(np.iinfo(pixels.dtype).max)
    np.divide(pixels.transpose(2, 0, 1), peak, out=tensor[0], dtype=np.float32)
    return torch.from_numpy(tensor)


def to_pixels(tensor: Tensor, like: Pixels) -> Pixels:
    """(1, 3, H, W) in [0, 1] -> (H, W, C), rounded and clipped, of the type and channels of `like`.

    The inverse of `to_tensor`, exact; grey is the mean of the three.  UserError for NaN.
    """
    if tensor.ndim != 4 or tensor.shape[:2] != (1, 3):
        raise ValueError(f"expected a tensor (1, 3, H, W), got {tuple(tensor.shape)}")
    planes = tensor.detach()[0]
    planes = planes.mean(dim=0, keepdim=True) if like.shape[2] == 1 else planes
    pixels = np.empty((*planes.shape[1:], len(planes)), like.dtype)
    peak = np.iinfo(like.dtype).max
    for index, plane in enumerate(planes):
        values = plane.float().mul(peak).round_().clamp_(0, peak)
        if values.isnan().any():
            raise UserError("the restored picture holds NaN: the restorer diverged; train it anew")
        pixels[:, :, index] = values.cpu().numpy()
    return pixels
