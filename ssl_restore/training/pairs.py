"""Pairs of pictures: a degraded one, and the clean one of the same name in another folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import eight_bit_rgb
from ssl_restore.training.data import Pictures, turned, values, window_of


def load(
    degraded: Path,
    clean: Path,
    *,
    patch: int,
    scale: int = 1,
    seed: int = 0,
    recursive: bool = False,
    budget_bytes: int = 2_000_000_000,
    on_read: Callable[[Path], None] = lambda path: None,
) -> tuple[Pictures, Pictures]:
    """The degraded pictures (H, W, 3) of a folder, and as many clean ones (scale H, scale W, 3).

    Files belong together that have the same name but for the extension, and for `x2` (or `x3`,
    `x4`) at the end of a small one's. A picture without its partner, of another size than that
    allows, or smaller than a patch is left out and named. With `recursive`, sub-folders belong
    together that have the same name. Of pairs over the memory budget one window is kept.
    """

    def name(path: Path, folder: Path) -> str:
        return path.relative_to(folder).with_suffix("").as_posix()

    partners = {name(path, clean): path for path in images.find(clean, recursive=recursive)}
    paths = images.find(degraded, recursive=recursive)
    share = budget_bytes // max(1, len(paths)) // (3 * (1 + scale**2))
    both: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    skipped, digest = [], hashlib.blake2b(digest_size=16)
    for index, path in enumerate(paths):
        try:
            own = name(path, degraded)
            other = partners.get(own) or partners.get(own.removesuffix(f"x{scale}"))
            if other is None:
                raise UserError(f"{path}: there is no picture of that name in {clean}")
            small, large = (eight_bit_rgb(images.read(one).pixels) for one in (path, other))
            _check(path, small, other, large, scale, patch)
        except UserError as error:
            skipped.append(str(error))
            continue
        finally:
            on_read(path)
        box = window_of(small.shape[:2], share, patch // scale, rng.derive(seed, "window", index))
        for kept, pixels, times in zip(both, (small, large), (1, scale), strict=True):
            rows, columns = (slice(times * side.start, times * side.stop) for side in box)
            kept.append(pixels[rows, columns].copy())
            digest.update(kept[-1].tobytes())
    fingerprint = digest.hexdigest()
    return (
        Pictures(tuple(both[0]), tuple(skipped), fingerprint),
        Pictures(tuple(both[1]), (), fingerprint),
    )


def draw(
    degraded: Pictures,
    clean: Pictures,
    count: int,
    size: int,
    generator: torch.Generator,
    *,
    upright: bool,
) -> tuple[Tensor, Tensor]:
    """Patches of both at the same places, at their own size; clean ones (count, 3, size, size)."""
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for _ in range(count):
        draws = torch.rand(6, generator=generator).tolist()
        number = int(draws[0] * len(degraded.pixels))
        pair = degraded.pixels[number], clean.pixels[number]
        scale = len(pair[1]) // len(pair[0])
        height, width = (side - size // scale + 1 for side in pair[0].shape[:2])
        top, left = int(draws[1] * height), int(draws[2] * width)
        for patches, pixels, times in zip(found, pair, (1, scale), strict=True):
            y, x, side = times * top, times * left, times * size // scale
            part = values(pixels[y : y + side, x : x + side])
            patches.append(turned(part, draws[3:], upright))
    return torch.stack(found[0]), torch.stack(found[1])


def _check(
    path: Path, small: np.ndarray, other: Path, large: np.ndarray, scale: int, patch: int
) -> None:
    """UserError for a pair that cannot be used."""
    (height, width), (rows, columns) = small.shape[:2], large.shape[:2]
    if (rows, columns) != (scale * height, scale * width):
        wanted = f"{scale * width}x{scale * height}" if scale > 1 else "the same size"
        raise UserError(
            f"{path}: {width}x{height}, but {other} is {columns}x{rows}; {wanted} is expected"
        )
    if min(rows, columns) < patch:
        raise UserError(f"{other}: {columns}x{rows} is smaller than the patch of {patch}")
