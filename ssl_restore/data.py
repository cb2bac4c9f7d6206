"""Unpaired pictures in memory, and patches drawn from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from . import images, rng
from .errors import UserError

MAX_SHRINK = 3
SHRUNK_SIDE_PX = 240  # a picture is not shrunk below this


@dataclass(frozen=True)
class Pictures:
    """Pictures of one kind, (H, W, 3) uint8 each, and what was left out."""

    pixels: tuple[np.ndarray, ...]
    skipped: tuple[str, ...]  # one line a file that could not be used
    fingerprint: str  # of the pixels: tells whether a resumed run sees the same data


def load(
    paths: Iterable[Path],
    *,
    patch: int,
    seed: int = 0,
    budget_bytes: int = 2_000_000_000,
    seen: Callable[[Path], None] = lambda path: None,
) -> Pictures:
    """Read pictures for training; unreadable ones and ones smaller than a patch are skipped.

    A folder larger than the memory budget is thinned: of each large picture one window is kept,
    drawn from the seed. 16-bit pictures are reduced to 8 bits.
    """
    paths = list(paths)
    share = budget_bytes // max(1, len(paths))
    pixels, skipped, digest = [], [], hashlib.blake2b(digest_size=16)
    for index, path in enumerate(paths):
        try:
            whole = images.read(path).pixels
        except UserError as error:
            skipped.append(str(error))
            continue
        finally:
            seen(path)
        if min(whole.shape[:2]) < patch:
            height, width = whole.shape[:2]
            skipped.append(f"{path}: {width}x{height} is smaller than the patch of {patch}")
            continue
        window = _window(whole, share // 3, patch, rng.derive(seed, "window", index))
        kept = _eight_bit_rgb(window)
        digest.update(kept.tobytes())
        pixels.append(kept)
    return Pictures(tuple(pixels), tuple(skipped), digest.hexdigest())


def _window(pixels: np.ndarray, area: int, least: int, generator: torch.Generator) -> np.ndarray:
    """A random window of at most `area` pixels, of the picture's own shape, `least` to a side."""
    height, width = pixels.shape[:2]
    scale = (area / (height * width)) ** 0.5
    if scale >= 1:
        return pixels
    rows, columns = max(least, int(height * scale)), max(least, int(width * scale))
    top = int(torch.randint(height - rows + 1, (), generator=generator))
    left = int(torch.randint(width - columns + 1, (), generator=generator))
    return pixels[top : top + rows, left : left + columns].copy()


def _eight_bit_rgb(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    return np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def patches(
    pictures: Pictures, count: int, size: int, generator: torch.Generator, *, upright: bool
) -> Tensor:
    """`count` random patches (count, 3, size, size) float32 in [0, 1].

    Large pictures are also seen at a half and a third of their size. `upright` pictures are only
    mirrored left to right (rain falls down); others take all eight symmetries of the square.
    """
    found = []
    for _ in range(count):
        draw = torch.rand(7, generator=generator).tolist()
        whole = pictures.pixels[int(draw[0] * len(pictures.pixels))]
        height, width = whole.shape[:2]
        most = min(MAX_SHRINK, max(1, min(height, width) // max(SHRUNK_SIDE_PX, size)))
        shrink = 1 + int(draw[1] * most)
        side = size * shrink
        top, left = int(draw[2] * (height - side + 1)), int(draw[3] * (width - side + 1))
        window = torch.from_numpy(whole[top : top + side, left : left + side])
        patch = F.avg_pool2d(window.permute(2, 0, 1).float() / 255, shrink)
        if draw[4] < 0.5:
            patch = patch.flip(2)
        if not upright and draw[5] < 0.5:
            patch = patch.flip(1)
        if not upright and draw[6] < 0.5:
            patch = patch.transpose(1, 2)
        found.append(patch)
    return torch.stack(found)
