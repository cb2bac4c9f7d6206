"""What `gallery.py` does to photographs before they are restored: rain, noise, shake and the like.

`degrade(pixels, "rain storm 2")` gives {"input": pixels} and, where the command needs them, a
mask, a second picture or the frames of a clip.  The last word of what is drawn is the seed.  Pixels
are (H, W, 3) uint8.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from degradations import Degradation
from degradations.drops import Drops
from degradations.noise import Noise
from degradations.sensor import quantise
from degradations.shake import Shake
from ssl_restore import rng
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels
from ssl_restore.synthesis.presets import PRESETS

ROOT = Path(__file__).parents[1]
DROPS = Drops(count=(5, 5), radius_px=(4, 9), irregularity=(0, 0.05), film=(0, 0))
SHAKE = Shake(length_px=(10, 14), roll_rad=(0, 0))
SHADOWS = {  # outlines painted by hand, at 1200 x 812 pixels
    "concrete": "140,270 200,175 300,90 400,38 540,0 690,0 800,45 857,100 780,110 655,129 516,188 "
    "397,278 297,377 270,400 272,440 215,370",
    "bowl": "800,740 830,640 1000,480 1150,370 1185,470 1110,630 960,750 850,790",
}
FRAMES = 24
WRITING = "12.10.1987"


def degrade(pixels: Pixels, how: str) -> dict[str, Pixels]:
    """The pictures that the command takes, by the names of their files."""
    kind, *words = how.split()
    return {
        "rain": lambda: {"input": rendered(pixels, PRESETS[words[0]], words[1])},
        "noise": lambda: {"input": rendered(pixels, white_noise(words[0]), words[1])},
        "shake": lambda: {"input": rendered(pixels, SHAKE, words[0])},
        "drops": lambda: drops(pixels, *words),
        "shadow": lambda: {"input": pixels, "mask": outline(pixels, SHADOWS[words[0]])},
        "mixture": lambda: mixtures(pixels, *words),
        "clip": lambda: clip(pixels, *words),
        "writing": lambda: lost(pixels, kind),
        "hole": lambda: lost(pixels, kind),
    }[kind]()


def white_noise(level: str) -> Noise:
    return Noise(gain=(0, 0), sigma=(float(level), float(level)))


def drops(pixels: Pixels, seed: str) -> dict[str, Pixels]:
    """Drops, and a mask of all that they change by more than 4 of 255, a little wider."""
    wet = rendered(pixels, DROPS, seed)
    changed = np.abs(wet.astype(int) - pixels).max(axis=2) > 4
    mask = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9)))
    return {"input": wet, "mask": white(cv2.dilate(mask, np.ones((5, 5))))}


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


def mixtures(pixels: Pixels, other: str, count: str) -> dict[str, Pixels]:
    """One or two pictures that show this one and another through each other."""
    second = images.read(ROOT / other).pixels
    height, width = pixels.shape[:2]
    top, left = (second.shape[0] - height) // 2, (second.shape[1] - width) // 2
    second = second[top : top + height, left : left + width]
    pairs = {"input": 0.7, "second": 0.35} if count == "two" else {"input": 0.7}
    return {
        name: (share * pixels + (1 - share) * second).round().astype(np.uint8)
        for name, share in pairs.items()
    }


def lost(pixels: Pixels, kind: str) -> dict[str, Pixels]:
    """White pixels: `writing`, a date and scratches; `hole`, a square of 40 pixels."""
    height, width = pixels.shape[:2]
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    if kind == "writing":
        draw.text((width - 80, height - 24), WRITING, 255, ImageFont.load_default(15))
        for x, y in ((10, 45), (100, 80)):
            draw.line((x, 0, y, height), 255, 2)
        draw.line((0, 35, width, 55), 255, 2)
    else:
        draw.rectangle((width // 2 - 20, height // 2 - 20, width // 2 + 19, height // 2 + 19), 255)
    gone = white(np.asarray(mask))
    return {"input": np.maximum(pixels, gone), "mask": gone}
