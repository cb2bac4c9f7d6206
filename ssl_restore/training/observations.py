"""Several observations of one scene: finding them in a folder, checking that they fit.

A sub-folder is a scene: its pictures are the observations (a burst). Of pictures that lie in the
folder itself those belong together whose names differ only after the last underscore: `cat_a.png`
and `cat_b.png`, or `cat_01.png` to `cat_08.png`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ssl_restore import rng
from ssl_restore.calibration.alignment import LEAST_LIKENESS, shift
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import eight_bit_rgb
from ssl_restore.training.data import Pictures, window

MOST_SHIFT_PX = 0.5


def scenes(folder: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """The observations of each scene by its name, and a line for each picture that is alone."""
    groups: dict[str, list[Path]] = {}
    for path in images.find(folder, recursive=True):
        if path.parent == folder:
            name = path.stem.rpartition("_")[0] or path.stem
        else:
            name = str(path.parent.relative_to(folder)) + "/"
        groups.setdefault(name, []).append(path)
    alone = [
        f"{paths[0]}: the only observation of its scene; another one is a file of the same name "
        "but for what follows the last underscore"
        for paths in groups.values()
        if len(paths) == 1
    ]
    return {name: paths for name, paths in groups.items() if len(paths) > 1}, alone


def load(
    folder: Path,
    *,
    patch: int,
    seed: int = 0,
    budget_bytes: int = 2_000_000_000,
    on_read: Callable[[Path], None] = lambda path: None,
) -> Pictures:
    """Read the scenes of a folder for training, (H, W, 3 N) each.

    Observations of another size than their scene's first, that are shifted against it by more than
    half a pixel, or that show something else, are left out and named. Of scenes over the memory
    budget one window is kept, the same of each observation. UserError for a folder without pairs.
    """
    found, skipped = scenes(folder)
    if not found:
        raise UserError(
            f"{folder}: no scene was observed twice; name two pictures of a scene NAME_a.png and "
            "NAME_b.png, or give each scene a sub-folder"
        )
    share = budget_bytes // len(found)
    pixels, digest = [], hashlib.blake2b(digest_size=16)
    for index, paths in enumerate(found.values()):
        stack: list[np.ndarray] = []
        for path in paths:
            try:
                one = eight_bit_rgb(images.read(path).pixels)
                _check(path, one, patch, paths[0], stack[0] if stack else None)
            except UserError as error:
                skipped.append(str(error))
            else:
                stack.append(one)
            finally:
                on_read(path)
            if not stack:  # without its first picture there is nothing to compare the others with
                break
        if len(stack) < 2:
            skipped.append(f"{paths[0]}: its scene has no second observation that fits it")
            continue
        generator = rng.derive(seed, "window", index)
        kept = window(np.concatenate(stack, axis=2), share // (3 * len(stack)), patch, generator)
        digest.update(kept.tobytes())
        pixels.append(kept)
    return Pictures(tuple(pixels), tuple(skipped), digest.hexdigest())


def _check(
    path: Path, pixels: np.ndarray, patch: int, first_path: Path, first: np.ndarray | None
) -> None:
    """UserError for a picture that cannot be used, or not beside the first of its scene."""
    height, width = pixels.shape[:2]
    if min(height, width) < patch:
        raise UserError(f"{path}: {width}x{height} is smaller than the patch of {patch}")
    if first is None:
        return
    if pixels.shape != first.shape:
        raise UserError(
            f"{path}: {width}x{height}, but {first_path.name} of the same scene is "
            f"{first.shape[1]}x{first.shape[0]}; observations must show the same pixels"
        )
    rows, columns, likeness = shift(first, pixels)
    if likeness < LEAST_LIKENESS:
        raise UserError(
            f"{path}: does not show what {first_path.name} shows; give each scene a sub-folder, or "
            "names of its own before the last underscore"
        )
    if max(abs(rows), abs(columns)) > MOST_SHIFT_PX:
        raise UserError(
            f"{path}: is shifted against {first_path.name} by {columns:.1f} px across and "
            f"{rows:.1f} px down; align the observations first, or use a tripod"
        )
