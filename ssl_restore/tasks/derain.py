"""Rain streaks, and where it is asked for their veil, are removed."""

from __future__ import annotations

from degradations.rain import Rain
from ssl_restore.adapters.rain_of_frames import RAIN
from ssl_restore.evaluation.baselines import opening_1x5
from ssl_restore.evaluation.rain_left import rain_and_texture_left
from ssl_restore.restorer import UPRIGHT
from ssl_restore.types import Task

task = Task(
    name="derain",
    recipe="derain_unpaired",
    solver="rerained_fine_tuning",
    adapter="frame2frame",
    calibration="rain",
    prior=Rain,
    baseline=("opening 1x5", opening_1x5),
    measure=rain_and_texture_left,
    stream=RAIN,
    symmetry=UPRIGHT,
    clip_recipe="fixed_camera",
)
