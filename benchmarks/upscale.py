"""Enlarging measured: photographs made smaller, and enlarged again.

    python benchmarks/upscale.py ./photos/ --scale 2 --sheet upscale.png
    python benchmarks/upscale.py ./photos/ --scale 4 --jpeg 75

Rows, PSNR and SSIM over pictures: each pixel repeated, cubic interpolation (OpenCV's), the
restorer, and the restorer over all eight positions.  Photographs are cut to multiples of the scale
and made smaller by the cubic filter without aliasing (`degradations.resample`), in 8 bits; with
--jpeg stored at that quality.  Seconds are of one picture of --speed pixels a side, beside the
layers of EDSR-baseline (Lim et al., CVPRW 2017: 16 blocks of 64 channels), untrained, for time
alone.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from degradations.resample import ResampleParams, resample
from degradations.sensor import quantise
from ssl_restore import weights
from ssl_restore.evaluation import metrics
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.tiles import restore
from ssl_restore.inference.wrappers import SelfEnsemble
from ssl_restore.io import images
from ssl_restore.io.picture import Picture, Pixels, eight_bit_rgb
from ssl_restore.networks.upscaler import Upscaler

SHOWN_PX = 240


def smaller(clean: Pixels, scale: int, quality: int | None) -> Pixels:
    params = ResampleParams(torch.ones(1), scale)
    small = images.to_pixels(quantise(resample(images.to_tensor(clean), params)), clean)
    if quality is None:
        return small
    stored = io.BytesIO()
    Image.fromarray(small).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored).convert("RGB"))


def repeated(small: Pixels, scale: int) -> Pixels:
    return small.repeat(scale, axis=0).repeat(scale, axis=1)


def cubic(small: Pixels, scale: int) -> Pixels:
    size = scale * small.shape[1], scale * small.shape[0]
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC))


def edsr_baseline(scale: int) -> Upscaler:
    net = Upscaler(width=64, blocks=16, scale=scale)
    net.head = nn.Conv2d(64, 3 * scale**2, 3, padding=1)
    return net.eval()


def seconds(method: Callable[[Pixels], Pixels], small: Pixels, repeats: int = 3) -> float:
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        method(small)
        found.append(time.perf_counter() - start)
    return min(found)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n", 1)[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--weights", type=Path, help="[default: built-in]")
    parser.add_argument("--jpeg", type=int, metavar="QUALITY")
    parser.add_argument("--limit", type=int, help="Only the first so many pictures.")
    parser.add_argument("--speed", type=int, default=320, metavar="PX")
    parser.add_argument("--sheet", type=Path, help="Middles of the first 8 to look at, .png.")
    given = parser.parse_args(arguments)
    path = given.weights or weights.upscale(given.scale)
    restorer = load_restorer(path, torch.device("cpu"), task="upscale")
    scale = restorer.scale
    methods: dict[str, Callable[[Pixels], Pixels]] = {
        "repeated": partial(repeated, scale=scale),
        "cubic": partial(cubic, scale=scale),
        "restorer": partial(restore, restorer),
        "restorer, best": partial(restore, SelfEnsemble(restorer)),
    }
    scores: dict[str, list[dict[str, float]]] = {}
    rows = []
    for number, one in enumerate(images.find(given.photos)[: given.limit]):
        whole = eight_bit_rgb(images.read(one).pixels)
        height, width = (side // scale * scale for side in whole.shape[:2])
        clean = np.ascontiguousarray(whole[:height, :width])
        small = smaller(clean, scale, given.jpeg)
        results = {name: method(small) for name, method in methods.items()}
        for name, result in results.items():
            scores.setdefault(name, []).append(metrics.scores(result, clean))
        if number < 8:
            top, left = (height - SHOWN_PX) // 2, (width - SHOWN_PX) // 2
            cut = slice(max(0, top), top + SHOWN_PX), slice(max(0, left), left + SHOWN_PX)
            shown = (results["repeated"], results["cubic"], results["restorer"], clean)
            rows.append(np.concatenate([picture[cut] for picture in shown], axis=1))
    for name, own in scores.items():
        means = "  ".join(f"{key} {np.mean([row[key] for row in own]):8.4f}" for key in own[0])
        print(f"{name:16} {means}")
    small = np.random.default_rng(0).integers(0, 256, (given.speed, given.speed, 3), np.uint8)
    timed: dict[str, Callable[[Pixels], Pixels]] = {
        **methods,
        "EDSR-baseline": partial(restore, edsr_baseline(scale)),
    }
    for name, method in timed.items():
        print(f"{name:16} {seconds(method, small):8.3f} s")
    if given.sheet is not None:
        images.write(given.sheet, Picture(np.concatenate(rows)))


if __name__ == "__main__":
    main()
