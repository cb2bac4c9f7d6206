"""Small pictures are enlarged: super-resolution."""

from __future__ import annotations

from degradations.resample import Resample
from ssl_restore.types import Task

task = Task(
    name="upscale",
    recipe="pcl",
    solver="deep_image_prior",
    prior=Resample,
    baseline=("cubic", lambda pixels: pixels),
)
