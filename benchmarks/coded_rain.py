"""Pairs of rainy and clean pictures as clips of low bit rate show them: rendered, coded, decoded.

    python benchmarks/coded_rain.py ./free_photos ./coded --count 2000
    ssl-restore fit --recipe derain_physics --clean ./free_photos --set pairs=./coded -o runs/mine

Rain in clips is not what was filmed: the coder takes away parts of a streak, smears its colour over
blocks, and makes flat or slanted what was faint. So short clips of photographs with rain, and the
same without, are coded by H.264 alike. A picture of rainy/ is a decoded frame, that of clean/ the
mean of the decoded clean ones, as a median in time would show it. Needs the package av.
"""

from __future__ import annotations

import argparse
import importlib
import io
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from degradations import Rain, Range, Sensor, degrade, uniform
from degradations.rain_kinds import RAIN_KINDS
from ssl_restore import rng
from ssl_restore.io import images
from ssl_restore.io.picture import Picture, Pixels
from ssl_restore.objectives import scenes
from ssl_restore.training import data

SIZE = 256  # of the pictures
FRAMES, KEPT = 9, (2, 7)
CRF: Range = (20.0, 38.0)
SHOWN: Range = (0.6, 1.0)  # size of what is kept, over that of what was coded


def coded(frames: list[Pixels], crf: float) -> list[Pixels]:
    """Frames (H, W, 3) uint8 through H.264 and back."""
    av: Any = importlib.import_module("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as clip:
        stream = clip.add_stream("libx264", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        stream.options = {"crf": f"{crf:.1f}", "preset": "veryfast", "g": "250"}
        for pixels in frames:
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        clip.mux(stream.encode())
    file.seek(0)
    with av.open(file) as clip:
        return [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]


def side_of(shown: float) -> int:
    """Of a frame, a multiple of the blocks of the coder."""
    return round(SIZE / shown / 16) * 16


def eight_bits(image: Tensor) -> Pixels:
    return (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def pair(pictures: data.Pictures, seed: int, number: int) -> list[tuple[Pixels, Pixels]]:
    """Decoded frames with rain, and what they show without."""
    generator = rng.derive(seed, "coded", number)
    shown = float(uniform(SHOWN, (1,), generator))
    side = side_of(shown)
    clean = data.patches(pictures, 1, side, generator, upright=True)
    clean = scenes.out_of_focus(clean, 0.5, generator)
    clean = scenes.in_mist(clean, 0.2, generator)
    clean = degrade(clean, Sensor(gain=(0.4, 1.1)), generator).clamp(0, 1)
    rain = Rain(kinds=tuple(RAIN_KINDS), kind_share=0.85, rain_free=0.05)
    sigma = float(torch.rand(1, generator=generator)) * 0.02

    def noisy(image: Tensor) -> Tensor:
        return image + sigma * torch.randn(image.shape, generator=generator)

    # Other streaks in every frame, of one rain.
    size: tuple[int, int, int, int] = (1, 3, side, side)
    params = rain.sample(size, generator)
    with_rain = [rain.apply(clean, rain.at_frame(params, 1 + 3 * k, size)) for k in range(FRAMES)]
    crf = float(uniform(CRF, (1,), generator))
    rainy = coded([eight_bits(noisy(image)) for image in with_rain], crf)
    dry = coded([eight_bits(noisy(clean)) for _ in range(FRAMES)], crf)
    mean = np.mean(dry[1:], axis=0).round().astype(np.uint8)
    top, left = (int(v * (side - SIZE + 1)) for v in torch.rand(2, generator=generator).tolist())
    return [(shrunk(rainy[k], shown, top, left), shrunk(mean, shown, top, left)) for k in KEPT]


def shrunk(pixels: Pixels, shown: float, top: int, left: int) -> Pixels:
    """What was coded at its size, or made smaller: SIZE x SIZE."""
    import cv2  # noqa: PLC0415

    if shown > 0.95:
        return np.ascontiguousarray(pixels[top : top + SIZE, left : left + SIZE])
    return np.asarray(cv2.resize(pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA))


_PICTURES: list[data.Pictures] = []


def _start(folder: Path) -> None:
    torch.set_num_threads(1)
    _PICTURES.append(data.load(images.find(folder), patch=side_of(SHOWN[0])))


def _make(job: tuple[Path, int, int]) -> None:
    output, seed, number = job
    for place, (rainy, clean) in enumerate(pair(_PICTURES[0], seed, number)):
        name = f"{number:05}-{place}.png"
        images.write(output / "rainy" / name, Picture(rainy))
        images.write(output / "clean" / name, Picture(clean))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--count", type=int, default=2000, help="Clips; two pictures of each.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    for kind in ("rainy", "clean"):
        (asked.output / kind).mkdir(parents=True, exist_ok=True)
    jobs = [
        (asked.output, asked.seed, number)
        for number in range(asked.count)
        if not (asked.output / "clean" / f"{number:05}-{len(KEPT) - 1}.png").exists()
    ]
    with ProcessPoolExecutor(
        asked.workers, initializer=_start, initargs=(asked.photographs,)
    ) as pool:
        for done, _ in enumerate(pool.map(_make, jobs, chunksize=8), start=1):
            if done % 200 == 0:
                print(f"{done} of {len(jobs)}", flush=True)


if __name__ == "__main__":
    main()
