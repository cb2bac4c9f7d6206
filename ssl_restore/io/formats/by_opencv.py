"""What OpenCV decodes: samples of more than 8 bits."""

from __future__ import annotations

import cv2
import numpy as np

from ssl_restore.io.formats.bands import BAND_BYTES
from ssl_restore.io.picture import Pixels


def decoded(data: bytes | Pixels, kind: str, size: tuple[int, int]) -> Pixels:
    """(H, W, C) of grey, RGB or RGBA, of NumPy's type `kind` as `u2`; ValueError for another type
    or (width, height)."""
    whole = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    array: Pixels | None = cv2.imdecode(whole, cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype.str[1:] != kind or array.shape[1::-1] != size:
        raise ValueError("its samples do not decode")
    if array.ndim == 2:
        return array[:, :, None]
    rows = max(1, BAND_BYTES // array[0].nbytes)
    for top in range(0, len(array), rows):  # BGR, in place
        array[top : top + rows, :, :3] = array[top : top + rows, :, 2::-1]
    return array
