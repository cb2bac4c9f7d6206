"""Haze and fog are removed."""

from __future__ import annotations

from degradations.haze import Haze
from ssl_restore.adapters.haze_of_frames import HAZE
from ssl_restore.evaluation.baselines import dark_channel
from ssl_restore.evaluation.haze_left import haze_and_edges_left
from ssl_restore.restorer import UPRIGHT
from ssl_restore.types import Task

task = Task(
    name="dehaze",
    recipe="dehaze_unpaired",
    solver="dark_channel",
    adapter="frame2frame",
    calibration="haze",
    prior=Haze,
    baseline=("dark channel", dark_channel),
    measure=haze_and_edges_left,
    stream=HAZE,
    symmetry=UPRIGHT,
)
