"""What was behind the rain in a clip: the median of a pixel's neighbours in time.

    B(x) = median over |k| <= reach, k != 0 of I_k(x)

A drop crosses a pixel in one frame of many, and only brightens it, so that the median does not show
it. The frame itself takes no part. A pixel counts where nothing but rain has moved: where the
tenth percentile over time lies close below the median, and the frame is hardly darker than it.
Neighbours of a moving camera are moved onto the frame by optical flow first.

Reference: Wang et al., "Spatial attentive single-image deraining with a high quality real rain
dataset", CVPR 2019 (medians of fixed cameras).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ssl_restore.calibration import motion
from ssl_restore.calibration.alignment import detailed, shift
from ssl_restore.calibration.motion import Mask, Values
from ssl_restore.errors import UserError
from ssl_restore.io import shots
from ssl_restore.io.picture import Pixels, eight_bit_rgb
from ssl_restore.io.video import Video

REACH, LEAST_REACH = 12, 3  # neighbours to either side
DARKER = 6  # of 255, how far below the median the tenth percentile may lie
BRIGHTER = 8  # of 255, light of what is taken for rain
MOST_SHIFT_PX = 2.0  # over half a window, of a camera that does not move but for wind
REACH_OF_FLOW, LEAST_TRUSTED = 5, 5  # neighbours to either side, and how many must be trusted
COMPARED_SIDE_PX = 480  # of frames that are compared with each other
LOOKS, MOST_CUTS = 5, 3  # windows that tell whether a camera stands still, and cuts in them
SAME_SCENE = 0.5  # likeness of the start, the middle and the end of a window: 0.77 in dense rain
PARTS, LEAST_PARTS = 4, 3  # of a frame along a side, and how many must be like what they were
LARGELY = 0.7  # share of the parts of a smooth scene
LEAST_PART_PX = 32  # side of a part: what is smaller may be like any other
SMOOTH_PX = 1.5  # of the frames that flow is found in: rain is finer


@dataclass(frozen=True)
class Place:
    """A frame, and what its neighbours in time show of the scene behind its rain.

    Example:
        >>> dark = np.zeros((4, 4, 3), np.uint8)
        >>> int(Place(1, dark + 9, dark, np.ones((4, 4), bool)).layer.max())
        9
    """

    number: int  # of the frame, from 1
    frame: Pixels  # (H, W, 3) uint8
    background: Pixels  # (H, W, 3) uint8
    mask: Mask  # (H, W) nothing but rain moved there

    @property
    def layer(self) -> np.ndarray:
        """(H, W, 3) int16: light of the frame over its background, 0 where the mask is not."""
        return (self.frame.astype(np.int16) - self.background) * self.mask[..., None]


@dataclass(frozen=True)
class Clip:
    """Places of a clip, whether its camera stood still, and a line for each window left out."""

    places: tuple[Place, ...]
    fixed: bool
    skipped: tuple[str, ...]


def find(
    video: Video,
    count: int,
    *,
    reach: int = REACH,
    largest_side: int | None = None,
    on_read: Callable[[], object] = lambda: None,
) -> Clip:
    """Up to `count` places spread evenly over a clip.

    Args:
        video: A clip or a folder of frames.
        count: Of places, at least 1.
        reach: Neighbours to either side; fewer where the clip is shorter.
        largest_side: In pixels; larger frames are made smaller.
        on_read: Called after each place.

    Returns:
        Places of one camera: where it moved, all are found by flow.

    Raises:
        UserError: For a clip of fewer than 7 frames, of frames of several sizes, or in which no
            window could be used.
    """
    length = len(video)
    reach = min(reach, (length - 1) // 2)
    if reach < LEAST_REACH:
        raise UserError(
            f"{video.source}: {length} frames; what is behind the rain takes at least "
            f"{2 * LEAST_REACH + 1} in a row"
        )
    anchors = _anchors(length, count, reach)
    fixed = is_fixed(video, reach=reach)
    skipped: list[str] = []
    places: list[Place] = []
    for window in _windows(video, anchors, reach, largest_side):
        if _step(window.frames) is None:
            skipped.append(f"{video.source}: a cut near frame {window.number}, which is left out")
        else:
            places.append(_still(window) if fixed else _by_flow(window))
        on_read()
    if not places:
        raise UserError(
            f"{video.source}: the scene changes from frame to frame ({len(skipped)} windows); give "
            "a clip of one scene, or pictures of a folder as such"
        )
    return Clip(tuple(places), fixed, tuple(skipped))


def _anchors(length: int, count: int, reach: int) -> list[int]:
    """Frames from 0, not at the very ends: there all neighbours lie to one side."""
    margin = min(reach, length // 8)
    places = np.linspace(margin, length - 1 - margin, count).astype(int)
    return [int(at) for at in np.unique(places)]


def is_fixed(video: Video, *, reach: int = REACH) -> bool:
    """Whether a clip shows one scene by a camera that does not move: a quick look at some windows.

    A folder whose pictures differ in size, or show different scenes, does not.
    """
    if len(video) < 2 * LEAST_REACH + 1:
        return False
    reach = min(reach, (len(video) - 1) // 2)
    steps: list[float] = []
    cuts = 0
    try:
        for window in _windows(video, _anchors(len(video), LOOKS, reach), reach):
            step = _step(window.frames)
            if step is None:
                cuts += 1
            else:
                steps.append(step)
            if cuts > MOST_CUTS:  # an album: the rest need not be read
                return False
    except UserError:
        return False
    return bool(steps) and float(np.median(steps)) <= MOST_SHIFT_PX


@dataclass(frozen=True)
class _Window:
    number: int  # of the anchor, from 1
    place: int  # of the anchor among the frames
    frames: list[Pixels]

    @property
    def frame(self) -> Pixels:
        return self.frames[self.place]

    @property
    def near(self) -> list[Pixels]:
        """The neighbours of the anchor."""
        return self.frames[: self.place] + self.frames[self.place + 1 :]


def _windows(
    video: Video, anchors: list[int], reach: int, largest_side: int | None = None
) -> Iterator[_Window]:
    """2 reach + 1 frames about each anchor, moved inwards at the ends of the clip, and no others
    held.

    UserError for frames of another size than the first.
    """
    starts = [min(max(at - reach, 0), len(video) - 2 * reach - 1) for at in anchors]
    wanted = sorted({n for start in starts for n in range(start, start + 2 * reach + 1)})
    listed = [video.frames[n] for n in wanted]
    stream = zip(wanted, shots.pictures(listed, video.max_pixels), strict=True)
    held: dict[int, Pixels] = {}
    size: tuple[int, ...] | None = None
    for at, start in zip(anchors, starts, strict=True):
        for number in [n for n in held if n < start]:
            del held[number]
        while start + 2 * reach not in held:
            number, (frame, read) = next(stream)
            pixels = eight_bit_rgb(read().pixels)
            size = size or pixels.shape
            if pixels.shape != size:
                raise UserError(
                    f"{frame.source}: {pixels.shape[1]}x{pixels.shape[0]}, but the first frame is "
                    f"{size[1]}x{size[0]}; frames of one camera have one size"
                )
            held[number] = smaller(pixels, largest_side)
        frames = [held[n] for n in range(start, start + 2 * reach + 1)]
        yield _Window(at + 1, at - start, frames)


def smaller(pixels: Pixels, largest_side: int | None) -> Pixels:
    """The pixels with no side over that."""
    scale = 1.0 if largest_side is None else largest_side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    shrunk: Pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return shrunk


def _step(frames: list[Pixels]) -> float | None:
    """Pixels by which the scene moves over a window; None where it changes."""
    few = max(1, len(frames) // 5)
    start = (len(frames) - few) // 2
    first, middle, last = (
        np.median([smaller(frame, COMPARED_SIDE_PX) for frame in group], axis=0)
        for group in (frames[:few], frames[start : start + few], frames[-few:])
    )  # hardly any rain is in them
    scale = max(1.0, max(frames[0].shape[:2]) / COMPARED_SIDE_PX)
    steps = [_moved(middle, one) for one in (first, last)]
    return scale * max(steps) if max(steps) < np.inf else None


def _parts(side: int) -> list[slice]:
    count = max(1, min(PARTS, side // LEAST_PART_PX))
    return [slice(side * n // count, side * (n + 1) // count) for n in range(count)]


def _moved(one: np.ndarray, other: np.ndarray) -> float:
    """Pixels by which a scene moved along rows or columns; infinite where it is another one.

    0 where most of the frame is smooth and stays so: then what moves is a thing. Else the median
    over the parts of the frame, most of which a thing that passes does not cover, or where too few
    of them are like what they were the shift of the whole.
    """
    parts = [(rows, columns) for rows in _parts(one.shape[0]) for columns in _parts(one.shape[1])]
    pairs = [(one[part], other[part]) for part in parts]
    counts = [detailed(a) + detailed(b) for a, b in pairs]
    smooth = [pair for pair, count in zip(pairs, counts, strict=True) if count == 0]
    if sum(abs(a.mean() - b.mean()) <= DARKER for a, b in smooth) >= LARGELY * len(pairs):
        return 0.0
    told = [shift(*pair) for pair, count in zip(pairs, counts, strict=True) if count == 2]
    alike = [max(abs(down), abs(right)) for down, right, likeness in told if likeness >= SAME_SCENE]
    if len(alike) >= max(LEAST_PARTS, len(told) / 2):
        return float(np.median(alike))
    down, right, likeness = shift(one, other)
    return max(abs(down), abs(right)) if likeness >= SAME_SCENE else np.inf


def _still(window: _Window) -> Place:
    near = np.stack(window.near)
    tenth, middle = int(0.1 * (len(near) - 1)), len(near) // 2
    ordered = np.partition(near, (tenth, middle - 1, middle), axis=0)
    median = (ordered[middle - 1].astype(np.float32) + ordered[middle]) / 2
    mask = (median - ordered[tenth]).max(axis=2) <= DARKER
    return _place(window, median, mask)


def _by_flow(window: _Window) -> Place:
    here, stack, held = motion.grey(window.frame, SMOOTH_PX), [], []
    for number, frame in enumerate(window.frames):
        if not 1 <= abs(number - window.place) <= REACH_OF_FLOW:
            continue
        other = motion.grey(frame, SMOOTH_PX)
        there, back = motion.flows(here, other)
        trusted = motion.trusted(here, other, there, back)
        warped = motion.warp(frame.astype(np.float32), there)
        stack.append(np.where(trusted[..., None], warped, np.float32(np.nan)))
        held.append(trusted)
    enough = np.sum(held, axis=0) >= LEAST_TRUSTED
    stacked: Values = np.where(enough[..., None], np.stack(stack), np.float32(0))
    return _place(window, np.asarray(np.nanmedian(stacked, axis=0), np.float32), enough)


def _place(window: _Window, median: Values, mask: Mask) -> Place:
    darker = np.minimum(window.frame - median, 0).min(axis=2) >= -2 * DARKER
    background = np.clip(median.round(), 0, 255).astype(np.uint8)
    return Place(window.number, window.frame, background, mask & darker)


def rain(place: Place) -> Mask:
    """(H, W): where a frame is clearly brighter than its background, over 3 x 3 pixels."""
    light = (place.frame.astype(np.float64) - place.background).mean(axis=2)
    found: Mask = (cv2.blur(light, (3, 3)) > BRIGHTER) & place.mask
    return found


def rain_light(place: Place) -> float:
    """Mean light of the rain of a place, of 255, over the pixels that count."""
    light = place.layer.mean(axis=2)[rain(place)]
    return float(light.clip(min=0).sum() / max(1, int(place.mask.sum())))
