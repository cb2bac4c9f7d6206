"""Drops of water on the lens, or on glass before it, are removed; under a mask, filled in."""

from __future__ import annotations

from degradations.drops import DefocusedDrops
from ssl_restore.evaluation.baselines import median_3x3
from ssl_restore.restorer import UPRIGHT
from ssl_restore.types import Task

task = Task(
    name="dedrop",
    recipe="dedrop_physics",
    solver="deep_image_prior",
    solver_settings={"steps": 1000},
    mask="fill",
    prior=DefocusedDrops,
    baseline=("median 3x3", median_3x3),
    symmetry=UPRIGHT,
)
