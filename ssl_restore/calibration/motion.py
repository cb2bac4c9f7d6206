"""Where each pixel of a frame was in its neighbour, and where that can be trusted.

    a(x) = b(x + f(x)),   f by DIS optical flow of the restored frames, made smooth

Trusted is where the way there and back ends where it began, |f(x) + g(x + f(x))|^2 below
0.01 (|f|^2 + |g|^2) + 0.5 px^2, where x + f(x) lies in the frame, and where the smoothed frames
agree. A frame of which hardly a part can be trusted is after a cut, or moved beyond what flow can
follow.

References: Kroeger, Timofte, Dai and Van Gool, "Fast optical flow using dense inverse search",
ECCV 2016; Sundaram, Brox and Keutzer, "Dense point trajectories by GPU-accelerated large
displacement optical flow", ECCV 2010, eq. 5 (the check).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_restore.io.picture import Pixels, peak

SMOOTH_PX = 0.7  # of the frames that flow is found in
PATCH_PX, STRIDE_PX = 12, 4  # of the search; smaller ones follow the noise
LEAST_SIDE_PX = 16  # what dense inverse search needs
LEAST_TRUSTED = 0.3  # share of a frame, below which two are no neighbours; after cuts 0 to 0.2
AGREE = 0.08  # display units: smoothed frames differ by less where they show the same
AGREE_PX = 2.5  # smoothed so far once more, lest agreement picks places of like noise

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


def grey(frame: Pixels, smooth_px: float = SMOOTH_PX) -> Values:
    """(H, W, 1 or 3) uint8 or uint16 -> (H, W) float32 in [0, 1], smoothed."""
    values = frame.astype(np.float32).mean(axis=2) / np.float32(peak(frame.dtype))
    return np.asarray(cv2.GaussianBlur(values, (0, 0), smooth_px), np.float32)


def flows(a: Values, b: Values) -> tuple[Values, Values]:
    """From a to b and from b to a, (H, W, 2) px, of smoothed grey frames.

    The search works on 8 bits: the range of both frames is stretched over them.
    """
    low, high = np.quantile(np.stack([a, b]), (0.005, 0.995))
    stretch = 255 / max(float(high - low), 1e-3)
    one, other = (
        np.clip((frame - low) * stretch, 0, 255).round().astype(np.uint8) for frame in (a, b)
    )
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setPatchSize(PATCH_PX)
    search.setPatchStride(STRIDE_PX)
    still = np.zeros((*a.shape, 2), np.float32)
    there, back = search.calc(one, other, still.copy()), search.calc(other, one, still.copy())
    return np.asarray(there, np.float32), np.asarray(back, np.float32)


def warp(values: Values, flow: Values) -> Values:
    """values(x + flow(x)), bicubic: (H, W) or (H, W, C) -> the same shape."""
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    moved = cv2.remap(
        values, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(moved, np.float32)


def trusted(a: Values, b: Values, there: Values, back: Values) -> Mask:
    """(H, W): where `there`, the flow from a to b, holds; `back` is that from b to a."""
    height, width = a.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    x, y = columns + there[..., 0], rows + there[..., 1]
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    returned = warp(back, there)
    astray = np.square(there + returned).sum(axis=2)
    far = np.square(there).sum(axis=2) + np.square(returned).sum(axis=2)
    off = np.abs(cv2.GaussianBlur(a - warp(b, there), (0, 0), AGREE_PX))
    held = inside & (astray < 0.01 * far + 0.5) & (off < AGREE)
    shrunk: Mask = cv2.erode(held.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return shrunk


def neighbours(mask: Mask) -> bool:
    """Whether enough of a frame was found in the other."""
    return float(mask.mean()) >= LEAST_TRUSTED
