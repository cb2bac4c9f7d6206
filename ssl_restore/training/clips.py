"""Clips and folders of frames as pairs to learn from: a frame, what was behind its rain, and where
that is known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ssl_restore import rng
from ssl_restore.calibration import background
from ssl_restore.errors import UserError
from ssl_restore.io import images, video
from ssl_restore.io.clips.suffixes import is_clip
from ssl_restore.training.data import Pictures, window

PLACES = 48  # frames of a clip that are learned from
LEAST_RAIN = 0.01  # of 255: mean light of the rain, below which there is none to learn from


def load(
    source: Path,
    *,
    patch: int,
    seed: int = 0,
    budget_bytes: int = 2_000_000_000,
    on_read: Callable[[Path], None] = lambda path: None,
) -> Pictures:
    """Frames of a clip, (H, W, 9) each: the frame, its background, and 255 where that holds.

    Over the memory budget one window is kept of each.

    Raises:
        UserError: For a clip that is too short, changes its scene all the time, is smaller than a
            patch, or shows no rain.
    """
    clip = video.find(source)
    found = background.find(clip, PLACES, on_read=lambda: on_read(source))
    height, width = found.places[0].mask.shape
    if min(height, width) < patch:
        raise UserError(f"{source}: {width}x{height} is smaller than the patch of {patch}")
    light = float(np.mean([background.rain_light(place) for place in found.places]))
    if light < LEAST_RAIN:
        raise UserError(
            f"{source}: no rain to be seen between its frames and their backgrounds "
            f"({light:.3f} of 255); give a clip in which it rains"
        )
    pixels, digest = [], hashlib.blake2b(digest_size=16)
    for place in found.places:
        mask = np.repeat(255 * place.mask[..., None].astype(np.uint8), 3, axis=2)
        stack = np.concatenate([place.frame, place.background, mask], axis=2)
        area = budget_bytes // len(found.places) // 9
        kept = window(stack, area, patch, rng.derive(seed, "window", place.number))
        digest.update(kept.tobytes())
        pixels.append(kept)
    camera = (
        "of a camera that stands still"
        if found.fixed
        else "and the camera moves: they are aligned by optical flow, which is less certain"
    )
    notes = [f"{source}: taken for frames of one scene, {camera}", *found.skipped]
    return Pictures(tuple(pixels), (), digest.hexdigest(), tuple(notes))


def are_one_scene(source: Path) -> bool:
    """Whether a clip, or a folder whose pictures are frames of a camera that does not move."""
    if is_clip(source):
        return True
    if not source.is_dir():
        return False
    paths = images.find(source)
    if len(paths) < 2 * background.LEAST_REACH + 1:
        return False
    return background.is_fixed(video.find(source))
