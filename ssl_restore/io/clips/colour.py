"""Samples of a clip as RGB, and back, by its own matrix and range (ITU-T H.273).

    Y = Kr R + Kg G + Kb B,   Cb = (B - Y) / (2 - 2 Kb),   Cr = (R - Y) / (2 - 2 Kr)

in [0, 1] and [-1/2, 1/2], of gamma-encoded values; of 8 bits and limited range Y is stored as
16 + 219 Y and Cb as 128 + 224 Cb, of full range as 255 Y and 128 + 255 Cb. Chroma of half the width
lies on every second column, of half the height between two rows, as MPEG-2 and H.264 have it.

What a restorer did to a frame is added to the samples as they were. So what it left alone keeps its
samples exactly, colours that RGB of 8 bits does not hold included.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_restore.errors import UserError
from ssl_restore.io.clips.samples import UNSPECIFIED, Plane, Planes, Samples
from ssl_restore.io.picture import Pixels, peak

Values = NDArray[np.float32]
_BT601, _BT709, _BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)
_KNOWN = {  # number of a matrix -> Kr, Kb
    1: _BT709, 4: (0.30, 0.11), 5: _BT601, 6: _BT601, 7: (0.212, 0.087), 9: _BT2020, 10: _BT2020,
}  # fmt: skip


def check_matrix(samples: Samples) -> None:
    """UserError for a matrix that is not read."""
    if samples.model == "yuv" and samples.matrix not in {*_KNOWN, UNSPECIFIED, 0, 3}:
        raise UserError(
            f"its colour matrix (number {samples.matrix} of H.273) is not read; convert it to "
            "BT.709 first"
        )


def is_usual(samples: Samples) -> bool:
    """Whether players take samples for what they are, though no file says so."""
    if samples.model != "yuv":
        return True
    return not samples.full and _weights(samples) == _usual_weights(samples)


def to_rgb(planes: Planes, samples: Samples) -> Pixels:
    """(H, W, 3), of a grey clip (H, W, 1); uint8, or uint16 from 0 to 65535 of more than 8 bits."""
    most = 255 if samples.bits == 8 else 65535
    low, luma, chroma = _scales(samples)
    first = (planes[0].astype(np.float32) - low) / luma
    values: NDArray[Any]
    if samples.model == "grey":
        values = first[:, :, None]
    elif samples.model == "rgb":
        values = np.dstack(planes).astype(np.float32) / luma
    else:
        middle = float(1 << (samples.bits - 1))
        blue, red = (_enlarged(plane, samples) for plane in planes[1:])
        values = np.dstack([first, (blue - middle) / chroma, (red - middle) / chroma])
        values = cv2.transform(values, np.linalg.inv(_matrix(samples)))
    values *= most
    return np.rint(values, out=values).clip(0, most).astype(samples.kind)


def from_rgb(pixels: Pixels, samples: Samples) -> Planes:
    """Planes of (H, W, 1 or 3) uint8 or uint16: the inverse of `to_rgb`."""
    values = pixels.astype(np.float32) / peak(pixels.dtype)
    low, _, _ = _scales(samples)
    offsets = (low, *((float(1 << (samples.bits - 1)),) * 2 if samples.model == "yuv" else (0, 0)))
    return tuple(
        _stored(change + offset, samples)
        for change, offset in zip(_changes(values, samples), offsets, strict=False)
    )


def changed(planes: Planes, samples: Samples, before: Pixels, after: Pixels) -> Planes:
    """The planes, which show `before`, as they show `after`: pixels of the same kind and size."""
    if np.array_equal(before, after):
        return planes
    difference = after.astype(np.float32) - before
    difference /= peak(before.dtype)
    return tuple(
        _stored(plane + change, samples)
        for plane, change in zip(planes, _changes(difference, samples), strict=True)
    )


def converted(planes: Planes, samples: Samples, wanted: Samples) -> Planes:
    """The same colours in other samples: of other bits, chroma or model, of the same size."""
    if samples == wanted:
        return planes
    if samples.model == wanted.model or (samples.model, wanted.model) == ("grey", "yuv"):
        return _resampled(planes, samples, wanted)
    return from_rgb(to_rgb(planes, samples), wanted)


def _resampled(planes: Planes, samples: Samples, wanted: Samples) -> Planes:
    """Of the same matrix and range: enlarged chroma, other bits."""
    resized = replace(wanted, bits=samples.bits)
    if samples.model == "grey" and wanted.model == "yuv":
        grey = np.full(resized.shapes[1], 1 << (samples.bits - 1), samples.kind)
        planes = planes[0], grey, grey
    elif samples.shapes != resized.shapes:
        whole = [np.rint(_enlarged(plane, samples)) for plane in planes[1:]]
        small = [_shrunk(plane, wanted) for plane in whole]
        planes = planes[0], *(_stored(plane, resized) for plane in small)
    if samples.bits == wanted.bits:
        return planes
    (low, luma, chroma), (to_low, to_luma, to_chroma) = _scales(samples), _scales(wanted)
    centres = [low, *([1 << (samples.bits - 1)] * 2 if wanted.model == "yuv" else [0, 0])]
    targets = [to_low, *([1 << (wanted.bits - 1)] * 2 if wanted.model == "yuv" else [0, 0])]
    factors = [to_luma / luma, *[to_chroma / chroma] * 2]
    return tuple(
        _stored((plane.astype(np.float32) - centre) * factor + target, wanted)
        for plane, centre, factor, target in zip(planes, centres, factors, targets, strict=False)
    )


def _weights(samples: Samples) -> tuple[float, float]:
    """Kr and Kb."""
    return _KNOWN.get(samples.matrix, _usual_weights(samples))


def _usual_weights(samples: Samples) -> tuple[float, float]:
    return _BT709 if samples.is_hd else _BT601


def _matrix(samples: Samples) -> NDArray[np.float64]:
    """RGB -> Y, Cb, Cr."""
    kr, kb = _weights(samples)
    luma = np.array([kr, 1 - kr - kb, kb])
    blue, red = (np.eye(3)[channel] - luma for channel in (2, 0))
    return np.stack([luma, blue / (2 - 2 * kb), red / (2 - 2 * kr)])


def _scales(samples: Samples) -> tuple[float, float, float]:
    """Of black, from there to white, and of chroma from end to end."""
    if samples.full:
        most = float((1 << samples.bits) - 1)
        return 0.0, most, most
    step = float(1 << (samples.bits - 8))
    return 16 * step, 219 * step, 224 * step


def _changes(difference: Values, samples: Samples) -> list[Values]:
    """What a change of RGB (or of grey), in [-1, 1], adds to each plane; not rounded."""
    _, luma, chroma = _scales(samples)
    if samples.model == "grey":
        return [difference.mean(axis=2) * luma]
    if difference.shape[2] == 1:
        difference = np.repeat(difference, 3, axis=2)
    if samples.model == "rgb":
        return [difference[:, :, channel] * luma for channel in range(3)]
    found = cv2.transform(difference, _matrix(samples))
    colours = [_shrunk(found[:, :, channel] * chroma, samples) for channel in (1, 2)]
    return [found[:, :, 0] * luma, *colours]


def _stored(values: Values, samples: Samples) -> Plane:
    most = (1 << samples.bits) - 1
    return np.rint(values).clip(0, most).astype(samples.kind)


def _enlarged(plane: Plane, samples: Samples) -> Values:
    """A plane of chroma at the size of luma, linear between its samples."""
    values = plane.astype(np.float32)
    if samples.across == samples.down == 1:
        return values
    places = np.array(
        [
            [1 / samples.across, 0, 0],
            [0, 1 / samples.down, 0.5 / samples.down - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = samples.width, samples.height
    found = cv2.warpAffine(values, places, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found)


def _shrunk(plane: Values, samples: Samples) -> Values:
    """A plane at the size of chroma, averaged around the places of its samples."""
    if samples.across == samples.down == 1:
        return plane
    along = np.array([0.25, 0.5, 0.25] if samples.across == 2 else [1.0])
    down = np.array([0.5, 0.5] if samples.down == 2 else [1.0])
    smooth = cv2.sepFilter2D(
        plane, cv2.CV_32F, along, down, anchor=(len(along) // 2, 0),
        borderType=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(smooth[:: samples.down, :: samples.across])
