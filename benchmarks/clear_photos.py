"""Photographs without haze of their own, of a folder: what a dehazer is to learn from.

    python benchmarks/clear_photos.py ./free_photos ./clear_photos

A photograph counts as clear where the darkest quarter of its windows of 7 pixels, at 256 pixels,
has a dark channel below 0.15: a misty one teaches to leave mist. Links the others into a new
folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from ssl_restore.calibration.dark_channel import dark_channel
from ssl_restore.io import images
from ssl_restore.io.picture import to_eight_bits

SEEN_PX, WINDOW_PX = 256, 7
DARKEST, CLEAR_BELOW = 0.25, 0.15


def darkness(path: Path) -> float:
    """The quantile `DARKEST` of the dark channel of a picture."""
    pixels = to_eight_bits(images.read(path).pixels)
    scale = SEEN_PX / max(pixels.shape[:2])
    size = round(scale * pixels.shape[1]), round(scale * pixels.shape[0])
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return float(
        np.quantile(
            dark_channel(small.reshape(*size[::-1], -1).transpose(2, 0, 1), WINDOW_PX), DARKEST
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("output", type=Path, help="New folder.")
    given = parser.parse_args()
    given.output.mkdir()
    paths = images.find(given.photos)
    clear = [path for path in paths if darkness(path) < CLEAR_BELOW]
    for path in clear:
        (given.output / path.name).symlink_to(path.resolve())
    print(f"{len(clear)} of {len(paths)} are clear")


if __name__ == "__main__":
    main()
