"""What `gallery.py` does to photographs before they are restored: rain, noise, shake and the like.

`degrade(pixels, "rain storm 2")` gives {"input": pixels} and, where the command needs them, a
mask or the frames of a clip.  The last word of what is drawn is the seed.  Pixels are (H, W, 3)
uint8.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

from degradations import Degradation
from degradations.noise import Noise
from degradations.sensor import quantise
from degradations.shake import Shake
from ssl_restore import rng
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels
from ssl_restore.synthesis.presets import PRESETS

SHAKE = Shake(length_px=(10, 14), roll_rad=(0, 0))
SHADOWS = {  # outlines painted by hand, at 1200 x 812 pixels
    "concrete": "140,270 200,175 300,90 400,38 540,0 690,0 800,45 857,100 780,110 655,129 516,188 "
    "397,278 297,377 270,400 272,440 215,370",
    "bowl": "800,740 830,640 1000,480 1150,370 1185,470 1110,630 960,750 850,790",
}
FRAMES = 24


def degrade(pixels: Pixels, how: str) -> dict[str, Pixels]:
    """The pictures that the command takes, by the names of their files."""
    kind, *words = how.split()
    return {
        "rain": lambda: {"input": rendered(pixels, PRESETS[words[0]], words[1])},
        "noise": lambda: {"input": rendered(pixels, white_noise(words[0]), words[1])},
        "shake": lambda: {"input": rendered(pixels, SHAKE, words[0])},
        "shadow": lambda: {"input": pixels, "mask": outline(pixels, SHADOWS[words[0]])},
        "clip": lambda: clip(pixels, *words),
    }[kind]()


def white_noise(level: str) -> Noise:
    return Noise(gain=(0, 0), sigma=(float(level), float(level)))


def rendered(pixels: Pixels, prior: Degradation, seed: str) -> Pixels:
    image = images.to_tensor(pixels)
    params = prior.sample((1, 3, *pixels.shape[:2]), rng.derive(int(seed), "gallery"))
    with torch.inference_mode():
        return images.to_pixels(quantise(prior.apply(image, params)), pixels)


def clip(pixels: Pixels, preset: str, seed: str) -> dict[str, Pixels]:
    """`FRAMES` frames of a camera that does not move, and one more as the input."""
    rain = PRESETS[preset]
    frames = [rendered(pixels, rain, str(1000 * int(seed) + n)) for n in range(FRAMES + 1)]
    return {"input": frames[-1]} | {f"frames/{n:02}": frames[n] for n in range(FRAMES)}


def white(mask: np.ndarray) -> Pixels:
    """(H, W, 1) pixels, white where the mask is not zero."""
    return np.where(mask > 0, 255, 0).astype(np.uint8)[:, :, None]


def outline(pixels: Pixels, corners: str) -> Pixels:
    points = np.array([[int(n) for n in corner.split(",")] for corner in corners.split()])
    mask = np.zeros(pixels.shape[:2], np.uint8)
    cv2.fillPoly(mask, [points.astype(np.int32)], (1,))
    return white(mask)
