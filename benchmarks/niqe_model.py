"""Statistics of good photographs, which NIQE compares with: a Gaussian over their sharp blocks.

python benchmarks/free_photos.py ./free_photos
python benchmarks/niqe_model.py ./free_photos ssl_restore/evaluation/niqe.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from ssl_restore.evaluation import niqe
from ssl_restore.io import images
from ssl_restore.io.picture import eight_bit_rgb

LARGEST_SIDE = 1024  # larger ones are made smaller: at full size many are soft
SHARP = 0.75  # of the sharpest block of a picture


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("output", type=Path)
    asked = parser.parse_args()
    kept = []
    for path in images.find(asked.photographs):
        pixels = eight_bit_rgb(images.read(path).pixels)
        scale = min(1.0, LARGEST_SIDE / max(pixels.shape[:2]))
        smaller = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found, sharpness = niqe.features(smaller)
        if len(found):
            kept.append(found[sharpness > SHARP * sharpness.max()])
    blocks = np.concatenate(kept)
    blocks = blocks[np.isfinite(blocks).all(axis=1)]
    np.savez(
        asked.output,
        mean=blocks.mean(axis=0).astype(np.float32),
        covariance=np.cov(blocks, rowvar=False).astype(np.float32),
    )
    print(f"{len(blocks)} blocks of {len(kept)} photographs")


if __name__ == "__main__":
    main()
