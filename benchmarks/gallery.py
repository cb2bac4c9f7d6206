"""Makes benchmarks/gallery.jpg: rainy pictures above what the built-in restorer makes of them.

    python benchmarks/gallery.py

The rain is that of `synth-rain`; the pictures are those of data_samples, which may be shown.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from degradations.rain import Rain
from degradations.sensor import quantise
from ssl_restore import rng
from ssl_restore.inference.fine_to_coarse import restore_pixels
from ssl_restore.inference.load import load_restorer
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.synthesis.presets import PRESETS

ROOT = Path(__file__).parent.parent
SHOWN = (  # picture, preset, seed
    ("rainy_example.png", None, 0),
    ("photos/meerkats.jpg", "moderate", 3),
    ("photos/hawa_mahal.jpg", "mixed", 5),
    ("photos/forest_stream.jpg", "storm", 2),
)
SIDE = 320


def main() -> None:
    restorer = load_restorer(None, torch.device("cpu"), task="derain")
    columns = []
    for name, preset, seed in SHOWN:
        pixels = images.read(ROOT / "data_samples" / name).pixels
        rainy = pixels if preset is None else add_rain(pixels, PRESETS[preset], seed)
        columns.append(
            np.vstack([square(rainy), square(restore_pixels(restorer, rainy, scale=None))])
        )
    sheet = np.hstack(columns)
    images.write(Path(__file__).with_name("gallery.jpg"), Picture(sheet), quality=88)


def add_rain(pixels: np.ndarray, rain: Rain, seed: int) -> np.ndarray:
    """Rain on (H, W, 3) uint8 pixels, drawn from the seed."""
    image = images.to_tensor(pixels)
    params = rain.sample((1, 3, *pixels.shape[:2]), rng.derive(seed, "gallery"))
    with torch.inference_mode():
        return images.to_pixels(quantise(rain.apply(image, params)), pixels)


def square(pixels: np.ndarray) -> np.ndarray:
    """The middle of a picture, its shorter side resampled to SIDE."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    crop = pixels[top : top + side, left : left + side]
    resized: np.ndarray = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return resized


if __name__ == "__main__":
    main()
