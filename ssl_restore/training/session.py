"""From folders of photographs to a run folder: what `ssl-restore fit` does."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl_restore import __version__, discover
from ssl_restore.device import place
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.files import check_space, check_writable
from ssl_restore.restorer import Restorer
from ssl_restore.training import data, material, report
from ssl_restore.training.fit import Row, fit
from ssl_restore.training.group import barrier, rank, world
from ssl_restore.training.kept import (
    Judge,
    farther_than,
    keep_mean,
    keep_start,
    mean_of,
    worse_than,
)
from ssl_restore.training.parts import usual_parts
from ssl_restore.training.run import Run, RunPlan
from ssl_restore.training.turn import Diverged
from ssl_restore.training.warm_start import start_from
from ssl_restore.types import Batch, Recipe

SAVE_EVERY_S = 60.0
SAMPLE_EVERY_S = 120.0
CALIBRATED_PICTURES = 64  # of the folder, at most
DOUBTED_PICTURES = 16  # where nothing is learned from what is measured
JUDGED, JUDGED_PX = 12, 1000  # pictures, and their sides, by which it is compared with its start
HELD_OUT = 4  # degraded pictures that are not learned from, at most and of ten times as many
CALIBRATIONS = {  # settings of recipes that take one: its kind, and what is learned without it
    "calibration": ("rain", "with rain of all kinds"),
    "noise_calibration": ("noise", "as if the noise of each pixel were its own"),
    "haze_calibration": ("haze", "with haze of all kinds"),
}


@dataclass(frozen=True)
class TrainingJob:
    """A recipe with its data, ready to train."""

    run: Run
    plan: RunPlan
    recipe: Recipe
    pictures: dict[str, data.Pictures]  # learned from, by kind, as fields of a batch are named
    device: torch.device
    held_out: tuple[np.ndarray, ...] = ()  # degraded pictures that it is measured on
    start: Restorer | None = None  # what it starts from, at rest

    @property
    def skipped(self) -> list[str]:
        """A line for each picture that could not be used."""
        return [line for pictures in self.pictures.values() for line in pictures.skipped]

    @property
    def notes(self) -> list[str]:
        """What the user should know of the pictures and of what the recipe chose for them."""
        of_pictures = [line for pictures in self.pictures.values() for line in pictures.notes]
        return [*of_pictures, *self.recipe.notes]

    @property
    def judged(self) -> bool:
        """Whether it learns from degraded pictures, by which it can be compared with its start."""
        return bool(set(self.pictures) - {"clean"})

    @property
    def shown(self) -> tuple[np.ndarray, ...]:
        """Pictures for the sample sheet: those held out, where there are any; else those learned
        from, of scenes the first observation, and clean ones where there are no degraded ones."""
        kinds = map(self.pictures.get, ("degraded", "observations", "places", "clean"))
        return self.held_out or next(found.pixels for found in kinds if found is not None)


def prepare(
    plan: RunPlan,
    folder: Path,
    device: torch.device,
    *,
    resume: bool = False,
    on_read: Callable[[Path], None] = lambda path: None,
) -> TrainingJob:
    """Build the recipe, load the pictures and create the run folder (or check the one resumed).

    Of ten degraded pictures or more a tenth, at most four, are held out: what is made of them is
    measured while it trains. Of fewer none is, and the scores are of pictures learned from.
    """
    run = Run(folder)
    leader = rank() == 0  # the others use the folder that it makes
    if leader:  # before the pictures are read
        check_writable(folder)
        if not resume:
            run.refuse_existing()
    torch.manual_seed(plan.seed)  # initial weights; everything else draws from named streams
    recipe, start = _built(plan, run), None
    if leader:
        check_space(folder, 4 * _size(recipe))  # with moments, and beside what is replaced
    pictures = material.load(plan, recipe, on_read)
    fingerprints = {kind: loaded.fingerprint for kind, loaded in pictures.items()}
    if resume and fingerprints != plan.data:
        raise UserError(
            f"{folder}: the pictures are not those that this run was started with; start a new run "
            "in another folder"
        )
    if plan.start is not None:
        recipe = start_from(recipe, Path(plan.start))
        start = copy.deepcopy(recipe.ema).to(device).eval()
    for module in _modules(recipe):
        place(module, device)
    held_out: tuple[np.ndarray, ...] = ()
    if "degraded" in pictures:
        pictures["degraded"], held_out = data.hold_out(pictures["degraded"], HELD_OUT)
    if recipe.paired:
        pictures["clean"], _ = data.hold_out(pictures["clean"], HELD_OUT)
    if not resume:
        parts = plan.parts or usual_parts(recipe.batch, device)
        plan = replace(plan, data=fingerprints, parts=parts, version=__version__)
        if leader:
            run.create(plan)
    elif leader:
        run.write_plan(plan)
    return TrainingJob(run, plan, recipe, pictures, device, held_out, start)


def _built(plan: RunPlan, run: Run) -> Recipe:
    """The recipe of a plan; UserError for settings that it cannot take."""
    settings = discover.checked_settings(discover.builder("recipes", plan.recipe), plan.settings)
    recipe = discover.recipe(plan.recipe, _in_place(settings, run))
    if recipe.patch < 1 or recipe.patch % recipe.restorer.stride:
        raise UserError(
            f"a multiple of {recipe.restorer.stride} is expected, got {recipe.patch}",
            parameter="patch",
        )
    if recipe.batch < 1:
        raise UserError(f"at least 1 is expected, got {recipe.batch}", parameter="batch")
    return recipe


def wants_calibration(plan: RunPlan) -> bool:
    """Whether the recipe takes a calibration, has degraded pictures, and none was given."""
    return plan.images is not None and any(plan.settings.get(key) == "" for key in CALIBRATIONS)


def with_calibration(
    plan: RunPlan,
    folder: Path,
    device: torch.device,
    *,
    on_read: Callable[[Path], None] = lambda path: None,
) -> tuple[RunPlan, str | None]:
    """The plan of a new run, with what the recipe wants to know of its pictures measured into
    FOLDER/rain.json, noise.json or haze.json.

    Where there is none to measure: the plan as it was, and a line that says so. There may be a line
    of `doubt` about the clean pictures, too.
    """
    assert plan.images is not None
    run, failure = Run(folder), None
    key = next(key for key in CALIBRATIONS if plan.settings.get(key) == "")
    kind, without = CALIBRATIONS[key]
    file = folder / f"{kind}.json"
    if rank() == 0:
        check_writable(folder)
        run.refuse_existing()
        file.unlink(missing_ok=True)
        try:
            found = _measured(plan, kind, device, CALIBRATED_PICTURES, on_read)
        except UserError as error:
            failure = f"not calibrated, learning {without}: {error}"
        else:
            folder.mkdir(parents=True, exist_ok=True)
            found.write(file)
            failure = _doubt(plan, kind, found, device)
    barrier()
    if not file.is_file():
        return plan, failure
    return replace(plan, settings={**plan.settings, key: file.name}), failure


def doubted(job: TrainingJob) -> str | None:
    """A line of `doubt` about the clean pictures, for a recipe that takes no calibration."""
    plan, task = job.plan, job.recipe.task
    unasked = not any(key in plan.settings for key in CALIBRATIONS)
    if plan.images is None or plan.clean is None or task not in discover.names("tasks", "task"):
        return None
    kind = discover.task(task).calibration
    if not (kind and unasked and discover.doubt(kind)):
        return None
    try:
        found = _measured(plan, kind, job.device, DOUBTED_PICTURES)
    except UserError:  # none of them can be measured
        return None
    return _doubt(plan, kind, found, job.device)


def _measured(
    plan: RunPlan,
    kind: str,
    device: torch.device,
    limit: int,
    on_read: Callable[[Path], None] = lambda path: None,
) -> Any:
    """A calibration of the degraded pictures; UserError where none can be measured."""
    calibrate = discover.builder("calibration", kind, "calibrate")
    paths = images.find(Path(plan.images or ""), recursive=plan.recursive)
    return calibrate(paths, device, limit=limit, on_read=on_read).calibration


def _doubt(plan: RunPlan, kind: str, found: Any, device: torch.device) -> str | None:
    doubt = discover.doubt(kind)
    if doubt is None or plan.clean is None:
        return None
    return doubt(found, images.find(Path(plan.clean), recursive=plan.recursive), device)


def _in_place(settings: dict[str, Any], run: Run) -> dict[str, Any]:
    """A calibration is named relative to the run's folder, so that the folder can be moved."""
    named = {key: str(run.folder / settings[key]) for key in CALIBRATIONS if settings.get(key)}
    return {**settings, **named}


def train(
    job: TrainingJob,
    *,
    resume: bool = False,
    precision: str = "auto",
    measure: report.Measure | None = None,
    judge: Judge | None = None,
    notify: Callable[[str], None] = lambda line: None,
) -> Generator[Row, None, None]:
    """Train, log, save and draw samples; yields a row a step.  Saves when closed.

    With `measure`, which gives scores of (degraded, restored) pixels without a truth, the rows at
    which samples are drawn, and the last one, have those of the pictures held out. With a `judge`
    of the task, a run that restores most of them worse than its start did ends with the mean of
    both, or with the weights of the start, and says so.
    """
    run, plan, recipe = job.run, job.plan, job.recipe
    done, spent = run.load(recipe) if resume else (0, 0.0)
    leader = rank() == 0
    if leader:
        run.trim_log(done)
    rows: list[Row] = []
    row = Row(done, 0.0, spent, 0.0, {})
    saved_at = sampled_at = time.monotonic()
    sampled_at -= SAMPLE_EVERY_S / 2  # the first sample comes early

    def keep() -> None:
        if leader:
            run.append(rows)  # first: rows without their state are trimmed, lost ones stay lost
            run.save(recipe, plan, row)
        rows.clear()

    def log(row: Row) -> None:
        rows[:] = [*(one for one in rows if one.step != row.step), row]

    def sampled(row: Row) -> Row:
        degraded = measure if job.judged else None
        sheet = report.sample(recipe.ema, job.shown, measure=degraded, precision=precision)
        sheet.write(run.sample)
        return replace(row, scores=sheet.mean_scores())

    try:
        steps = fit(
            recipe, partial(_draw, job), seed=plan.seed,
            steps=plan.steps, seconds=plan.seconds, done=done, spent=spent, precision=precision,
            parts=plan.parts, ahead=True,
        )  # fmt: skip
        for step in steps:
            row, now = step, time.monotonic()
            if leader and now - sampled_at > SAMPLE_EVERY_S:
                row, sampled_at = sampled(step), now
            if row.step % 10 == 0 or row.step <= 10 or row.scores:
                log(row)
            if now - saved_at > SAVE_EVERY_S:
                keep()
                saved_at = now
            yield row
    except Diverged as error:  # on all ranks at once
        keep()
        barrier()  # torchrun ends the others as soon as one has failed
        raise _with_advice(error, run, plan) from error
    except GeneratorExit:  # between two steps; an interrupt may come in the middle of one
        keep()
        raise
    if leader:
        row = sampled(row)
        if row.scores and row.step > done:
            run.trim_log(row.step - 1)  # where the step was saved already, without its scores
            log(row)
    keep()
    if leader and judge is not None and job.judged:
        _keep_the_better(job, judge, precision, notify)
    barrier()  # the weights are there, whichever process reads them


def _with_advice(error: Diverged, run: Run, plan: RunPlan) -> Diverged:
    rate = plan.settings.get("lr")
    lower = f"`lr={rate / 3:.1g}`" if rate else "a lower learning rate"
    return Diverged(f"{error}; {run.weights} keeps the weights before it. Try {lower}")


def _keep_the_better(
    job: TrainingJob, judge: Judge, precision: str, notify: Callable[[str], None]
) -> None:
    """Put the mean of what was learned and its start in its place, or the start, where it is worse
    than that."""
    if job.start is None or job.plan.start is None:
        return
    start, learned, weights = job.start, job.recipe.ema, job.run.weights
    places = job.pictures.get("places")

    def reason(restorer: Restorer) -> str | None:
        if places is not None:
            middles = report.middles(places.pixels, JUDGED_PX, channels=9, most=JUDGED)
            return farther_than(start, restorer, middles, precision=precision)
        middles = report.middles(job.shown, JUDGED_PX, most=JUDGED)
        return worse_than(start, restorer, middles, judge, precision=precision)

    against = reason(learned)
    if against is None:
        return
    worse = f"what was learned restores most pictures worse than its start ({against})"
    mean = mean_of(start.state_dict(), learned)
    if reason(mean) is None:
        aside = keep_mean(mean, weights)
        notify(f"{worse}; the mean of both, which does not, is kept; {aside} is what was learned")
        return
    if not Path(job.plan.start).is_file():
        notify(f"{worse}, but {job.plan.start} is gone: use other weights than {weights}")
        return
    aside = keep_start(Path(job.plan.start), weights)
    notify(f"{worse}, which is kept; {aside} is what was learned")


def _draw(job: TrainingJob, step: int, progress: float) -> Batch:
    drawn = material.draw(job.pictures, job.recipe, job.plan.seed, step * world() + rank())
    placed: dict[str, Any] = {kind: _placed(crops, job.device) for kind, crops in drawn.items()}
    everything = {"clean": None, "degraded": None, **placed}
    return Batch(**everything, progress=progress, warm=job.plan.start is not None)


def _placed(crops: Tensor, device: torch.device) -> Tensor:
    layout = torch.channels_last if crops.dim() == 4 else torch.contiguous_format
    return crops.to(device, memory_format=layout)


def _size(recipe: Recipe) -> int:
    """Bytes of a saved state, before the optimizers have any."""
    tensors = (value for module in _modules(recipe) for value in module.state_dict().values())
    return sum({value.data_ptr(): value.nbytes for value in tensors}.values())


def _modules(recipe: Recipe) -> list[nn.Module]:
    averages = [net for average in recipe.averages for net in (average.of, average.ema)]
    return [recipe.restorer, *averages, *(player.objective for player in recipe.players)]
