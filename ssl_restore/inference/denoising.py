"""How `denoise` restores a picture: by what its noise is measured to be, unless it is told.

    white       the largest value that the picture uses (`io.used_range`)
    grain       2, every second pixel by itself, where the restorer leaves coarse noise that it
                then takes: both are tried on a part of the picture
    strength    0 for a picture in which there is no noise at all, else 1
    mended      broken pixels, where they are more than a few, before the restorer sees them

Measured is one channel of a sample of the picture. What is chosen is said in a line, once for all
pictures that are treated alike; what is left of the noise is measured as well, and said where it is
much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ssl_restore.calibration import noise
from ssl_restore.calibration.broken_pixels import Limits
from ssl_restore.calibration.noise import PictureNoise, display_values
from ssl_restore.calibration.noise_sample import sample_of
from ssl_restore.calibration.noise_verdict import (
    NO_NOISE,
    described,
    level_at_half,
    limits_of_sample,
    measured_noise,
    remark,
)
from ssl_restore.errors import UserError
from ssl_restore.inference.condition import Condition, checked_white
from ssl_restore.inference.tiles import restore
from ssl_restore.inference.wrappers import Strength, with_pixel_shuffle, with_quality
from ssl_restore.io.picture import Picture, Pixels, to_whole_numbers
from ssl_restore.io.used_range import used_white
from ssl_restore.restorer import Restorer

COARSE = 0.6  # correlation of neighbours from which a coarser grain is tried
LEAST_COARSE = 3 / 255  # deviation from which it is
LEFT_COARSE = 2 / 255  # deviation at half the size that the finer grain must leave
COARSER_TAKES = 0.35  # share of it that the coarser one must take


@dataclass(frozen=True)
class Treatment:
    """How a picture is restored."""

    grain: int
    strength: float
    condition: Condition

    def __str__(self) -> str:
        words = f"grain {self.grain}, strength {self.strength:g}, white {self.condition.white}"
        return words if self.condition.limits is None else f"{words}, broken pixels mended"


class Treatments:
    """Chooses the treatment of every picture.

    Args:
        restorer: What is applied.
        quality: As of `with_quality`.
        grain: None: measured, as strength and white are.
        strength: As of `wrappers.Strength`.
        white: Value of white in the files.
        calibration: File of `calibrate --noise`; None: each picture is measured.
        precision: As of `tiles.restore`.
        notify: Called with what was chosen, and with what is left.
    """

    def __init__(
        self,
        restorer: Restorer,
        *,
        quality: str = "good",
        grain: int | None = None,
        strength: float | None = None,
        white: int | None = None,
        calibration: Path | None = None,
        precision: str = "auto",
        notify: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.restorer, self.quality, self.precision = restorer, quality, precision
        self.grain, self.strength, self.white = grain, strength, white
        self.notify = notify
        self.known = None if calibration is None else _median(calibration)
        self._said: set[str] = set()
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        """All but the lock, for another process."""
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=Lock())

    def __call__(self, name: str, picture: Picture) -> tuple[Restorer, Callable[[Pixels], None]]:
        """The restorer of a picture, and what judges its result."""
        pixels = to_whole_numbers(picture.pixels)
        if picture.levels is not None and self.white is not None:
            raise UserError("`white` is of whole numbers of 8 or 16 bits; leave it out")
        white = self._white(pixels)
        sample = sample_of(pixels)
        measured, reason = self.known, ""
        if measured is None:
            measured, reason = measured_noise(sample, white)
        limits = limits_of_sample(display_values(sample, white), measured)
        if measured is not None and limits is None:
            measured = replace(measured, impulse_share=0.0)
        treatment = self._treatment(sample, white, measured, limits)
        self._say(name, treatment, measured, reason)
        kept = self.strength is not None and self.strength < 1  # noise is to stay

        def judge(result: Pixels) -> None:
            if measured is None or kept:
                return
            left, _ = measured_noise(sample_of(to_whole_numbers(result)), white)
            line = None if left is None else remark(measured, left)
            if line is not None:
                self.notify(f"{name}: {line}")

        return self._restorer(treatment, self.quality), judge

    def _white(self, pixels: Pixels) -> int:
        most = int(np.iinfo(pixels.dtype).max)
        if self.white is None:
            white = used_white(pixels)
            known = 0 if self.known is None else round(self.known.white * most)
            return max(white, known)  # a dark picture of a folder whose others are not
        return checked_white(pixels, self.white)

    def _treatment(
        self, sample: Pixels, white: int, measured: PictureNoise | None, limits: Limits | None
    ) -> Treatment:
        none = measured is not None and measured.level < NO_NOISE and limits is None
        strength = float(not none) if self.strength is None else self.strength
        most = int(np.iinfo(sample.dtype).max)
        fine = Treatment(self.grain or 1, strength, Condition(white, most, limits))
        if self.grain is not None or measured is None or not strength:
            return fine
        coarse = measured.correlation >= COARSE and measured.level >= LEAST_COARSE
        return replace(fine, grain=2) if coarse and self._leaves_coarse(sample, fine) else fine

    def _leaves_coarse(self, sample: Pixels, fine: Treatment) -> bool:
        """Whether much coarse noise of a sample is left that a coarser grain takes."""
        if min(sample.shape[:2]) < 2 * noise.LEAST_SIDE_PX:
            return False
        left = []
        for grain in (1, 2):
            restorer = self._restorer(replace(fine, grain=grain, strength=1.0), "good")
            result = restore(restorer, sample, precision=self.precision)
            level = level_at_half(display_values(result, fine.condition.white))
            if level is None or (grain == 1 and level < LEFT_COARSE):
                return False
            left.append(level)
        return left[1] <= (1 - COARSER_TAKES) * left[0]

    def _restorer(self, treatment: Treatment, quality: str) -> Restorer:
        def wrap(mending: Restorer) -> Restorer:
            whole = with_quality(mending, quality)
            return whole if treatment.strength == 1 else Strength(whole, treatment.strength)

        grained = with_pixel_shuffle(self.restorer, treatment.grain)
        return treatment.condition.around(grained, wrap)

    def _say(
        self, name: str, treatment: Treatment, measured: PictureNoise | None, reason: str
    ) -> None:
        told = str(treatment)
        with self._lock:
            known = told in self._said
            self._said.add(told)
        if not known:
            self.notify(f"{name}: {described(measured, reason)}; {told}")


def _median(calibration: Path) -> PictureNoise:
    """Of the pictures of a folder."""
    found = noise.read(calibration)
    numbers = {name: three[1] for name, three in found.summary().items()}
    return PictureNoise(file="", **numbers)
