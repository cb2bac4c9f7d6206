"""Blur of camera shake and of a lens out of focus is undone.

No restorer is built in: its command runs the solver unless weights are given.
"""

from __future__ import annotations

from degradations.camera_blur import camera_blur
from ssl_restore.evaluation.baselines import unsharp_mask
from ssl_restore.types import Task

task = Task(
    name="deblur",
    recipe="rendered",
    solver="blind_deblur",
    prior=camera_blur,
    baseline=("unsharp mask", unsharp_mask),
    built_in=False,
)
