"""Real rain against what its neighbours in time show: a truth that nobody had to take.

    python benchmarks/rain_video.py ./frames/ --method frame2frame

A pixel is rarely behind a drop twice within a few frames. The frames of a video (a clip, or a
folder of frames) around one of them, moved onto it by optical flow, have a median without rain; the
frame itself is not among them. Mean PSNR (dB) against that median where at least five neighbours
can be trusted, and the variance along the motion (of 255, squared): what flickers. The median is a
little softer than a frame, and without noise, which a restorer that blurs is rewarded for; so the
share of the light of drops that is left is told apart from how far all else is changed (root mean
square, of 255). Drops are where a frame is brighter than its median over an upright line. Look at
the pictures of --sheet, too, which show a frame, the median and what was restored.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from ssl_restore import discover
from ssl_restore.adapters.stream import Course
from ssl_restore.calibration import motion
from ssl_restore.calibration.motion import Mask, Values
from ssl_restore.evaluation.baselines import opening_1x5
from ssl_restore.inference.fine_to_coarse import restore_pixels
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.mixture import single
from ssl_restore.io import video
from ssl_restore.io.picture import Pixels

LEAST_NEIGHBOURS = 5
DROP_PX, DROP_LIGHT = 5, 12  # height of the line, odd, and how much brighter, of 255
SMOOTH_PX = 1.5  # of the frames as they came that flow is found in: rain is finer


@dataclass(frozen=True)
class Place:
    """A frame, and where its pixels are in its neighbours."""

    at: int
    flows: dict[int, tuple[Values, Mask]]  # of each neighbour: flow (H, W, 2), trusted
    median: Values  # (H, W, 3), of 255
    trusted: Mask  # (H, W)


def moved(frames: list[Pixels], flows: dict[int, tuple[Values, Mask]]) -> Values:
    """(N, H, W, 3): the neighbours on the frame, not a number where they are not trusted."""
    stack = []
    for number, (flow, mask) in flows.items():
        warped = motion.warp(frames[number].astype(np.float32), flow)
        stack.append(np.where(mask[..., None], warped, np.float32(np.nan)))
    return np.stack(stack)


def place(frames: list[Pixels], at: int, reach: int) -> Place:
    here, flows = motion.grey(frames[at], SMOOTH_PX), {}
    for number in range(max(0, at - reach), min(len(frames), at + reach + 1)):
        if number != at:
            other = motion.grey(frames[number], SMOOTH_PX)
            there, back = motion.flows(here, other)
            flows[number] = there, motion.trusted(here, other, there, back)
    enough = np.sum([mask for _, mask in flows.values()], axis=0) >= LEAST_NEIGHBOURS
    stack = np.where(enough[..., None], moved(frames, flows), np.float32(0))
    return Place(at, flows, np.asarray(np.nanmedian(stack, axis=0), np.float32), enough)


def decibels(frames: list[Pixels], places: list[Place]) -> float:
    errors = [(frames[p.at] - p.median)[p.trusted] for p in places]
    return float(np.mean([10 * np.log10(255**2 / np.square(e).mean()) for e in errors]))


def flicker(frames: list[Pixels], places: list[Place]) -> float:
    """Mean variance along the motion, of 255 squared."""
    found = []
    for p in places:
        stack = np.concatenate([frames[p.at][None].astype(np.float32), moved(frames, p.flows)])
        found.append(np.nanvar(stack[:, p.trusted], axis=0).mean())
    return float(np.mean(found))


def drops(frame: Pixels, at: Place) -> Mask:
    light = np.where(at.trusted, (frame - at.median).mean(axis=2), 0)
    line = cv2.morphologyEx(light, cv2.MORPH_OPEN, np.ones((DROP_PX, 1), np.uint8))
    return line > DROP_LIGHT


def light_left(frames: list[Pixels], restored: list[Pixels], places: list[Place]) -> float:
    """Share of the light of the drops that is left; not a number where no drop is seen."""
    seen = [(p, drops(frames[p.at], p)) for p in places]
    before, after = (
        sum(float((video[p.at] - p.median)[mask].sum()) for p, mask in seen)
        for video in (frames, restored)
    )
    return after / before if before else float("nan")


def changed(frames: list[Pixels], restored: list[Pixels], places: list[Place]) -> float:
    """Root mean square of what was changed away from drops, of 255."""
    found = []
    for p in places:
        near = cv2.dilate(drops(frames[p.at], p).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        change = restored[p.at].astype(np.float32) - frames[p.at]
        found.append(np.square(change[p.trusted & ~near]).mean())
    return float(np.sqrt(np.mean(found)))


def sheet(path: Path, frames: list[Pixels], restored: list[Pixels], at: Place) -> None:
    median = np.where(at.trusted[..., None], at.median, 0).clip(0, 255).astype(np.uint8)
    shown = np.hstack([frames[at.at], median, restored[at.at]])
    cv2.imwrite(str(path), cv2.cvtColor(shown, cv2.COLOR_RGB2BGR))


def clip(path: Path, box: list[int] | None) -> list[Pixels]:
    """All frames, or the part LEFT, TOP, RIGHT, BOTTOM of each."""
    left, top, right, bottom = box or (0, 0, None, None)
    return [np.ascontiguousarray(frame[top:bottom, left:right]) for frame in video.find(path)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--box", type=int, nargs=4, metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"))
    parser.add_argument("--weights", type=Path, action="append", default=[])
    parser.add_argument("--method", action="append", default=[], choices=discover.names("adapters"))
    parser.add_argument("--every", type=int, default=12, help="Measured frames.")
    parser.add_argument("--reach", type=int, default=5, help="Neighbours to either side.")
    parser.add_argument("--sheet", type=Path, help="PNG of the first measured frame.")
    asked = parser.parse_args()
    frames = clip(asked.video, asked.box)
    places = [
        place(frames, at, asked.reach)
        for at in range(asked.reach, len(frames) - asked.reach, asked.every)
    ]

    def tell(name: str, restored: list[Pixels]) -> None:
        level, variance = decibels(restored, places), flicker(restored, places)
        left, others = light_left(frames, restored, places), changed(frames, restored, places)
        print(
            f"{name:42} {level:6.2f} dB  variance {variance:6.2f}  "
            f"light of drops {left:4.0%}  elsewhere changed by {others:5.2f}",
            flush=True,
        )

    share = np.mean([p.trusted.mean() for p in places])
    print(f"{len(frames)} frames, {len(places)} measured, {share:.0%} of their pixels trusted")
    tell("input", frames)
    tell("opening 1x5", [opening_1x5(frame) for frame in frames])
    for weights in asked.weights or [None]:
        restorer = load_restorer(weights, torch.device("cpu"), task="derain", trainable=True)
        name = "built-in" if weights is None else weights.parent.name
        restored = [restore_pixels(restorer, frame, scale=None) for frame in frames]
        tell(name, restored)
        if asked.sheet is not None:
            sheet(asked.sheet, frames, restored, places[0])
        learner = single(restorer, frames[0])
        for method in asked.method:
            adapt: Callable[..., Iterable[Pixels]] = discover.builder("adapters", method)(
                discover.task("derain").stream
            )
            for online in (False, True):
                course = Course(online=online, notify=print)
                mode = "online" if online else "offline"
                tell(f"{name}, {method} {mode}", list(adapt(learner, frames, course)))


if __name__ == "__main__":
    main()
