"""Pictures of how a training does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.restorer import Restorer
from ssl_restore.training.data import Pictures

CROP_PX = 256
COLUMNS = 4


def write_sample(path: Path, restorer: Restorer, pictures: Mapping[str, Pictures]) -> None:
    """A PNG: crops of the degraded pictures above their restored versions.

    Of scenes the first observation. Without degraded pictures the clean ones are shown, which must
    come back as they were.
    """
    shown = pictures.get("degraded") or pictures.get("observations") or pictures["clean"]
    picked = np.linspace(0, len(shown.pixels) - 1, min(COLUMNS, len(shown.pixels))).astype(int)
    crops = [_centre(_eight_bit(shown.pixels[index][:, :, :3])) for index in picked]
    training = restorer.training
    restored = [restore(restorer.eval(), crop) for crop in crops]
    restorer.train(training)
    rows = [np.hstack(_framed(row)) for row in (crops, restored)]
    images.write(path, Picture(np.vstack(rows)))


def _centre(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    rows, columns = min(CROP_PX, height), min(CROP_PX, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]


def _eight_bit(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    return (pixels * 255).round().clip(0, 255).astype(np.uint8)


def _framed(crops: list[np.ndarray]) -> list[np.ndarray]:
    """Every crop on a black square, with a gap of four pixels."""
    framed = []
    for crop in crops:
        square = np.zeros((CROP_PX + 4, CROP_PX + 4, 3), np.uint8)
        square[: crop.shape[0], : crop.shape[1]] = crop
        framed.append(square)
    return framed
