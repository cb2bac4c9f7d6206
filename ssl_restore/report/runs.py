"""A run folder of `fit`: its pictures as it restores them, its log, and how it was started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from ssl_restore.calibration import rain_file
from ssl_restore.calibration.haze import HazeCalibration
from ssl_restore.calibration.noise import NoiseCalibration
from ssl_restore.errors import UserError
from ssl_restore.evaluation import pairing
from ssl_restore.evaluation.pairing import Pair
from ssl_restore.inference.load import fingerprint, load_restorer
from ssl_restore.report.contents import Calibration, Facts, Series
from ssl_restore.report.subject import (
    Asked,
    Notify,
    Subject,
    layers_of,
    software,
    spread,
    task_of,
)
from ssl_restore.restorer import Restorer
from ssl_restore.training import checkpoint, session
from ssl_restore.training.run import Run, RunPlan

CALIBRATIONS: Mapping[str, Callable[[Path], Calibration]] = {
    "rain": rain_file.read,
    "noise": NoiseCalibration.read,
    "haze": HazeCalibration.read,
}
FOLDERS = ("images", "clean", "start")  # of a plan, shown by name: where they lie is nobody's


def of_run(folder: Path, asked: Asked, device: torch.device, notify: Notify) -> Subject:
    """UserError for a run that has saved nothing yet, and for a file of it that is damaged."""
    run = Run(folder)
    plan = run.plan()
    if not run.weights.is_file():
        raise UserError(
            f"{folder}: this run has saved nothing yet; wait a minute, or go on with it: "
            f"ssl-restore fit --resume {folder}"
        )
    header = checkpoint.read_header(run.weights)
    curves = run.curves()
    rates = curves.get("lr", [])
    notes: list[str] = []
    restorers, kept_start = _restorers(plan, run, device)
    if kept_start:
        notes.append(
            "What was learned restored most pictures worse than the start of the run, which was "
            "kept: start and restorer are one."
        )
    pairs = _pictures(plan, asked, notify, notes)
    subtitle = f"Run of fit: {Path(plan.recipe).stem}, {rates[-1][0] if rates else 0} steps"
    return Subject(
        folder.resolve().name, subtitle, task_of(asked.task, header.task),
        spread(pairs, asked.limit) if pairs else (), len(pairs), restorers if pairs else {},
        layers_of(asked, notify), curves, _calibration(plan, run, notify),
        run.sample if run.sample.is_file() else None,
        [*_training(plan, header, curves), software()], notes,
    )  # fmt: skip


def _restorers(plan: RunPlan, run: Run, device: torch.device) -> tuple[dict[str, Restorer], bool]:
    """What the run started from, where that is there, and what it learned; whether they are one."""
    start = None if plan.start is None else Path(plan.start)
    found: dict[str, Restorer] = {}
    same = False
    if start is not None and start.is_file():
        same = fingerprint(start) == fingerprint(run.weights)
        if not same:
            found["start"] = load_restorer(start, device)
    found["restorer"] = load_restorer(run.weights, device)
    return found, same


def _pictures(plan: RunPlan, asked: Asked, notify: Notify, notes: list[str]) -> list[Pair]:
    """Those asked for, else those that the run learned from, if they are in a folder."""
    if asked.degraded is not None:
        return pairing.pairs(
            asked.degraded, asked.clean, pattern=asked.pattern, recursive=asked.recursive,
            notify=notify,
        )[0]  # fmt: skip
    if plan.images is None:
        return []
    try:
        pairs, _ = pairing.pairs(
            Path(plan.images), asked.clean, pattern=asked.pattern, recursive=plan.recursive
        )
    except UserError as error:
        notify(f"no pictures of the run are shown ({error}); `degraded` names a folder of others")
        return []
    notes.append("The pictures are from the folder that the run learned from.")
    return pairs


def _calibration(plan: RunPlan, run: Run, notify: Notify) -> tuple[str, Calibration] | None:
    """The one that the run learned with, which lies in its folder, or was given."""
    for key, (kind, _) in session.CALIBRATIONS.items():
        file = run.folder / plan.settings.get(key, "")
        if file.is_file():
            return kind, CALIBRATIONS[kind](file)
        if file != run.folder:
            notify(f"{file}: the calibration of the run is gone, and not shown")
    return None


def _training(
    plan: RunPlan, header: checkpoint.Header, curves: Mapping[str, Series]
) -> list[Facts]:
    seconds = curves.get("seconds", [])
    rows: dict[str, object] = {"recipe": Path(plan.recipe).stem, "task": header.task}
    rows |= {name: Path(value).name for name in FOLDERS if (value := getattr(plan, name))}
    if seconds:
        rows |= {"steps": seconds[-1][0], "seconds": round(seconds[-1][1])}
    rows |= {"network": header.network, **header.keywords, "seed": plan.seed}
    rows |= {"learned by version": plan.version} if plan.version else {}
    return [Facts("Training", rows), Facts("Settings of the recipe", plan.settings)]
