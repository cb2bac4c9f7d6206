"""What can be said of a restored picture without its truth.

    change    root mean square of restored - degraded, of 255
    niqe      distance from the statistics of good photographs (`niqe.py`), lower is better
    blur      share of the differences of neighbours that survive a mean of 11 pixels, from 0 to 1

beside what the task says of what is left (`rain_left.py`, `noise_left.py`). None of them knows what
was behind the degradation: a restorer that paints over the picture can have a low NIQE, and one
that returns its input has no change. Read them together, and look at the pictures.

Reference of blur: Crete, Dolmiere, Ladret and Nicolas, "The blur effect: perception and estimation
with a new no-reference perceptual blur metric", SPIE 2007.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from ssl_restore.errors import UserError
from ssl_restore.evaluation.metrics import studio_luma
from ssl_restore.evaluation.niqe import niqe
from ssl_restore.io.picture import Pixels

TAPS = 11  # pixels
Measure = Callable[[Pixels, Pixels], dict[str, float]]  # (degraded, restored)


def scores(degraded: Pixels, restored: Pixels, measure: Measure) -> dict[str, float]:
    """Those of the task, `change`, `niqe` and `blur`, of (H, W, 3) 8-bit pictures.

    Raises:
        UserError: For pictures of different sizes.
    """
    if degraded.shape != restored.shape:
        sizes = " and ".join(f"{p.shape[1]} x {p.shape[0]}" for p in (degraded, restored))
        raise UserError(f"pictures to compare must be of one size, got {sizes}")
    error = restored.astype(np.float32) - degraded
    change = math.sqrt(float(np.square(error).mean(dtype=np.float64)))
    own = measure(degraded, restored)
    return {**own, "change": change, "niqe": niqe(restored), "blur": blur(restored)}


def blur(picture: Pixels) -> float:
    """(sum D - sum max(0, D - D_b)) / sum D, of the softer direction; NaN for a flat picture.

    D are the differences of neighbours along an axis, D_b those after a mean of 11 pixels along it.

    Example:
        >>> blur(np.full((32, 32, 3), 7, np.uint8))
        nan
    """
    luma = studio_luma(picture)[..., 0]
    shares = []
    for axis, taps in ((0, (1, TAPS)), (1, (TAPS, 1))):
        smooth = cv2.blur(luma, taps, borderType=cv2.BORDER_REFLECT)
        sharp, soft = (np.abs(np.diff(values, axis=axis)) for values in (luma, smooth))
        total = float(sharp.sum())
        lost = float(np.clip(sharp - soft, 0, None).sum())
        shares.append((total - lost) / total if total > 0 else math.nan)
    return max(shares)
