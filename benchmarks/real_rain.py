"""Real rain against what its neighbours in time show, of cameras that do not move.

    python benchmarks/real_rain.py ./clips/ --weights runs/mine/restorer.safetensors
    python benchmarks/real_rain.py ./clips/ --restored mine=./restored/ --sheet real_rain.png

A row for each clip and restorer: PSNR (dB, RGB) against the background where nothing but rain has
moved, the share of the rain's light that is left, how far all else was changed, and how far it is
from its background then (root mean squares, of 255). Rain is where a frame is brighter than its
background by more than 8 of 255, over 3 x 3 pixels; all else lies more than two pixels away from
it. Fainter rain is there, too: where the distance falls below that of the input, the change is for
the better. The median is without noise and softer than a frame, so look at the sheet, too: input,
background, and what was restored.

`--half` measures the second half of each clip, of which `fit` to the first half knows nothing:

    python benchmarks/real_rain.py ./clips/ --first-half ./halves/
    ssl-restore fit --images ./halves/lane/ --minutes 5 -o runs/lane
    python benchmarks/real_rain.py ./clips/lane.mp4 --half --weights runs/lane/restorer.safetensors
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

import ssl_restore
from ssl_restore.calibration import background
from ssl_restore.calibration.background import Place
from ssl_restore.evaluation.baselines import opening_1x5
from ssl_restore.io import images, video
from ssl_restore.io.clips.suffixes import CLIPS
from ssl_restore.io.picture import Picture, Pixels
from ssl_restore.io.video import Video

NEAR_PX = 5
FRAMES = 400  # of a clip, at most
SHOWN_PX = 320  # side of the pictures on the sheet
Restore = Callable[[str, Place], Pixels]
Scores = tuple[float, float, float, float]


def scores(place: Place, restored: Pixels) -> Scores:
    """PSNR on the mask, share of light left, root mean square change elsewhere, and distance to the
    background there."""
    frame, truth, mask = (
        values.astype(np.float64) for values in (place.frame, place.background, place.mask)
    )
    counted = mask > 0
    rain = background.rain(place)
    near = cv2.dilate(rain.astype(np.uint8), np.ones((NEAR_PX, NEAR_PX))) > 0
    error = restored - truth
    level = 10 * np.log10(255**2 / max(np.square(error[counted]).mean(), 1e-6))
    before, after = (
        np.clip(values[rain].mean(axis=1), 0, None).sum() for values in (frame - truth, error)
    )
    change, distance = (
        np.sqrt(np.square((restored - other)[counted & ~near]).mean()) for other in (frame, truth)
    )
    return float(level), float(after / max(before, 1e-9)), float(change), float(distance)


def places(clip: Path, count: int, side: int, *, half: bool) -> list[Place]:
    found = first_frames(clip)
    if half:
        found = replace(found, frames=found.frames[len(found.frames) // 2 :])
    return list(background.find(found, count, largest_side=side).places)


def first_frames(clip: Path) -> Video:
    found = video.find(clip)
    return replace(found, frames=found.frames[:FRAMES])


def write_first_half(clip: Path, folder: Path, side: int) -> None:
    found = first_frames(clip)
    half = replace(found, frames=found.frames[: len(found.frames) // 2])
    folder.mkdir(parents=True)
    for number, frame in enumerate(half):
        images.write(folder / f"{number:04}.png", Picture(background.smaller(frame, side)))


def read_back(folder: Path) -> Restore:
    """Of pictures that --write wrote, restored by whatever means."""

    def of(name: str, place: Place) -> Pixels:
        return images.read(folder / f"{name}_{place.number}.png").pixels

    return of


def by_weights(weights: str, thorough: float | None = None) -> Restore:
    restorer = ssl_restore.load(weights)

    def of(name: str, place: Place) -> Pixels:
        return np.asarray(ssl_restore.restore(place.frame, restorer, thorough=thorough))

    return of


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("clips", type=Path, help="Clip or a folder of them.")
    parser.add_argument("--weights", action="append", default=[], help="Of a run of `fit`.")
    parser.add_argument(
        "--restored", action="append", default=[], metavar="NAME=FOLDER",
        help="Pictures restored from those of --write.",
    )  # fmt: skip
    parser.add_argument("--thorough", type=float, nargs="*", default=[], help="More rows of each.")
    parser.add_argument("--count", type=int, default=6, help="Measured frames of a clip.")
    parser.add_argument("--side", type=int, default=960, help="Larger frames are made smaller.")
    parser.add_argument("--half", action="store_true", help="The second half of each clip alone.")
    parser.add_argument("--first-half", type=Path, help="New folder for its frames; no scores.")
    parser.add_argument("--write", type=Path, help="New folder for the measured frames.")
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    clips = [asked.clips]
    if asked.clips.is_dir():
        clips = sorted(path for path in asked.clips.iterdir() if path.suffix in CLIPS)
    if asked.first_half:
        for clip in clips:
            write_first_half(clip, asked.first_half / clip.stem, asked.side)
        return
    rows: dict[str, Restore] = {
        "input": lambda name, place: place.frame,
        "opening": lambda name, place: opening_1x5(place.frame),
    }
    named = {"built-in": "derain"} | {Path(path).parent.name: path for path in asked.weights}
    for name, weights in named.items():
        rows[name] = by_weights(weights)
        rows |= {f"{name} {told:g}": by_weights(weights, told) for told in asked.thorough}
    for pair in asked.restored:
        name, _, folder = pair.partition("=")
        rows[name] = read_back(Path(folder))
    found: dict[str, list[Scores]] = {name: [] for name in rows}
    strips: list[np.ndarray] = []
    for clip in clips:
        measured = places(clip, asked.count, asked.side, half=asked.half)
        for place in measured if asked.write else ():
            asked.write.mkdir(parents=True, exist_ok=True)
            images.write(asked.write / f"{clip.stem}_{place.number}.png", Picture(place.frame))
        for name, restore in rows.items():
            restored = [restore(clip.stem, place) for place in measured]
            mean = np.mean([scores(p, r) for p, r in zip(measured, restored, strict=True)], axis=0)
            found[name].append(tuple(mean))
            tell(clip.stem, name, mean)
        if asked.sheet:
            strips.append(strip(clip.stem, measured[len(measured) // 2], rows))
    for name, means in found.items():
        tell("mean", name, np.mean(means, axis=0))
    if asked.sheet:
        cv2.imwrite(str(asked.sheet), cv2.cvtColor(np.vstack(strips), cv2.COLOR_RGB2BGR))


def tell(clip: str, name: str, mean: np.ndarray) -> None:
    level, left, change, distance = mean
    numbers = f"{level:6.2f} dB  light {left:4.0%}  change {change:4.2f}  distance {distance:4.2f}"
    print(f"{clip:22} {name:14} {numbers}", flush=True)


def strip(name: str, place: Place, rows: dict[str, Restore]) -> np.ndarray:
    """The part with the most rain: input, background, restored."""
    light = cv2.blur(place.layer.mean(axis=2).astype(np.float32), (SHOWN_PX, SHOWN_PX))
    y, x = np.unravel_index(int(light.argmax()), light.shape)
    height, width = light.shape
    top = int(np.clip(y - SHOWN_PX // 2, 0, max(0, height - SHOWN_PX)))
    left = int(np.clip(x - SHOWN_PX // 2, 0, max(0, width - SHOWN_PX)))
    shown = [place.frame, place.background]
    shown += [restore(name, place) for row, restore in rows.items() if row != "input"]
    return np.hstack([p[top : top + SHOWN_PX, left : left + SHOWN_PX] for p in shown])


if __name__ == "__main__":
    main()
