"""How the samples of a clip's frames are stored, and the planes of a frame as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ssl_restore.errors import UserError

Plane = NDArray[Any]
Planes = tuple[Plane, ...]  # Y, or Y Cb Cr, or R G B; (H, W) uint8, uint16 of more than 8 bits
RGB, UNSPECIFIED, FULL = 0, 2, 2  # matrix; that, primaries or transfer; range
HD_WIDTH, SD_HEIGHT = 1280, 576  # from which on, and above which, players take BT.709
_SUBSAMPLED = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}
_PLANAR_RGB = "gbrp"  # its planes are G, B, R


@dataclass(frozen=True)
class Samples:
    """How samples are stored; numbers of matrix, primaries and transfer are those of ITU-T H.273.

    model         `grey`, `yuv` (luma and two of chroma) or `rgb`
    across, down  samples of luma to one of chroma, along a row and a column
    range         2: the full one; else black is 16 and white 235 of 255
    aspect        width of a pixel to its height; None: not said
    """

    width: int
    height: int
    model: str = "yuv"
    bits: int = 8
    across: int = 1
    down: int = 1
    matrix: int = UNSPECIFIED
    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    aspect: Fraction | None = None

    @property
    def format(self) -> str:
        """FFmpeg's name of it."""
        deep = f"{self.bits}le" if self.bits > 8 else ""
        if self.model == "grey":
            return f"gray{deep}"
        if self.model == "rgb":
            return f"{_PLANAR_RGB}{deep}"
        chroma = {sizes: name for name, sizes in _SUBSAMPLED.items()}[self.across, self.down]
        return f"yuv{chroma}p{deep}"

    @property
    def kind(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if self.bits == 8 else np.uint16

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(H, W) of each plane."""
        whole = self.height, self.width
        part = -(-self.height // self.down), -(-self.width // self.across)
        return (whole,) if self.model == "grey" else (whole, part, part)

    @property
    def full(self) -> bool:
        return self.range == FULL or self.model == "rgb"

    @property
    def is_hd(self) -> bool:
        return self.width >= HD_WIDTH or self.height > SD_HEIGHT

    def sized(self, size: tuple[int, int]) -> Samples:
        """Of frames of another (height, width)."""
        return replace(self, height=size[0], width=size[1])


def as_rgb(samples: Samples) -> Samples:
    """Of the same frames as RGB, of 8 or 16 bits."""
    return replace(
        samples, model="rgb", bits=8 if samples.bits == 8 else 16, across=1, down=1, matrix=RGB,
        range=FULL,
    )  # fmt: skip


def samples_of(frame: av.VideoFrame, aspect: Fraction | None = None) -> Samples:
    """Of a decoded frame."""
    known = frame.format
    said: dict[str, Any] = {
        "matrix": frame.colorspace, "range": frame.color_range, "aspect": aspect,
        "primaries": frame.color_primaries, "transfer": frame.color_trc,
    }  # fmt: skip
    components = [one for one in known.components if not one.is_alpha]
    bits = max((one.bits for one in components), default=8)
    bits = 8 if known.has_palette else max(bits, 8)
    size = frame.width, frame.height
    if known.has_palette or known.is_rgb:
        return Samples(*size, "rgb", bits, **said)
    if len(components) == 1:
        return Samples(*size, "grey", bits, **said)
    if known.name.startswith("yuvj"):
        said["range"] = FULL
    across, down = (8 // known.chroma_width(8), 8 // known.chroma_height(8))
    if (across, down) not in _SUBSAMPLED.values():
        across = down = 1
    return Samples(*size, "yuv", bits, across, down, **said)


def planes_of(frame: av.VideoFrame, samples: Samples) -> Planes:
    """The planes of a decoded frame, copied.

    UserError for a format of which FFmpeg knows no way to plain planes.
    """
    name, wanted = frame.format.name, samples.format
    if name.replace("yuvj", "yuv") != wanted:
        try:
            frame = frame.reformat(format=wanted)
        except (ValueError, OSError) as error:
            raise UserError(f"frames of {name} are not read; convert the clip first") from error
    found = [
        _array(plane, samples.kind)[:height, :width].copy()
        for plane, (height, width) in zip(frame.planes, samples.shapes, strict=False)
    ]
    return _in_order(found, samples, back=False)


def frame_of(planes: Planes, samples: Samples, packed: str) -> av.VideoFrame:
    """The inverse of `planes_of`, as FFmpeg's format `packed`, which holds the same samples."""
    frame = av.VideoFrame(samples.width, samples.height, samples.format)
    stored = _in_order(list(planes), samples, back=True)
    for plane, values in zip(frame.planes, stored, strict=True):
        height, width = values.shape
        _array(plane, samples.kind)[:height, :width] = values
    if packed != samples.format:
        frame = frame.reformat(format=packed)
    frame.colorspace, frame.color_range = samples.matrix, samples.range
    frame.color_primaries, frame.color_trc = samples.primaries, samples.transfer
    return frame


def _array(plane: Any, kind: type[np.uint8] | type[np.uint16]) -> Plane:
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[:, : plane.line_size // np.dtype(kind).itemsize * np.dtype(kind).itemsize].view(
        kind
    )


def _in_order(planes: list[Plane], samples: Samples, *, back: bool) -> Planes:
    """R, G, B of G, B, R, and back."""
    if samples.model != "rgb":
        return tuple(planes)
    order = (1, 2, 0) if back else (2, 0, 1)
    return tuple(planes[number] for number in order)
