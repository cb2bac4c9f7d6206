"""Whether a thing that passes before a fixed camera survives `fit` to the camera's rain.

    python benchmarks/passing.py ./clip.mp4 ./photo.jpg ./frames/
    ssl-restore fit --images ./frames/ --minutes 5 -o runs/lane
    python benchmarks/passing.py ./clip.mp4 ./photo.jpg --weights runs/lane/restorer.safetensors

A piece of a photograph, cut out as an ellipse, moves through the middle third of the first half of
a clip, or of a folder of frames, with the rain of each frame before it, and then, another way,
through that of the second half, which is measured: PSNR (dB, RGB) within the ellipse against the
thing without rain, and against what was behind it, to which a thing that is erased would be close.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

import ssl_restore
from ssl_restore.evaluation.metrics import psnr
from ssl_restore.io import images, video
from ssl_restore.io.picture import Picture, Pixels, eight_bit_rgb

FRAMES = 400  # of a clip, at most
SIZE_PX = (160, 80)  # height and width of the thing
MEASURED = 12  # frames

Scene = tuple[Pixels, Pixels, Pixels, np.ndarray]  # rainy, truth, without the thing, mask


def scenes(frames: list[Pixels], photograph: Pixels, *, back: bool) -> Iterator[Scene]:
    """Every frame; in a third of them the thing moves from left to right, or `back`."""
    background = np.median(frames[:: max(1, len(frames) // 48)], axis=0)
    height, width = SIZE_PX
    top = (photograph.shape[0] - height) // 2
    left = (photograph.shape[1] - width) // 2
    thing = photograph[top : top + height, left : left + width].astype(float)
    mask = np.zeros(SIZE_PX, np.uint8)
    middle = (width // 2, height // 2)
    cv2.ellipse(mask, middle, (width // 2 - 2, height // 2 - 2), 0, 0, 360, 255, -1)
    room = np.array(background.shape[:2]) - SIZE_PX
    for number, frame in enumerate(frames):
        along = 3 * number / max(1, len(frames) - 1) - 1
        if not 0 <= along <= 1:
            unseen = np.zeros(background.shape[:2], bool)
            still = background.round().astype(np.uint8)
            yield frame, still, still, unseen
            continue
        y, x = room[0] * 2 // 3, round(room[1] * (1 - along if back else along))
        place = slice(y, y + height), slice(x, x + width)
        alpha = mask[..., None] / 255
        behind = background[place]
        truth, rainy = background.copy(), frame.astype(float)
        truth[place] = (1 - alpha) * behind + alpha * thing
        rain = np.clip(frame[place] - behind, 0, None)
        rainy[place] = (1 - alpha) * frame[place] + alpha * (thing + rain)
        whole = np.zeros(background.shape[:2], bool)
        whole[place] = mask > 0
        pictures = (p.clip(0, 255).round().astype(np.uint8) for p in (rainy, truth, background))
        yield (*pictures, whole)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("photograph", type=Path)
    parser.add_argument("frames", type=Path, nargs="?", help="New folder for the first half.")
    parser.add_argument("--weights", action="append", default=[], help="Of a run of `fit`.")
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    found = video.find(asked.clip)
    whole = [eight_bit_rgb(frame) for frame in replace(found, frames=found.frames[:FRAMES])]
    photograph = eight_bit_rgb(images.read(asked.photograph).pixels)
    if any(np.any(np.array(shown.shape[:2]) < SIZE_PX) for shown in (whole[0], photograph)):
        parser.error(f"frames and photograph of at least {SIZE_PX[1]} x {SIZE_PX[0]} are needed")
    half = len(whole) // 2
    if asked.frames:
        asked.frames.mkdir(parents=True)
        for number, scene in enumerate(scenes(whole[:half], photograph, back=False)):
            images.write(asked.frames / f"{number:04}.png", Picture(scene[0]))
        return
    chosen = [scene for scene in scenes(whole[half:], photograph, back=True) if scene[3].any()]
    chosen = chosen[:: max(1, len(chosen) // MEASURED)]
    strips = []
    for name in ("input", "derain", *asked.weights):
        restorer = None if name == "input" else ssl_restore.load(name)
        rows = []
        for rainy, truth, without, mask in chosen:
            restored = rainy
            if restorer is not None:
                restored = np.asarray(ssl_restore.restore(rainy, restorer))
            thing = restored[mask][None]
            rows.append((psnr(thing, truth[mask][None]), psnr(thing, without[mask][None])))
        to_thing, to_background = np.mean(rows, axis=0)
        print(f"{name:40} thing {to_thing:6.2f} dB  what is behind it {to_background:6.2f} dB")
        strips.append(restored)
    if asked.sheet:
        cv2.imwrite(str(asked.sheet), cv2.cvtColor(np.hstack(strips), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
