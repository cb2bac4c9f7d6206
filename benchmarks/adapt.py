"""What the adapters gain on videos with noise that a restorer was not trained for.

    ssl-restore fit --recipe benchmarks/adapt.py --clean ./photos/ --from-scratch -o runs/sigma25
    python benchmarks/adapt.py --clip ./frames/ --photos ./photos/ --weights restorer.safetensors

Clean frames of a folder, and frames panned and zoomed out of photographs, get noise: Gaussian of
sigma 40 of 255, Poisson, and Gaussian of sigma 25 that neighbouring pixels share. It is drawn with
a fixed seed, clipped and stored in 8 bits as a video is. Mean PSNR (dB) over the frames: of the
untouched input, of the restorer as it is, and what each adapter adds to that, offline and online.
The recipe of this file makes a denoiser for sigma 25 alone; without --weights the built-in one,
which knows all three kinds, is adapted.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from degradations.noise import CorrelatedNoise, Noise, PoissonNoise
from degradations.types import Degradation
from ssl_restore import discover, rng
from ssl_restore.adapters.stream import Course
from ssl_restore.evaluation.metrics import psnr
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels
from ssl_restore.networks import denoiser
from ssl_restore.objectives.synthetic_noise import SyntheticNoise
from ssl_restore.types import Average, Player, Recipe

FRAMES = 8
BLOCKS = (2, 2, 2)
NOISE: dict[str, Degradation] = {
    "gaussian 40": Noise(gain=(0.0, 0.0), sigma=(40 / 255, 40 / 255)),
    "poisson": PoissonNoise(gain=(0.04, 0.04)),
    "correlated": CorrelatedNoise(sigma=(25 / 255, 25 / 255), width_px=(1.0, 1.0)),
}


def build(*, width: int = 16, lr: float = 2e-3, batch: int = 8, patch: int = 64) -> Recipe:
    """A denoiser for Gaussian noise of sigma 25 of 255 alone."""
    restorer = denoiser.build(width=width, blocks=BLOCKS)
    sigma25 = Noise(gain=(0.0, 0.0), sigma=(25 / 255, 25 / 255))
    objective = SyntheticNoise(restorer, ((sigma25, 1.0),), 0.0)
    optimizer = torch.optim.AdamW(
        restorer.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.01, fused=True
    )
    return Recipe(
        task="denoise",
        network="denoiser", keywords={"width": width, "blocks": BLOCKS}, restorer=restorer,
        averages=(Average(copy.deepcopy(restorer), restorer, 0.998),),
        players=(Player(objective, {"restore": 1.0}, optimizer),),
        needs=frozenset({"clean"}), batch=batch, patch=patch,
    )  # fmt: skip


def panned(photo: Pixels, shift_px: float = 2.3, zoom: float = 1.012) -> list[Pixels]:
    """Frames of a camera that moves over a photograph and nears it."""
    height, width = photo.shape[0] * 2 // 3 // 8 * 8, photo.shape[1] * 2 // 3 // 8 * 8
    frames = []
    for number in range(FRAMES):
        scale = zoom**-number
        left, top = 8 + shift_px * number, 8 + 0.6 * shift_px * number
        place = np.array([[scale, 0, left], [0, scale, top]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        frames.append(cv2.warpAffine(photo, place, (width, height), flags=flags))
    return frames


def clip(folder: Path, side: int | None) -> list[Pixels]:
    """The first frames of a folder, or of their middle."""
    whole = [images.read(path).pixels for path in images.find(folder)[:FRAMES]]
    top, left = (max(0, (size - (side or size)) // 2) for size in whole[0].shape[:2])
    cut = [frame[top : top + (side or len(frame)), left:] for frame in whole]
    return [np.ascontiguousarray(frame[:, : side or frame.shape[1]]) for frame in cut]


def noisy(clean: list[Pixels], prior: Degradation, seed: int) -> list[Pixels]:
    made = []
    for number, frame in enumerate(clean):
        image = images.to_tensor(frame)
        size = (1, 3, *frame.shape[:2])
        params = prior.sample(size, rng.derive(seed, "noise", number))
        made.append(images.to_pixels(prior.apply(image, params), frame))
    return made


def mean_psnr(restored: list[Pixels], clean: list[Pixels]) -> float:
    return float(np.mean([psnr(a, b) for a, b in zip(restored, clean, strict=True)]))


def rows(
    asked: argparse.Namespace, name: str, clean: list[Pixels]
) -> Iterator[tuple[str, float, str]]:
    """(what, dB, remark) of a sequence with each noise."""
    restorer = load_restorer(asked.weights, torch.device("cpu"), task="denoise", trainable=True)
    for kind in asked.noise:
        given = noisy(clean, NOISE[kind], asked.seed)
        yield f"{name}, {kind}: input", mean_psnr(given, clean), ""
        plain = [restore(restorer, frame) for frame in given]
        start = mean_psnr(plain, clean)
        yield f"{name}, {kind}: restorer", start, ""
        for method in asked.method:
            adapt = discover.builder("adapters", method)(discover.task("denoise").stream)
            for online in (False, True):
                steps = asked.online_steps if online else asked.steps
                begun = time.perf_counter()
                found = list(adapt(restorer, given, Course(online=online, steps=steps)))
                seconds = time.perf_counter() - begun
                level = mean_psnr(found, clean)
                last = psnr(found[-1], clean[-1]) - psnr(plain[-1], clean[-1])
                mode = "online" if online else "offline"
                remark = f"{level - start:+.2f}, last frame {last:+.2f}, {seconds:.0f} s"
                yield f"{name}, {kind}: {method} {mode}", level, remark


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, action="append", default=[], help="Clean frames.")
    parser.add_argument("--crop", type=int, help="So many pixels a side of the middle of a clip.")
    parser.add_argument("--photos", type=Path, help="Folder of clean photographs.")
    parser.add_argument("--photo", action="append", default=[], help="Name in it; else 3 of it.")
    parser.add_argument("--weights", type=Path, help="A checkpoint; else the built-in denoiser.")
    parser.add_argument("--noise", action="append", choices=list(NOISE))
    parser.add_argument("--method", action="append", choices=discover.names("adapters"))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--online-steps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.noise = asked.noise or list(NOISE)
    asked.method = asked.method or discover.names("adapters")
    clips = {f.name: clip(f, asked.crop) for f in asked.clip}
    if asked.photos is not None:
        found = images.find(asked.photos)
        chosen = [asked.photos / name for name in asked.photo] or found[:: max(1, len(found) // 3)]
        clips |= {path.stem: panned(images.read(path).pixels) for path in chosen[:3]}
    for name, clean in clips.items():
        for what, level, remark in rows(asked, name, clean):
            print(f"{what:58} {level:6.2f}  {remark}", flush=True)


if __name__ == "__main__":
    main()
