"""Whether what a run has learned is better than what it started from, without a truth.

The task itself says of a picture why one result is worse than another (more light in lines along
the rain, texture that is missing ...). Of frames whose background is known, their distance to it
does. Where that is so of most of the pictures, the mean of the weights of both is tried, and else
the start is kept.

Reference: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022 (means of a start
and of what was learned from it).
"""

from __future__ import annotations

import copy
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from ssl_restore.errors import UserError
from ssl_restore.inference.tiles import restore
from ssl_restore.io.files import replacing
from ssl_restore.io.picture import Pixels
from ssl_restore.restorer import Restorer
from ssl_restore.training import checkpoint
from ssl_restore.types import FrameDegradation

Judge = Callable[[Restorer], FrameDegradation]


def worse_than(
    start: Restorer,
    learned: Restorer,
    pictures: Sequence[Pixels],
    judge: Judge,
    *,
    precision: str = "auto",
) -> str | None:
    """Why most pictures are restored worse than by the start; None where nothing says so.

    Pictures in which the task finds nothing to restore do not count.
    """
    verdicts = []
    for number, pixels in enumerate(pictures):
        frames = judge(start)
        try:
            frames.measure(f"picture {number + 1}", pixels)
        except UserError:
            continue
        before, after = (restore(one, pixels, precision=precision) for one in (start, learned))
        verdicts.append(frames.rejected_reason(pixels, before, after))
    return _of_most(verdicts)


def farther_than(
    start: Restorer, learned: Restorer, places: Sequence[Pixels], *, precision: str = "auto"
) -> str | None:
    """Why most frames are restored worse than by the start; None where they are not.

    Args:
        places: (H, W, 9) uint8 each: a frame, its background, and 255 where that is known.
    """
    verdicts = []
    for place in places:
        frame, background, known = (place[..., part : part + 3] for part in (0, 3, 6))
        before, after = (
            np.square(restore(one, frame, precision=precision) - background.astype(float))
            for one in (start, learned)
        )
        worse = after[known > 0].sum() > before[known > 0].sum()
        verdicts.append("farther from what was behind the rain" if worse else None)
    return _of_most(verdicts)


def _of_most(verdicts: Sequence[str | None]) -> str | None:
    reasons = [reason for reason in verdicts if reason is not None]
    if 2 * len(reasons) <= len(verdicts):
        return None
    return Counter(reasons).most_common(1)[0][0]


def mean_of(start: Mapping[str, Tensor], learned: Restorer, share: float = 0.5) -> Restorer:
    """A restorer with the weights (1 - share) start + share learned."""
    mean = copy.deepcopy(learned)
    mean.load_state_dict(
        {
            name: start[name].to(value).lerp(value, share) if value.is_floating_point() else value
            for name, value in learned.state_dict().items()
        }
    )
    return mean


def keep_start(start: Path, weights: Path) -> Path:
    """Put the start in the place of what was learned, which is kept beside it: its new path.

    Whichever moment a kill hits, the weights are whole.
    """
    aside = _aside(weights)
    with replacing(weights) as temporary:
        shutil.copyfile(start, temporary)
    return aside


def keep_mean(mean: Restorer, weights: Path) -> Path:
    """Put a mean in the place of what was learned, as `keep_start` does."""
    aside = _aside(weights)
    checkpoint.save(weights, mean, checkpoint.read_header(weights))
    return aside


def _aside(weights: Path) -> Path:
    aside = weights.with_name(f"learned{weights.suffix}")
    with replacing(aside) as temporary:
        shutil.copyfile(weights, temporary)
    return aside
