"""Heavy rain is streaks and veil: rendered rain behind a rendered veil, and both taken off.

    python benchmarks/rain_and_veil.py ./photos/ --sheet veil.png

Rows, PSNR and SSIM over pictures: the input; `derain`; the derained pictures by the dark channel
and by `dehaze`; and `derain --veil`, whose dehazer has learned from derained pictures. The rain is
`Rain()`, the veil `Veil()`, of any thickness, half of them the same everywhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from degradations.rain import Rain
from degradations.sensor import quantise
from degradations.veil import Veil
from ssl_restore import rng, weights
from ssl_restore.evaluation import baselines, metrics
from ssl_restore.inference.fine_to_coarse import restore_pixels
from ssl_restore.inference.load import load_restorer
from ssl_restore.io import images
from ssl_restore.io.picture import Picture, Pixels
from ssl_restore.objectives.rendered_rain import behind_veil, render_rain
from ssl_restore.restorer import Restorer

SHOWN_PX = 320


def rendered(clean: Pixels, seed: int) -> Pixels:
    """Rain and a veil on a photograph."""
    image, draws = images.to_tensor(clean), rng.derive(seed, "rain and veil")
    rainy = render_rain(image, Rain(rain_free=0.0), draws)
    veiled = behind_veil(rainy, torch.ones(1, dtype=torch.bool), Veil(), draws)
    return images.to_pixels(quantise(veiled.rainy), clean)


def methods(
    pixels: Pixels, derainer: Restorer, dehazer: Restorer, unveiler: Restorer
) -> dict[str, Pixels]:
    derained = restore_pixels(derainer, pixels, scale=None)
    return {
        "input": pixels,
        "derain": derained,
        "derain, dark channel": baselines.dark_channel(derained),
        "derain, dehaze": restore_pixels(dehazer, derained),
        "derain --veil": restore_pixels(unveiler, derained),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n", 1)[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=40, help="So many, spread over the folder.")
    parser.add_argument(
        "--weights", type=Path, help="Of a dehazer, for the veil.  [default: built-in]"
    )
    parser.add_argument("--sheet", type=Path, help="The first 12 to look at, .png.")
    given = parser.parse_args()
    cpu = torch.device("cpu")
    derainer = load_restorer(None, cpu, task="derain")
    dehazer = load_restorer(None, cpu, task="dehaze")
    unveiler = load_restorer(given.weights or weights.veil(), cpu, task="dehaze")
    paths = images.find(given.photos)
    chosen = [paths[i * len(paths) // given.count] for i in range(min(given.count, len(paths)))]
    scores: dict[str, list[dict[str, float]]] = {}
    rows = []
    for seed, path in enumerate(chosen):
        clean = images.read(path).pixels
        pixels = rendered(clean, seed)
        found = methods(pixels, derainer, dehazer, unveiler)
        for name, result in found.items():
            scores.setdefault(name, []).append(metrics.scores(result, clean))
        if seed < 12:
            scale = SHOWN_PX / max(clean.shape[:2])
            shown = [cv2.resize(one, None, fx=scale, fy=scale) for one in (*found.values(), clean)]
            row = np.concatenate(shown, axis=1)
            rows.append(row[: round(0.66 * SHOWN_PX)])
    for name, own in scores.items():
        means = "  ".join(f"{key} {np.mean([row[key] for row in own]):8.4f}" for key in own[0])
        print(f"{name:22} {means}")
    if given.sheet is not None:
        size = max(row.shape[0] for row in rows), max(row.shape[1] for row in rows)
        room = [
            np.pad(row, ((0, size[0] - row.shape[0]), (0, size[1] - row.shape[1]), (0, 0)))
            for row in rows
        ]
        images.write(given.sheet, Picture(np.concatenate(room)))


if __name__ == "__main__":
    main()
