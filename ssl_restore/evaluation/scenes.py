"""Pictures of one scene, kept together when a set is split: else what was learned is scored.

The sets of the literature hold scenes more than once: 100 pictures of Rain100L show 91.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import cv2
import torch

from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.io.picture import Pixels

ALIKE = 0.95  # correlation from which two pictures show one scene
FLAT = 2.0  # grey levels of deviation below which the middle of a picture tells no scene
THUMBNAIL_PX = 120  # longest side of all pictures


def scenes(cleans: Mapping[str, Pixels], given: Path | None) -> list[str]:
    """The scene of each picture: by the file NAME -> SCENE, else alike pictures share one.

    Alike: the middle of one, half as wide and high, is found in the other (correlation 0.95), so
    that copies and crops at one scale are recognised.
    """
    if given is not None:
        named = json.loads(given.read_text(encoding="utf-8"))
        if missing := [name for name in cleans if name not in named]:
            raise UserError(f"{given}: names no scene for {missing[0]}")
        return [str(named[name]) for name in cleans]
    scale = THUMBNAIL_PX / max(max(clean.shape) for clean in cleans.values())
    small = [
        cv2.resize(cv2.cvtColor(clean, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale,
                   interpolation=cv2.INTER_AREA)
        for clean in cleans.values()
    ]  # fmt: skip
    scene = list(cleans)
    for i, j in combinations(range(len(scene)), 2):
        if scene[i] != scene[j] and max(
            _contains(small[i], small[j]), _contains(small[j], small[i])
        ):
            scene = [scene[i] if other == scene[j] else other for other in scene]
    return scene


def _contains(one: Pixels, other: Pixels) -> bool:
    """Whether the middle of one is somewhere in the other; (H, W) each."""
    height, width = one.shape
    middle = one[height // 4 : height - height // 4, width // 4 : width - width // 4]
    fits = all(a <= b for a, b in zip(middle.shape, other.shape, strict=True))
    if not fits or middle.std() < FLAT:
        return False
    return float(cv2.matchTemplate(other, middle, cv2.TM_CCOEFF_NORMED).max()) > ALIKE


def parts(scene: Sequence[str], count: int, seed: int) -> list[int]:
    """The part of each picture, 0 to count - 1, of about equal size; scenes are kept together."""
    unique = sorted(set(scene))
    if min(count, len(unique)) < 2:
        raise UserError(f"two scenes and two parts are needed, got {len(unique)} and {count}")
    order = torch.randperm(len(unique), generator=rng.derive(seed, "parts")).tolist()
    sizes = [0] * min(count, len(unique))
    part: dict[str, int] = {}
    for name in sorted((unique[i] for i in order), key=lambda name: -scene.count(name)):
        part[name] = sizes.index(min(sizes))
        sizes[part[name]] += scene.count(name)
    return [part[name] for name in scene]
