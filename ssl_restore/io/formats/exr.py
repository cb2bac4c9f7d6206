"""OpenEXR by the package OpenEXR, of the extra `formats`: light, of which 1 is shown white.

Channels besides colour and alpha, and attributes, come back as they were.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from ssl_restore.errors import UserError
from ssl_restore.io.formats.extra import needed
from ssl_restore.io.formats.format import Check, Format
from ssl_restore.io.picture import Levels, Metadata, Picture

_COLOURS = {"RGB": (3, False), "RGBA": (3, True), "Y": (1, False)}  # channels, and whether alpha


@dataclass(frozen=True)
class _Native:
    header: Mapping[str, Any]
    others: Mapping[str, Any]  # channels besides


def _opened(file: IO[bytes], **options: Any) -> Any:
    exr = needed("OpenEXR", "OpenEXR", "OpenEXR")
    try:
        return exr.File(file, **options)
    except (RuntimeError, TypeError) as error:
        raise ValueError(str(error).split("\n")[0]) from error


def _size(file: IO[bytes]) -> tuple[int, int]:
    return _window(_opened(file, header_only=True).header())


def _window(header: Mapping[str, Any]) -> tuple[int, int]:
    first, last = header["dataWindow"]
    return int(last[0] - first[0] + 1), int(last[1] - first[1] + 1)


def _decode(data: bytes, check: Check) -> Picture:
    check(*_size(io.BytesIO(data)))
    file = _opened(io.BytesIO(data))
    if len(file.parts) > 1:
        raise UserError("holds several parts; save each as a file of its own")
    channels = {name: channel.pixels for name, channel in file.channels().items()}
    name = next((name for name in _COLOURS if name in channels), None)
    if name is None:
        raise UserError(f"has no colour, but {', '.join(sorted(channels))}; save it as RGB or Y")
    count, has_alpha = _COLOURS[name]
    light = channels.pop(name)
    light = light if light.ndim == 3 else light[:, :, None]
    alpha = light[:, :, -1] if has_alpha else channels.pop("A", None)
    levels = Levels(0.0, 1.0, light.dtype.name, linear=True)
    header = {key: value for key, value in file.header().items() if key != "channels"}
    return Picture(
        levels.shown(light[:, :, :count]), None if alpha is None else alpha.astype(np.float32),
        metadata=Metadata(native=_Native(header, channels)), levels=levels,
    )  # fmt: skip


def _encode(picture: Picture, quality: int | None) -> list[bytes]:
    exr = needed("OpenEXR", "OpenEXR", "OpenEXR")
    native = picture.metadata.native
    header, others = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}, {}
    if isinstance(native, _Native):
        header, others = dict(native.header), dict(native.others)
    levels = picture.levels or Levels(0.0, 1.0, "float16", linear=True)
    if (levels.black, levels.white) == (0, 1):
        levels = replace(levels, linear=True)  # as others expect it there
    if not levels.kind.startswith("float") or levels.kind == "float64":
        raise ValueError(f"{levels.kind} samples")
    if picture.levels is None:
        values = picture.pixels / np.float32(np.iinfo(picture.pixels.dtype).max)
        most = np.iinfo(picture.pixels.dtype).max
        alpha = None if picture.alpha is None else picture.alpha / np.float32(most)
    else:
        values, alpha = picture.pixels, picture.alpha
    light = levels.stored(values)
    if alpha is not None:
        light = np.concatenate((light, alpha.astype(light.dtype)[:, :, None]), axis=2)
    names = {1: ("Y",), 2: ("Y", "A"), 3: ("RGB",), 4: ("RGBA",)}[light.shape[2]]
    planes = [light] if len(names) == 1 else [light[:, :, :1], light[:, :, 1:]]
    arrays = {
        name: np.ascontiguousarray(plane if name.startswith("RGB") else plane[:, :, 0])
        for name, plane in zip(names, planes, strict=True)
    }
    with tempfile.TemporaryDirectory(prefix="ssl-restore-") as folder:
        path = Path(folder) / "a.exr"
        try:
            exr.File(header, {**others, **arrays}).write(str(path))
        except (RuntimeError, TypeError) as error:
            raise ValueError(str(error).split("\n")[0]) from error
        return [path.read_bytes()]


EXR = Format(
    "OpenEXR", (".exr",), rb"\x76\x2f\x31\x01", _size, _decode, _encode, deep=True, floats=True
)
