"""The built-in derainer, fine-tuned on the one picture by rain like its own that is put on it anew.

    pseudo-clean = restorer(picture),   rain like that of the picture on it and on photographs,
    and the way back

It is the adapter `restore_from_restored` on a stream of one frame: what was learned is kept where
it leaves less light in lines along the streaks and as much texture besides.

Reference: Lee, Cho, Kim and Kim, "Restore from restored: video restoration with pseudo clean
video", CVPR 2021 (for noise).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ssl_restore.adapters import restore_from_restored
from ssl_restore.adapters.rain_of_frames import RAIN
from ssl_restore.adapters.stream import Course
from ssl_restore.errors import UserError
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.mixture import single
from ssl_restore.inference.tiles import restore
from ssl_restore.inference.wrappers import with_quality
from ssl_restore.io import images
from ssl_restore.restorer import Restorer

TASKS = ("derain",)
STEPS = 300  # without a time limit
SIXTEEN_BIT = np.empty((1, 1, 3), np.uint16)  # an example of the pixels that are wanted


def solve(
    image: Tensor,
    *,
    generator: torch.Generator,
    restorer: Restorer | None = None,
    steps: int | None = None,
    seconds: float | None = None,
    lr: float = 0.0,
    quality: str = "good",
    precision: str = "auto",
    tile: int | None = None,
    progress: Callable[[float], None] = lambda share: None,
    notify: Callable[[str], None] = lambda line: None,
) -> dict[str, Tensor]:
    """{"clean"} of a rainy image (1, 3, H, W); one without rain that can be measured, and one with
    a side below 160 px, is restored without learning, as `notify` is told.

    `restorer`, which is not changed and must not be folded, is the built-in derainer by default.
    Settings: `steps` (300 without `seconds`), `lr` (0: the adapter's), `quality` (good or best).
    """
    if restorer is None:
        restorer = load_restorer(None, image.device, task="derain", trainable=True)
    if "optical_depth" not in restorer.layer_names:
        raise UserError(f"a {type(restorer).__name__} predicts no rain; give a derainer")
    frame = images.to_pixels(image.cpu(), SIXTEEN_BIT)
    restorer = single(restorer, frame)
    course = Course(
        steps=STEPS if steps is None and seconds is None else steps, seconds=seconds,
        seed=int(torch.randint(2**62, (), generator=generator)), quality=quality,
        precision=precision, tile=tile, name="", progress=progress,
        notify=lambda line: notify(line.removeprefix(": ")),
    )  # fmt: skip
    progress(0.0)
    try:
        (clean,) = restore_from_restored.build(RAIN, lr=lr)(restorer, [frame], course)
    except UserError as error:
        notify(f"{error.message.removeprefix(': ')}: restored without learning")
        whole = with_quality(restorer, quality)
        clean = restore(whole, frame, tile=tile, precision=precision)
    progress(1.0)
    return {"clean": images.to_tensor(clean).to(image.device)}
