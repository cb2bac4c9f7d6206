"""How a training does: pictures, and their scores without a truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.picture import Picture, Pixels
from ssl_restore.restorer import Restorer

MEASURED_PX = 512  # side of the middle of a picture that is restored and measured
CROP_PX = 256  # side of the middle of that, which is shown
COLUMNS = 4
GAP_PX = 4
LINE_PX = 14  # of text

Measure = Callable[[Pixels, Pixels], dict[str, float]]  # (degraded, restored) -> scores


@dataclass(frozen=True)
class Sample:
    """Pictures, what became of them, and the scores of each."""

    degraded: list[Pixels]
    restored: list[Pixels]
    scores: list[dict[str, float]]

    def mean_scores(self) -> dict[str, float]:
        """Over the pictures that have one; a score that is no number counts as none."""
        values: dict[str, list[float]] = {}
        for scores in self.scores:
            for name, value in scores.items():
                if math.isfinite(value):
                    values.setdefault(name, []).append(value)
        return {name: float(np.mean(found)) for name, found in values.items()}

    def write(self, path: Path) -> None:
        """A PNG: crops above their restored versions, and below the scores of each."""
        pairs = zip(self.degraded, self.restored, strict=True)
        shown = [_as_large(*pair) for pair in pairs]
        rows = [np.hstack([_framed(pixels) for pixels in row])
                for row in (shown, self.restored)]  # fmt: skip
        lines = max((len(scores) for scores in self.scores), default=0)
        if lines:
            rows.append(np.hstack([_written(scores, lines) for scores in self.scores]))
        images.write(path, Picture(np.vstack(rows)))


def sample(
    restorer: Restorer,
    pictures: Sequence[np.ndarray],
    *,
    measure: Measure | None = None,
    precision: str = "auto",
) -> Sample:
    """Restore the middle of four pictures at most, spread evenly over all.

    Args:
        restorer: In evaluation mode.
        pictures: (H, W, 3) uint8 or float32 display values; of (H, W, 3 N) the first three.
        measure: Gives the scores of a picture; None: it has none.
        precision: As of `device.autocast`.
    """
    degraded = middles(pictures)
    restored = [restore(restorer, pixels, precision=precision) for pixels in degraded]
    pairs = zip(degraded, restored, strict=True)
    return Sample(degraded, restored, [measure(*pair) if measure else {} for pair in pairs])


def middles(
    pictures: Sequence[np.ndarray],
    side: int = MEASURED_PX,
    channels: int = 3,
    most: int = COLUMNS,
) -> list[Pixels]:
    """The middle of a few pictures, spread evenly over all, up to `side` pixels, uint8, of the
    first `channels`."""
    picked = np.linspace(0, len(pictures) - 1, min(most, len(pictures))).astype(int)
    return [_middle(_eight_bit(pictures[index][:, :, :channels]), side) for index in picked]


def _middle(pixels: Pixels, side: int) -> Pixels:
    height, width = pixels.shape[:2]
    rows, columns = min(side, height), min(side, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]


def _eight_bit(pixels: Pixels) -> Pixels:
    if pixels.dtype == np.uint8:
        return pixels
    return (pixels * 255).round().clip(0, 255).astype(np.uint8)


def _as_large(pixels: Pixels, like: Pixels) -> Pixels:
    """Repeated until it is as large as what was made of it."""
    return pixels.repeat(like.shape[0] // pixels.shape[0], 0).repeat(
        like.shape[1] // pixels.shape[1], 1
    )


def _framed(pixels: Pixels) -> Pixels:
    """The crop on a black square, with a gap of four pixels."""
    square = np.zeros((CROP_PX + GAP_PX, CROP_PX + GAP_PX, 3), np.uint8)
    crop = _middle(pixels, CROP_PX)
    square[: crop.shape[0], : crop.shape[1]] = crop
    return square


def _written(scores: dict[str, float], lines: int) -> Pixels:
    """A line of text each, (LINE_PX lines, CROP_PX + GAP_PX, 3)."""
    strip = Image.new("RGB", (CROP_PX + GAP_PX, LINE_PX * lines))
    text = "\n".join(
        f"{name}: {'not measurable' if math.isnan(value) else f'{value:.3g}'}"
        for name, value in scores.items()
    )
    ImageDraw.Draw(strip).multiline_text((2, 0), text, fill="white", spacing=2)
    return np.asarray(strip)
