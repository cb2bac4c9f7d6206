"""Noise of a camera, of scans and of few photons is removed."""

from __future__ import annotations

from pathlib import Path

from degradations.noise import Noise
from ssl_restore.adapters.noise_of_frames import NOISE
from ssl_restore.calibration.noise import WHITE_BELOW, read
from ssl_restore.evaluation.baselines import median_3x3
from ssl_restore.evaluation.noise_left import noise_and_texture_left
from ssl_restore.types import Task


def recipe_for(calibration: Path) -> str:
    """The recipe for noise that neighbouring pixels share, or for noise of each pixel's own."""
    shared = read(calibration).median("correlation") >= WHITE_BELOW
    return "blind_spot" if shared else "neighbor2neighbor"


task = Task(
    name="denoise",
    recipe="neighbor2neighbor",
    solver="recorrupted_fine_tuning",
    adapter="frame2frame",
    calibration="noise",
    prior=Noise,
    baseline=("median 3x3", median_3x3),
    measure=noise_and_texture_left,
    stream=NOISE,
    recipe_for=recipe_for,
)
