"""Pictures to results, and pictures to weights: by the functions that the commands call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ssl_restore import discover
from ssl_restore.inference import wrappers
from ssl_restore.inference.denoising import Treatments
from ssl_restore.inference.folders import Choose, restore_all
from ssl_restore.inference.solve import solve_all
from ssl_restore.io import MAX_PIXELS, folders, masks, names
from ssl_restore.io.clips.encoders import Encoding
from ssl_restore.io.clips.suffixes import is_clip
from ssl_restore.io.folders import ResumeFolder
from ssl_restore.io.jobs import Job
from ssl_restore.training import request, session
from ssl_restore.ui import preview
from ssl_restore.ui.jobs import Stopped
from ssl_restore.ui.setting import CPU, Setting, loaded

Notify = Callable[[str], None]
Finished = Callable[[Job, "str | None"], None]


@dataclass(frozen=True)
class Machine:
    """Where and how it is computed."""

    device: torch.device = CPU
    precision: str = "auto"
    tile: int | None = None
    max_pixels: int = MAX_PIXELS


def planned(
    sources: Sequence[Path],
    setting: Setting,
    folder: Path,
    *,
    layers: Path | None,
    done: Callable[[Job], None],
    notify: Notify,
) -> list[Job]:
    """What is not done yet, by the manifest of the folder of results."""
    resume = ResumeFolder(setting.recorded, skip=True, on_done=done)
    clips = [path for path in sources if is_clip(path)]
    pictures = [path for path in sources if not is_clip(path)]
    jobs: list[Job] = []
    folder.mkdir(parents=True, exist_ok=True)
    if pictures:
        jobs += folders.plan(
            pictures, f"{folder}/", layers=layers, clips=Encoding(), resume=resume,
            notify=notify,
        )  # fmt: skip
    for clip, name in zip(clips, names.results([Path(c.name) for c in clips]), strict=True):
        jobs += folders.plan(clip, folder / name, clips=Encoding(), resume=resume, notify=notify)
    return jobs


def restore(
    jobs: Sequence[Job],
    setting: Setting,
    machine: Machine,
    *,
    layer: str | None,
    progress: Callable[[float], None],
    finished: Finished,
    notify: Notify,
) -> None:
    """Restore what was planned; `progress` gets the share that is done of all of it."""
    if setting.by_solver:
        _solve(jobs, setting, machine, progress=progress, finished=finished, notify=notify)
        return
    restorer = loaded(setting.file, machine.device)
    if setting.thorough is not None:
        restorer = wrappers.with_thoroughness(restorer, setting.thorough)
    choose: Choose | None = None
    strength = setting.strength
    if restorer.task == "denoise":  # which measures each picture, and takes the strength itself
        choose = Treatments(
            restorer, quality=setting.quality, strength=None if strength == 1 else strength,
            precision=machine.precision, notify=notify,
        )  # fmt: skip
        strength = 1.0
    restorer = wrappers.with_quality(restorer, setting.quality)
    if strength != 1:
        restorer = wrappers.Strength(restorer, strength)
    so_far = 0

    def further(pixels: int, expected: int) -> None:
        nonlocal so_far
        so_far += pixels
        progress(so_far / max(expected, 1))

    restore_all(
        jobs, restorer, scale=None, tile=machine.tile, precision=machine.precision,
        max_pixels=machine.max_pixels, layer=layer, choose=choose, progress=further,
        finished=finished, notify=notify,
    )  # fmt: skip


def _solve(
    jobs: Sequence[Job],
    setting: Setting,
    machine: Machine,
    *,
    progress: Callable[[float], None],
    finished: Finished,
    notify: Notify,
) -> None:
    task = discover.task(setting.task)
    solve = discover.solver(task.solver)
    known = inspect.signature(solve).parameters
    given = {"precision": machine.precision, "tile": machine.tile}
    own: dict[str, Any] = {name: value for name, value in given.items() if name in known}
    own |= task.solver_settings
    said: set[str] = set()
    so_far = 0.0

    def further(share: float) -> None:
        nonlocal so_far
        so_far += share / len(jobs)
        progress(so_far)

    for job in jobs:
        if setting.mask is not None:
            height, width = preview.read(job.source, machine.max_pixels).pixels.shape[:2]
            white = masks.read_mask(setting.mask, (height, width), max_pixels=machine.max_pixels)
            own["mask"] = torch.from_numpy(white if task.mask == "mend" else ~white)[None, None]
        solve_all(
            [job], solve, seed=0, device=machine.device, strength=setting.strength,
            max_pixels=machine.max_pixels, progress=further, finished=finished, notify=notify,
            said=said, **own,
        )  # fmt: skip


def learn(
    asked: request.Request,
    machine: Machine,
    *,
    progress: Callable[[float, str], None],
    notify: Notify,
) -> Path:
    """Fit a restorer as `fit` does; the weights.

    `progress` gets the share that is done, and what is being done; `Stopped`, which it raises, ends
    the training with what was learned so far.
    """
    with request.alone(asked.folder):
        job = request.start(
            asked, machine.device, on_measured=lambda path: progress(0, "measuring the pictures"),
            on_read=lambda path: progress(0, "reading the pictures"), notify=notify,
        )  # fmt: skip
        for line in job.skipped:
            notify(line)
        rows = session.train(
            job, precision=machine.precision, measure=discover.measure(job.recipe.task),
            judge=discover.judge(job.recipe.task), notify=notify,
        )  # fmt: skip
        total = job.plan.steps or job.plan.seconds or 1
        try:
            for row in rows:
                done = row.step if job.plan.steps else row.seconds
                losses = ", ".join(f"{name} {value:.4f}" for name, value in row.losses.items())
                progress(done / total, f"step {row.step}: {losses}")
        except Stopped:
            rows.close()  # saves
    return job.run.weights
