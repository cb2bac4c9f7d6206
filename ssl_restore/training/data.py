"""Pictures in memory, and patches drawn from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import eight_bit_rgb

MAX_SHRINK = 3
SHRUNK_SIDE_PX = 240  # a picture is not shrunk below this


@dataclass(frozen=True)
class Pictures:
    """Pictures of one kind, and what was left out.

    (H, W, 3) uint8 each, or float32 display values, which may go beyond black and white. Of a
    scene that was observed N times (H, W, 3 N): one observation after the other.
    """

    pixels: tuple[np.ndarray, ...]
    skipped: tuple[str, ...]  # one line a file that could not be used
    fingerprint: str  # of the pixels: tells whether a resumed run sees the same data
    notes: tuple[str, ...] = ()  # what the user should know, a line each


def load(
    paths: Iterable[Path],
    *,
    patch: int,
    seed: int = 0,
    budget_bytes: int = 2_000_000_000,
    on_read: Callable[[Path], None] = lambda path: None,
) -> Pictures:
    """Read pictures for training; unreadable ones and ones smaller than a patch are skipped.

    A folder larger than the memory budget is thinned: of each large picture one window is kept,
    drawn from the seed. Each page of a stack is a picture. All are reduced to 8 bits.
    """
    paths = list(paths)
    share = budget_bytes // max(1, sum(map(images.page_count, paths)))
    pixels, skipped, digest = [], [], hashlib.blake2b(digest_size=16)
    for index, path in enumerate(paths):
        try:
            for page, picture in enumerate(images.pages(path)):
                stream = "window" if page == 0 else f"window/{page}"
                whole = picture.pixels
                if min(whole.shape[:2]) < patch:
                    size = f"{whole.shape[1]}x{whole.shape[0]}"
                    raise UserError(f"{path}: {size} is smaller than the patch of {patch}")
                part = window(whole, share // 3, patch, rng.derive(seed, stream, index))
                kept = eight_bit_rgb(part)
                digest.update(kept.tobytes())
                pixels.append(kept)
        except UserError as error:
            skipped.append(str(error))
        finally:
            on_read(path)
    return Pictures(tuple(pixels), tuple(skipped), digest.hexdigest())


def hold_out(pictures: Pictures, most: int) -> tuple[Pictures, tuple[np.ndarray, ...]]:
    """Pictures to learn from, and up to `most` others, one of ten, spread evenly over the folder.

    Of fewer than ten pictures none is held out.
    """
    count = min(most, len(pictures.pixels) // 10)
    aside = set(np.linspace(0, len(pictures.pixels) - 1, count).astype(int).tolist())
    learned = (one for number, one in enumerate(pictures.pixels) if number not in aside)
    held = tuple(pictures.pixels[number] for number in sorted(aside))
    return replace(pictures, pixels=tuple(learned)), held


def window(pixels: np.ndarray, area: int, least: int, generator: torch.Generator) -> np.ndarray:
    """A random window of at most `area` pixels, of the picture's own shape, `least` to a side."""
    rows, columns = window_of(pixels.shape[:2], area, least, generator)
    part = pixels[rows, columns]
    return pixels if part.shape == pixels.shape else part.copy()


def window_of(
    size: tuple[int, ...], area: int, least: int, generator: torch.Generator
) -> tuple[slice, slice]:
    """Rows and columns of that window of a picture of (height, width)."""
    height, width = size
    scale = (area / (height * width)) ** 0.5
    if scale >= 1:
        return slice(0, height), slice(0, width)
    rows, columns = max(least, int(height * scale)), max(least, int(width * scale))
    top = int(torch.randint(height - rows + 1, (), generator=generator))
    left = int(torch.randint(width - columns + 1, (), generator=generator))
    return slice(top, top + rows), slice(left, left + columns)


def patches(
    pictures: Pictures,
    count: int,
    size: int,
    generator: torch.Generator,
    *,
    upright: bool,
    shrink: int = MAX_SHRINK,
) -> Tensor:
    """`count` random patches (count, 3, size, size) float32, uint8 pixels as [0, 1].

    Large pictures are also seen at a half and a third of their size (down to 1 / `shrink`).
    `upright` pictures are only mirrored left to right (rain falls down); others take all eight
    symmetries of the square.
    """
    drawn = (_crop(pictures, size, generator, upright, shrink)[:3] for _ in range(count))
    return torch.stack(list(drawn))


def observations(
    scenes: Pictures,
    count: int,
    size: int,
    generator: torch.Generator,
    *,
    upright: bool,
    shrink: int = MAX_SHRINK,
) -> Tensor:
    """`count` pairs of patches (count, 2, 3, size, size): two observations of a place each."""
    pairs = []
    for _ in range(count):
        (seen,) = views(scenes, 1, size, generator, upright=upright, shrink=shrink)
        first, step = torch.rand(2, generator=generator).tolist()
        one = int(first * len(seen))
        other = (one + 1 + int(step * (len(seen) - 1))) % len(seen)
        pairs.append(seen[[one, other]])
    return torch.stack(pairs)


def views(
    scenes: Pictures,
    count: int,
    size: int,
    generator: torch.Generator,
    *,
    upright: bool,
    shrink: int = MAX_SHRINK,
) -> Tensor:
    """`count` patches with all that is known of them (count, N, 3, size, size)."""
    drawn = (_crop(scenes, size, generator, upright, shrink) for _ in range(count))
    return torch.stack([crop.unflatten(0, (-1, 3)) for crop in drawn])


def _crop(
    pictures: Pictures, size: int, generator: torch.Generator, upright: bool, shrink: int
) -> Tensor:
    """One random patch (C, size, size) of a random picture (H, W, C)."""
    draw = torch.rand(7, generator=generator).tolist()
    whole = pictures.pixels[int(draw[0] * len(pictures.pixels))]
    height, width = whole.shape[:2]
    most = min(shrink, max(1, min(height, width) // max(SHRUNK_SIDE_PX, size)))
    factor = 1 + int(draw[1] * most)
    side = size * factor
    top, left = int(draw[2] * (height - side + 1)), int(draw[3] * (width - side + 1))
    patch = F.avg_pool2d(values(whole[top : top + side, left : left + side]), factor)
    return turned(patch, draw[4:], upright)


def values(pixels: np.ndarray) -> Tensor:
    """(H, W, C), uint8 or float32 -> display values (C, H, W)."""
    part = torch.from_numpy(pixels)
    return part.permute(2, 0, 1).float() / (1 if part.is_floating_point() else 255)


def turned(patch: Tensor, draws: list[float], upright: bool) -> Tensor:
    """A patch (C, H, W) mirrored by the first of three draws; unless `upright`, by the second from
    top to bottom, and by the third about its diagonal."""
    if draws[0] < 0.5:
        patch = patch.flip(2)
    if not upright and draws[1] < 0.5:
        patch = patch.flip(1)
    if not upright and draws[2] < 0.5:
        patch = patch.transpose(1, 2)
    return patch
