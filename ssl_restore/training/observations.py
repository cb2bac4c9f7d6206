"""Several observations of one scene: finding them in a folder, checking that they fit.

A sub-folder is a scene: its pictures are the observations (a burst). Of pictures that lie in the
folder itself those belong together whose names differ only after the last underscore: `cat_a.png`
and `cat_b.png`, or `cat_01.png` to `cat_08.png`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.training.data import Pictures, eight_bit_rgb, window

MOST_SHIFT_PX = 0.5
LEAST_LIKENESS = 0.3  # correlation at the best shift, below which it is another scene
LEAST_DETAIL = 2.0  # grey levels, from which pictures can be compared
_FINE_PX, _COARSE_PX = 2.0, 8.0  # standard deviations that bound the band that is compared

Plane = NDArray[np.float32]


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


def shift(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """(rows, columns, likeness): how far `other` (H, W, C) lies down and to the right of `one`.

    The place of the largest cross-correlation of the band-passed pictures, which independent noise
    does not move, to a fraction of a pixel by a parabola; likeness is the correlation there.
    (0, 0, 1) where the pictures hold little detail besides noise, so that nothing can be told.
    """
    a, b = _detail(one), _detail(other)
    detail = float(min(a.std(), b.std()))
    if detail < LEAST_DETAIL:
        return 0.0, 0.0, 1.0
    edge = cv2.createHanningWindow((a.shape[1], a.shape[0]), cv2.CV_32F)
    a, b = a * edge, b * edge
    match = np.fft.irfft2(np.conj(np.fft.rfft2(a)) * np.fft.rfft2(b), a.shape)
    row, column = (int(place) for place in np.unravel_index(int(match.argmax()), match.shape))
    likeness = float(match[row, column] / np.sqrt((a**2).sum() * (b**2).sum()))
    if likeness < LEAST_LIKENESS and detail < 3 * _noise_in_band(one, other):
        return 0.0, 0.0, 1.0
    return _vertex(match[:, column], row), _vertex(match[row], column), likeness


def _noise_in_band(one: np.ndarray, other: np.ndarray) -> float:
    """Standard deviation, grey levels, that white noise of these pictures has in their `_detail`.

    That of a pixel is told by the median of diagonal differences of the difference picture.
    """
    grey = (one.astype(np.float32) - other).mean(axis=2)
    steps = grey[1:, 1:] - grey[1:, :-1] - grey[:-1, 1:] + grey[:-1, :-1]
    pixel = float(np.median(np.abs(steps))) / (0.6745 * 2) / 2**0.5
    return pixel / (2 * np.pi**0.5 * _FINE_PX)


def _detail(pixels: np.ndarray) -> Plane:
    """Luminance between two scales, grey levels, (H, W)."""
    grey = pixels.astype(np.float32).mean(axis=2)
    fine = cv2.GaussianBlur(grey, (0, 0), _FINE_PX)
    band: Plane = fine - cv2.GaussianBlur(grey, (0, 0), _COARSE_PX)
    return band


def _vertex(match: np.ndarray, peak: int) -> float:
    """Signed place of the top of a parabola through the peak of a circular row, and beside it."""
    size = len(match)
    before, here, after = (float(match[(peak + step) % size]) for step in (-1, 0, 1))
    bend = before - 2 * here + after
    top = peak + (0.5 * (before - after) / bend if bend < 0 else 0.0)
    return top - size if top > size / 2 else top
