"""Bands of a picture, from top to bottom, so that it is encoded without a second copy of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ssl_restore.io.picture import Picture, Pixels

LARGE_PIXELS = 50_000_000  # from which a picture is decoded in bands
BAND_BYTES = 1 << 20  # of colour, filtered and compressed at a time
LEVEL = 3  # of zlib: on filtered photographs as small as 6, and several times as fast


def bands(picture: Picture) -> Iterator[Pixels]:
    """(rows, W, C and alpha), about BAND_BYTES of colour each."""
    height = picture.pixels.shape[0]
    rows = max(1, BAND_BYTES * height // picture.pixels.nbytes)
    for top in range(0, height, rows):
        band = picture.pixels[top : top + rows]
        if picture.alpha is not None:
            band = np.concatenate((band, picture.alpha[top : top + rows, :, None]), axis=2)
        yield band
