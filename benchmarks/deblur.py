"""Blind deblurring beside classical filters: blurred pictures with their truths, on this machine.

    python benchmarks/deblur.py ./blur/ ./clean/ --sheet deblur.png
    python benchmarks/deblur.py ./photos/ --sharp

PSNR of 8-bit values over all channels, of the whole picture and without a border of 20 px, each at
the best shift of up to 8 px (a kernel and a picture can be shifted against each other), means over
the pictures, and seconds a picture. Both filters of scikit-image, whose rows are left out where it
is not installed, are not blind: they get a Gaussian of 1 px as kernel. With `--sharp` the pictures
are their own truth: what is changed in them is damage.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from ssl_restore.errors import UserError
from ssl_restore.evaluation import baselines, scoring
from ssl_restore.inference.solve import solved
from ssl_restore.io import images
from ssl_restore.io.picture import Picture, Pixels
from ssl_restore.solvers import blind_deblur

SHIFT_PX, BORDER_PX = 8, 20
GUESS_PX = 1.0  # standard deviation of the kernel that the filters get
LEAST_ERROR = 1e-10  # of a picture that came back as it was: 100 dB
SHOWN_PX = 320
Method = Callable[[Pixels], Pixels]


def blind(pixels: Pixels) -> Pixels:
    """`blind_deblur`; a picture that it refuses stays as it is."""
    try:
        return solved(pixels, blind_deblur.solve, device=torch.device("cpu"))[0]
    except UserError as error:
        print(error)
        return pixels


def of_skimage(name: str) -> Method:
    """A filter of `skimage.restoration` on every channel, with a Gaussian as kernel."""
    peer = getattr(importlib.import_module("skimage.restoration"), name)
    line = cv2.getGaussianKernel(2 * round(3 * GUESS_PX) + 1, GUESS_PX)

    def channel(values: Pixels) -> Pixels:
        found = peer(values.astype(np.float64) / 255, line @ line.T)
        found = found[0] if isinstance(found, tuple) else found
        return np.rint(255 * np.clip(found, 0, 1)).astype(np.uint8)

    return lambda pixels: np.stack([channel(pixels[..., c]) for c in range(pixels.shape[2])], 2)


def methods() -> dict[str, Method]:
    """All by name."""
    found: dict[str, Method] = {
        "input": lambda pixels: pixels,
        "unsharp mask (cv2)": baselines.unsharp_mask,
    }
    for name in ("unsupervised_wiener", "richardson_lucy"):
        try:
            found[f"{name} (skimage)"] = of_skimage(name)
        except ImportError:
            print(f"scikit-image is not installed; the row of {name} is left out")
    return found | {"blind_deblur": blind}


def psnr(restored: Pixels, clean: Pixels, border: int = 0) -> float:
    """dB at the best shift, of what both show, without `border` px on each side."""
    height, width = clean.shape[:2]
    one, other = (pixels.astype(np.float32) / 255 for pixels in (restored, clean))
    errors = []
    for down in range(-SHIFT_PX, SHIFT_PX + 1):
        for right in range(-SHIFT_PX, SHIFT_PX + 1):
            (y1, y2), (x1, x2) = (
                (slice(max(0, by), length + min(0, by)), slice(max(0, -by), length + min(0, -by)))
                for by, length in ((down, height), (right, width))
            )
            away = np.square(one[y1, x1] - other[y2, x2])
            inner = away[border : len(away) - border, border : away.shape[1] - border]
            errors.append(float(inner.mean()))
    return float(-10 * np.log10(max(LEAST_ERROR, min(errors))))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n", 1)[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("blurred", type=Path)
    parser.add_argument("clean", type=Path, nargs="?", help="Truths under the same names.")
    parser.add_argument("--sharp", action="store_true", help="The pictures have no blur.")
    parser.add_argument("--limit", type=int, help="Only the first so many pictures.")
    parser.add_argument("--sheet", type=Path, help="Picture to look at, .png.")
    given = parser.parse_args(arguments)
    if given.clean is None and not given.sharp:
        parser.error("give a folder of clean pictures, or --sharp")
    truths = given.blurred if given.sharp else given.clean
    pairs, skipped = scoring.pairs(given.blurred, truths, limit=given.limit)
    print("\n".join(skipped), end="\n" if skipped else "")
    rows: dict[str, list[tuple[float, float, float]]] = {}
    sheet: list[Pixels] = []
    for pair in pairs:
        assert pair.clean is not None
        pixels, clean = (images.read(path).pixels for path in (pair.degraded, pair.clean))
        shown = []
        for name, method in methods().items():
            start = time.perf_counter()
            restored = method(pixels)
            seconds = time.perf_counter() - start
            scores = psnr(restored, clean), psnr(restored, clean, BORDER_PX)
            rows.setdefault(name, []).append((*scores, seconds))
            print(f"{pair.degraded.name:24} {name:30} {scores[0]:6.2f} {scores[1]:6.2f}")
            shown.append(restored)
        sheet.append(row([*shown, clean]))
    print(f"{len(pairs)} pictures {'':21} {'PSNR':>6} {'inside':>6} {'s':>6}")
    for name, scores_of in rows.items():
        print(f"{name:32} " + " ".join(f"{value:6.2f}" for value in np.mean(scores_of, axis=0)))
    if given.sheet is not None:
        width = max(one.shape[1] for one in sheet)
        padded = [np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0))) for one in sheet]
        images.write(given.sheet, Picture(np.concatenate(padded)))


def row(shown: list[Pixels]) -> Pixels:
    """Pictures of one size beside each other, (h, w, 3)."""
    scale = min(1.0, SHOWN_PX / max(shown[0].shape[:2]))
    size = round(shown[0].shape[1] * scale), round(shown[0].shape[0] * scale)
    wide = [np.broadcast_to(one, (*one.shape[:2], 3)) for one in shown]
    return np.concatenate(
        [cv2.resize(np.ascontiguousarray(one), size, interpolation=cv2.INTER_AREA) for one in wide],
        axis=1,
    )


if __name__ == "__main__":
    main()
