"""Reading and writing pictures so that nothing is lost that both files can hold.

Size, bit depth, alpha, colour profile, EXIF and all of `picture.Metadata`.  Not kept: palettes
(they become RGB), CMYK (it becomes sRGB, through its profile), the EXIF thumbnail (it shows the
picture before restoration), PNG's tIME, bKGD and sBIT, JPEG's extended XMP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ssl_restore.errors import UserError
from ssl_restore.io import MAX_PIXELS, formats
from ssl_restore.io.files import replacing
from ssl_restore.io.formats import exif
from ssl_restore.io.picture import Picture, Pixels, peak, within_range
from ssl_restore.io.search import find

__all__ = [
    "Picture", "find", "form_of", "page_count", "pages", "pixel_count", "read", "suffix_alike",
    "to_pixels", "to_tensor", "write", "write_pages",
]  # fmt: skip
_START = 64  # bytes by which a format is told


def read(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in a file of any format of `formats`, told by its content, turned upright.

    UserError, naming the file and the remedy, when it is missing, damaged, cut short, larger than
    `max_pixels` (refused before decoding), or holds what a Picture cannot: several pages or frames,
    channels besides colour and alpha.
    """
    path = Path(path)
    data, form = _load(path)
    with _faults(path, form):
        return _upright(form.decode(data, _limit(max_pixels)), form)


def pages(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Iterator[Picture]:
    """The pictures of a file, one at a time: the pages of a TIFF, of other formats the only one.

    UserError as of `read`, the limit being that of each page.
    """
    path = Path(path)
    data, form = _load(path)
    decode = form.decode_pages
    with _faults(path, form):
        if decode is None:
            yield _upright(form.decode(data, _limit(max_pixels)), form)
            return
        found = decode(data, _limit(max_pixels))
    while True:
        with _faults(path, form):
            stored = next(found, None)
            picture = None if stored is None else _upright(stored, form)
        if picture is None:
            return
        yield picture


def page_count(path: Path) -> int:
    """Pages of a picture; 1 where `pages` would refuse it."""
    try:
        with path.open("rb") as file:
            form = formats.of_content(path, file.read(_START))
            if form is None or form.count_pages is None:
                return 1
            return form.count_pages(file)
    except (*formats.ERRORS, UserError):
        return 1


def _limit(max_pixels: int) -> formats.Check:
    def check(width: int, height: int) -> None:
        if width * height > max_pixels:
            raise UserError(
                f"{width} x {height} is {width * height / 1e6:.1f} Mpixel, over the limit of "
                f"{max_pixels / 1e6:.1f}; if there is memory for it, `max_pixels={width * height}`"
            )

    return check


@contextmanager
def _faults(path: Path, form: formats.Format) -> Iterator[None]:
    """What decoders raise, as one line that names the file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error.message}") from error
    except Image.DecompressionBombError as error:  # Pillow's own limit, which some formats ask
        raise UserError(
            f"{path}: too large for a {form.name}; convert it to PNG ({error})"
        ) from error
    except formats.ERRORS as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"{path}: damaged or cut short ({reason}); fetch it again") from error


def _load(path: Path) -> tuple[bytes, formats.Format]:
    """The bytes of a file, and its format."""
    if not path.is_file():
        what = "no such file; check the spelling" if not path.exists() else "not a regular file"
        raise UserError(f"{path}: {'is a folder; name a picture in it' if path.is_dir() else what}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    if not data:
        raise UserError(f"{path}: is empty; fetch it again")
    form = formats.of_content(path, data[:_START])
    if form is None:
        raise UserError(f"{path}: {_unknown()}")
    return data, form


def _unknown() -> str:
    *known, last = (form.name for form in formats.FORMATS)
    return f"not a {', '.join(known)} or {last} picture; convert it"


def _upright(stored: Picture, form: formats.Format) -> Picture:
    """A stored picture as it is shown, and its source named."""
    block = (stored.exif or b"").removeprefix(b"Exif\0\0")
    turn, block = exif.turned_upright(block)
    alpha = None if stored.alpha is None else exif.turned(stored.alpha, turn)
    metadata = replace(stored.metadata, source=form.name)
    if metadata.xmp:
        metadata = replace(metadata, xmp=exif.upright_xmp(metadata.xmp))
    if turn in (5, 6, 7, 8) and metadata.dpi:
        metadata = replace(metadata, dpi=metadata.dpi[::-1])
    return replace(
        stored, pixels=exif.turned(stored.pixels, turn), alpha=alpha, exif=block or None,
        metadata=metadata,
    )  # fmt: skip


def pixel_count(path: Path) -> int:
    """Pixels of a picture by the head of its file; 0 where `read` would refuse it."""
    try:
        with path.open("rb") as file:
            form = formats.of_content(path, file.read(_START))
            if form is None:
                return 0
            file.seek(0)
            width, height = form.size(file)
    except (*formats.ERRORS, UserError, Image.DecompressionBombError):
        return 0
    return int(width * height)


def suffix_alike(path: Path) -> str:
    """The suffix of the format of a file, or of PNG where that is only read."""
    with path.open("rb") as file:
        form = formats.of_content(path, file.read(_START))
    return form.suffixes[0] if form is not None and form.encode is not None else ".png"


def write(
    path: str | Path,
    picture: Picture,
    *,
    quality: int | None = None,
    form: formats.Format | None = None,
    before: Callable[[Path], object] = lambda temporary: None,
) -> None:
    """Write the picture in the format of the suffix, or in `form`: whole, or not at all.

    PNG and TIFF (Deflate) keep all of a Picture; WebP is lossless but 8 bit, and colour, so that a
    grey profile is left out; AVIF is 4:4:4 of `quality` 1 to 100 (95), 8 bit; JPEG has no alpha,
    and is 4:4:4 of that quality, or, without one, in half the steps of the JPEG that it came from;
    BMP has neither alpha nor profile nor EXIF.  UserError when the format cannot hold the bit
    depth, the alpha or the size, when the suffix is unknown, and when the file cannot be written.
    `before` is that of `files.replacing`.
    """
    path = Path(path)
    form = form or formats.WRITTEN.get(path.suffix.lower())
    encode = None if form is None else form.encode
    if form is None or encode is None:
        raise UserError(
            f"{path}: unknown suffix {path.suffix!r}; use one of {', '.join(formats.WRITTEN)}"
        )
    if quality is not None and not 1 <= quality <= 100:
        raise UserError(f"{path}: quality {quality} is not between 1 and 100")
    if picture.levels is not None and not form.floats:
        floats = " or ".join(sorted(s for s, f in formats.WRITTEN.items() if f.floats))
        raise UserError(
            f"{path}: {form.name} cannot store {picture.levels.kind} samples; save it as {floats}"
        )
    if picture.pixels.dtype == np.uint16 and not form.deep:
        raise UserError(f"{path}: {form.name} cannot store 16 bits; save it as .png or .tif")
    if picture.alpha is not None and not form.alpha:
        raise UserError(f"{path}: {form.name} cannot store the alpha channel; save it as .png")
    _put(path, form, lambda: encode(picture, quality), before)


def write_pages(
    path: Path,
    pictures: Iterable[Picture],
    count: int,
    *,
    before: Callable[[Path], object] = lambda temporary: None,
) -> None:
    """Write a stack of so many pictures, one in memory at a time; UserError as of `write`."""
    form = formats.WRITTEN.get(path.suffix.lower())
    encode = None if form is None else form.encode_pages
    if form is None or encode is None:
        raise UserError(f"{path}: holds one page, not {count}; save it as .tif")
    _put(path, form, lambda: encode(pictures, count), before)


def _put(
    path: Path,
    form: formats.Format,
    encode: Callable[[], Iterable[bytes]],
    before: Callable[[Path], object],
) -> None:
    try:
        blocks = encode()
        with replacing(path, before) as temporary, temporary.open("wb") as file:
            file.writelines(blocks)
    except UserError:
        raise
    except formats.ERRORS as error:
        raise UserError(
            f"{path}: {form.name} cannot store it ({error}); save it as .png"
        ) from error


def form_of(picture: Picture, path: Path) -> formats.Format | None:
    """The format to write a picture in that came from a file of this name: that of the suffix,
    unless the file was of another format which holds what that one cannot (a PNG named .jpg)."""
    named = formats.WRITTEN.get(path.suffix.lower())
    source = next((f for f in formats.FORMATS if f.name == picture.metadata.source), None)
    needs = (
        picture.pixels.dtype == np.uint16, picture.levels is not None, picture.alpha is not None,
    )  # fmt: skip
    for form in (named, source):
        if form is not None and form.encode is not None:
            has = form.deep, form.floats, form.alpha
            if all(one or not needed for one, needed in zip(has, needs, strict=True)):
                return form
    return named


def to_tensor(pixels: Pixels) -> Tensor:
    """(H, W, C) of 0 to 255 or 65535 -> (1, 3, H, W) float32 in [0, 1], grey repeated.

    Floating point is clipped to [0, 1], NaN to 0: `Picture.restored` gives that back.
    """
    height, width, _ = pixels.shape
    tensor = np.empty((1, 3, height, width), np.float32)
    planes, white = within_range(pixels).transpose(2, 0, 1), np.float32(peak(pixels.dtype))
    np.divide(planes, white, out=tensor[0], dtype=np.float32)
    return torch.from_numpy(tensor)


def to_pixels(tensor: Tensor, like: Pixels) -> Pixels:
    """(1, 3, H, W) in [0, 1] -> (H, W, C), rounded and clipped, of the type and channels of `like`.

    The inverse of `to_tensor`, exact; grey is the mean of the three, and floating point neither
    rounded nor clipped.  UserError for NaN.
    """
    if tensor.ndim != 4 or tensor.shape[:2] != (1, 3):
        raise ValueError(f"expected a tensor (1, 3, H, W), got {tuple(tensor.shape)}")
    planes = tensor.detach()[0]
    planes = planes.mean(dim=0, keepdim=True) if like.shape[2] == 1 else planes
    pixels = np.empty((*planes.shape[1:], len(planes)), like.dtype)
    whole, white = np.issubdtype(like.dtype, np.integer), peak(like.dtype)
    for index, plane in enumerate(planes):
        values = plane.float().mul(white)
        if whole:
            values = values.round_().clamp_(0, white)
        if values.isnan().any():
            raise UserError("the restored picture holds NaN: the restorer diverged; train it anew")
        pixels[:, :, index] = values.cpu().numpy()
    return pixels
