"""Crops of clean photographs that a restorer damages most, to learn from more often.

    python benchmarks/hard_crops.py ./free_photos ./hard
    cp ./free_photos/* ./hard/
    python benchmarks/hard_crops.py ./free_photos ./hard --task dedrop --side 256 --count 160

A restorer must give clean photographs back. Of each photograph, whole and at half its size, the
crop with the largest squared error is found, and the worst of these are written, one a photograph.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels, eight_bit_rgb
from ssl_restore.restorer import Restorer


def hardest(photo: Pixels, restorer: Restorer, side: int) -> tuple[float, Pixels]:
    """The largest mean squared error of a crop, of 255 squared, and the crop."""
    error = np.square(photo.astype(np.float32) - restore(restorer, photo)).mean(axis=2)
    half = side // 2
    means = cv2.boxFilter(error, -1, (side, side))[half : 1 - half, half : 1 - half]
    top, left = np.unravel_index(int(means.argmax()), means.shape)
    return float(means.max()), photo[top : top + side, left : left + side]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--weights", type=Path, help="Of the restorer; else the built-in one.")
    parser.add_argument("--task", default="derain", help="Of the restorer.")
    parser.add_argument("--count", type=int, default=25)
    parser.add_argument("--side", type=int, default=160, help="Of a crop, pixels.")
    asked = parser.parse_args()
    restorer = load_restorer(asked.weights, torch.device("cpu"), task=asked.task)
    found = []
    for path in images.find(asked.photographs):
        whole = eight_bit_rgb(images.read(path).pixels)
        sizes = [whole, cv2.resize(whole, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)]
        crops = [hardest(p, restorer, asked.side) for p in sizes if min(p.shape[:2]) > asked.side]
        found += [(*max(crops, key=lambda crop: crop[0]), path.stem)] if crops else []
    found.sort(key=lambda one: -one[0])
    asked.output.mkdir(parents=True, exist_ok=True)
    for error, crop, name in found[: asked.count]:
        Image.fromarray(crop).save(asked.output / f"hard_{name}.png")
        print(f"{name:40} {error:8.1f}", flush=True)


if __name__ == "__main__":
    main()
