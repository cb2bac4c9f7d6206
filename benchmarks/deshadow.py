"""Shadow removal on pairs: shaded pictures and the same without the shadow, on this machine.

    python benchmarks/deshadow.py ./shaded/ ./clean/ --sheet deshadow.png
    python benchmarks/deshadow.py ./shaded/ ./clean/ --masks ./painted/

The two pictures of a pair are taken one after the other, and differ in exposure: every channel of
the clean one is brought to the other by a straight line, fitted where there is no shadow. That is
where the clean one is less than a fifth brighter, after its median; the rest is the shadow, by
which `relight` is given its mask, unless there are painted ones. PSNR of 8-bit values over all
channels in the shadow, elsewhere, and of the whole; means over the pictures, and seconds a picture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from deblur import row
from numpy.typing import NDArray

import ssl_restore
from ssl_restore.evaluation import baselines, scoring
from ssl_restore.inference.solve import solved
from ssl_restore.io import images, masks
from ssl_restore.io.picture import Picture, Pixels
from ssl_restore.restorer import Restorer
from ssl_restore.solvers import relight

BRIGHTER = 0.2  # of the logarithm, in the shadow
SPOT_PX, GAP_PX = 7, 15  # smaller spots are no shadow, and smaller gaps belong to it
NEARBY_PX = 41  # of the outline, where no exposure is measured

Method = Callable[[Pixels], Pixels]
Mask = NDArray[np.bool_]


def of_pair(shaded: Pixels, clean: Pixels) -> tuple[Mask, NDArray[np.float64]]:
    """Where the shadow lies, and the clean picture at the exposure of the shaded one."""
    ratio = np.log((clean.mean(axis=2) + 4) / (shaded.mean(axis=2) + 4)).astype(np.float32)
    ratio = cv2.medianBlur(ratio, 5) - np.median(ratio)
    shadow = (ratio > BRIGHTER).astype(np.uint8)
    shadow = cv2.morphologyEx(shadow, cv2.MORPH_OPEN, np.ones((SPOT_PX, SPOT_PX), np.uint8))
    shadow = cv2.morphologyEx(shadow, cv2.MORPH_CLOSE, np.ones((GAP_PX, GAP_PX), np.uint8))
    lit = cv2.dilate(shadow, np.ones((NEARBY_PX, NEARBY_PX), np.uint8)) == 0
    exposed = clean.astype(np.float64)
    for channel in range(3):
        line = np.polyfit(exposed[lit, channel], shaded[lit, channel].astype(np.float64), 1)
        exposed[..., channel] = np.polyval(line, exposed[..., channel])
    return shadow > 0, exposed.clip(0, 255)


def psnr(restored: Pixels, clean: NDArray[np.float64], chosen: Mask) -> float:
    error = np.square(restored.astype(np.float64) - clean)[chosen].mean()
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def methods(restorer: Restorer | None, mask: Mask) -> dict[str, Method]:
    """All by name."""
    given = torch.from_numpy(mask)[None, None]
    lit = partial(solved, solve=relight.solve, device=torch.device("cpu"), mask=given)
    found: dict[str, Method] = {"input": lambda pixels: pixels, "CLAHE (cv2)": baselines.clahe}
    if restorer is not None:
        found["restorer"] = lambda pixels: np.asarray(ssl_restore.restore(pixels, restorer))
    return found | {"relight, mask given": lambda pixels: lit(pixels)[0]}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n", 1)[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shaded", type=Path)
    parser.add_argument("clean", type=Path, help="The same without shadow, under the same names.")
    parser.add_argument("--masks", type=Path, help="Painted masks under the same names, .png.")
    parser.add_argument("--weights", type=Path, help="Checkpoint of `fit`: its row is added.")
    parser.add_argument("--sheet", type=Path, help="Picture to look at, .png.")
    given = parser.parse_args(arguments)
    restorer = None if given.weights is None else ssl_restore.load(given.weights)
    pairs, skipped = scoring.pairs(given.shaded, given.clean)
    print("\n".join(skipped), end="\n" if skipped else "")
    rows: dict[str, list[tuple[float, ...]]] = {}
    sheet: list[Pixels] = []
    for pair in pairs:
        assert pair.clean is not None
        shaded, clean = (images.read(path).pixels for path in (pair.degraded, pair.clean))
        shadow, exposed = of_pair(shaded, clean)
        mask = shadow
        if given.masks is not None:
            painted = given.masks / pair.degraded.with_suffix(".png").name
            mask = masks.read_mask(painted, shaded.shape[:2])
        shown = []
        for name, method in methods(restorer, mask).items():
            start = time.perf_counter()
            restored = method(shaded)
            seconds = time.perf_counter() - start
            where = shadow, ~shadow, np.ones_like(shadow)
            scores = [psnr(restored, exposed, chosen) for chosen in where]
            rows.setdefault(name, []).append((*scores, seconds))
            shown.append(restored)
        sheet.append(row([*shown, exposed.round().astype(np.uint8)]))
    print(f"{len(pairs)} pictures {'':10} {'shadow':>7} {'outside':>7} {'whole':>7} {'s':>7}")
    for name, scores_of in rows.items():
        print(f"{name:22} " + " ".join(f"{value:7.2f}" for value in np.mean(scores_of, axis=0)))
    if given.sheet is not None:
        width = max(one.shape[1] for one in sheet)
        padded = [np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0))) for one in sheet]
        images.write(given.sheet, Picture(np.concatenate(padded)))


if __name__ == "__main__":
    main()
