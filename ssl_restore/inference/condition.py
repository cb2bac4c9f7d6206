"""What is told of a file before it is restored: which value is white, and what is broken.

white       the largest value that the picture uses (`io.used_range`)
limits      of pixels that are not broken, where more than a few are: the others are mended

Denoisers are told both, all other restorers and solvers where white is. To these a picture that
ends at 13 to 15 of 16 bits is a dark one of 16: what haze or shadow is depends on its brightness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ssl_restore.calibration.broken_pixels import Limits
from ssl_restore.calibration.noise import display_values
from ssl_restore.calibration.noise_sample import sample_of
from ssl_restore.calibration.noise_verdict import limits_of_sample, measured_noise
from ssl_restore.errors import UserError
from ssl_restore.inference.mended import Mended, mended
from ssl_restore.inference.ranged import Ranged, within_white
from ssl_restore.io.jobs import Job
from ssl_restore.io.picture import Pixels, to_whole_numbers
from ssl_restore.io.used_range import used_white
from ssl_restore.restorer import Restorer

NARROW_WHITE = 4095  # of 12 bits: the largest that is white but for denoisers


@dataclass(frozen=True)
class Condition:
    """Of one picture."""

    white: int  # value of white in the file
    most: int  # largest value of the file
    limits: Limits | None  # of pixels that are not broken; None: none is mended

    def around(
        self, restorer: Restorer, wrap: Callable[[Restorer], Restorer] = lambda restorer: restorer
    ) -> Restorer:
        """A restorer of the picture as the file holds it; `wrap` is applied to the one that mends,
        before white is white."""
        whole = restorer if self.limits is None else Mended(restorer, self.limits)
        whole = wrap(whole)
        return whole if self.white == self.most else Ranged(whole, self.white / self.most)

    def solved(
        self, solve: Callable[..., dict[str, Tensor]], image: Tensor, **settings: Any
    ) -> dict[str, Tensor]:
        """The layers of an image (1, 3, H, W) as the file holds it, by a solver."""
        layers: dict[str, Tensor] = {}

        def clean(inside: Tensor) -> Tensor:
            whole = inside if self.limits is None else mended(inside, self.limits)
            layers.update(solve(whole, **settings))
            return layers["clean"]

        if self.white == self.most:
            clean(image)
            return layers
        share = self.white / self.most
        restored = within_white(clean, image, share)
        narrow = {name: share * layer.clamp(max=1) for name, layer in layers.items()}
        return {**narrow, "clean": restored}

    def within(self, result: Tensor, image: Tensor) -> Tensor:
        """A result that goes beyond white only where the image (1, 3, H, W) does."""
        if self.white == self.most:
            return result
        return result.minimum(image.clamp(min=self.white / self.most))

    @property
    def remark(self) -> str | None:
        """What the user should know; None where white is the largest value of the file."""
        if self.white == self.most:
            return None
        bits, all_bits = self.white.bit_length(), self.most.bit_length()
        return f"{bits} of {all_bits} bits are used; white {self.white}"


WHOLE = Condition(1, 1, None)  # of a picture that uses all its bits, and is not mended


def condition_of(pixels: Pixels, white: int | None = None) -> Condition:
    """That of a picture (H, W, C) of any type, measured; `white` may be given.

    UserError for a white that is not one.
    """
    whole = to_whole_numbers(pixels)
    if white is not None and whole is not pixels:
        raise UserError("`white` is of whole numbers of 8 or 16 bits; leave it out")
    found = used_white(whole) if white is None else checked_white(whole, white)
    sample = sample_of(whole)
    measured, _ = measured_noise(sample, found)
    limits = limits_of_sample(display_values(sample, found), measured)
    return Condition(found, int(np.iinfo(whole.dtype).max), limits)


def range_of(pixels: Pixels) -> Condition:
    """Where white is in a picture (H, W, C) that is not to be denoised; nothing is mended.

    It is the largest value of its type but for 16 bits of which 8 to 12 are used.
    """
    if pixels.dtype != np.uint16:
        return WHOLE
    white = used_white(pixels)
    return WHOLE if white > NARROW_WHITE else Condition(white, np.iinfo(np.uint16).max, None)


def told_range(
    job: Job, pixels: Pixels, notify: Callable[[str], None], said: set[str]
) -> Condition:
    """The `range_of` the picture of a job, which is said once for each; of frames the clip tells
    the bits."""
    found = WHOLE if job.as_clip is not None or job.number is not None else range_of(pixels)
    if found.remark is not None and found.remark not in said:
        said.add(found.remark)
        notify(f"{job.source}: {found.remark}")
    return found


def for_pixels(
    restorer: Restorer, wrap: Callable[[Restorer], Restorer] = lambda restorer: restorer
) -> Callable[[Pixels], Restorer]:
    """What gives the restorer of a picture: a denoiser is told its condition, others its range."""
    if restorer.task != "denoise":
        wrapped = wrap(restorer)
        return lambda pixels: range_of(pixels).around(wrapped)
    return lambda pixels: condition_of(pixels).around(restorer, wrap)


def checked_white(pixels: Pixels, white: int) -> int:
    """The given value of white; UserError where half of the picture is beyond, or all of it."""
    most = int(np.iinfo(pixels.dtype).max)
    if white > most:
        raise UserError(f"`white={white}` is beyond {most}, the largest value of its bits")
    beyond = float((pixels > white).mean())
    if beyond > 0.5:
        raise UserError(
            f"{100 * beyond:.0f} % of the values are above `white={white}`; give the "
            "largest value that the picture uses"
        )
    return white
