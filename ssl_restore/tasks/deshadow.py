"""Cast shadows are lit as what is around them.

No restorer is built in: its command asks for a mask of the shadow unless weights are given.
"""

from __future__ import annotations

from degradations.shadow import CastShadow
from ssl_restore.evaluation.baselines import clahe
from ssl_restore.restorer import UPRIGHT
from ssl_restore.types import Task

task = Task(
    name="deshadow",
    recipe="deshadow_physics",
    solver="relight",
    mask="mend",
    prior=CastShadow,
    baseline=("CLAHE", clahe),
    symmetry=UPRIGHT,
    built_in=False,
)
