"""What a user asks of `fit`, and the training that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ssl_restore import discover
from ssl_restore.errors import UserError, WrongCall
from ssl_restore.io.locks import only_run
from ssl_restore.training import checkpoint, clips, session, warm_start
from ssl_restore.training.group import rank
from ssl_restore.training.run import Run, RunPlan, resumed
from ssl_restore.types import Recipe

MINUTES = 15.0
USUAL_TASK = "derain"


@dataclass(frozen=True)
class Request:
    """As of `ssl_restore.fit`; what is None is chosen."""

    images: Path | None = None
    clean: Path | None = None
    output: Path | None = None
    task: str | None = None
    recipe: str | None = None
    minutes: float | None = None
    steps: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    rain_layers: Path | None = None
    paired: bool = False
    start: Path | None = None
    from_scratch: bool = False
    calibrate: bool = True
    recursive: bool = False
    seed: int = 0
    chosen: bool = False  # `recipe` was not asked for, but is that of `chosen_recipe`

    @property
    def folder(self) -> Path:
        """The run folder."""
        if self.output is not None:
            return self.output
        name = self.images.resolve().name if self.images else Path(self.chosen_recipe()).stem
        return Path("runs") / name

    @property
    def _task(self) -> str:
        return self.task or USUAL_TASK

    def chosen_recipe(self) -> str:
        """The one asked for; else the task's for clips, where the images are one, or its own."""
        if self.recipe:
            return self.recipe
        task = discover.task(self._task)
        if task.clip_recipe and self.images is not None and clips.are_one_scene(self.images):
            return task.clip_recipe
        return task.recipe

    def plan(self) -> RunPlan:
        """The plan of the run; UserError for what contradicts itself or is unknown."""
        if self.minutes is not None and self.steps is not None:
            raise UserError("give minutes or steps, not both", parameter="minutes")
        if self.start is not None and self.from_scratch:
            raise WrongCall("give a start or ask for none, not both", parameter="start")
        for name in ("minutes", "steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"above 0 is expected, got {value}", parameter=name)
        self._check_folder()
        recipe = self.chosen_recipe()
        build = discover.builder("recipes", recipe)
        settings = discover.checked_settings(build, self._given(recipe, discover.settings(build)))
        for key in session.CALIBRATIONS:
            if settings.get(key):
                settings[key] = str(Path(settings[key]).resolve())
        if self.start is not None:
            checkpoint.read_header(self.start)  # refused before any work
        start = None if self.start is None else str(self.start)
        built = discover.recipe(recipe, settings)
        self._check(recipe, built, discover.settings(build))
        if self.start is None and not self.from_scratch:
            start = warm_start.default_start(built, self.images, recursive=self.recursive)
        minutes = MINUTES if self.minutes is None else self.minutes
        return RunPlan(
            recipe=str(Path(recipe).resolve()) if recipe.endswith(".py") else recipe,
            settings={**discover.settings(build), **settings},
            seed=self.seed,
            steps=self.steps,
            seconds=None if self.steps is not None else 60 * minutes,
            images=None if self.images is None else str(self.images.resolve()),
            clean=None if self.clean is None else str(self.clean.resolve()),
            start=start,
            recursive=self.recursive,
        )

    def _check_folder(self) -> None:
        """UserError for a run folder in which files of the run would lie among the pictures."""
        folder = self.folder.resolve()
        for given in filter(None, (self.images, self.clean)):
            place = given.resolve()
            place = place.parent if place.is_file() else place
            if folder == place or (self.recursive and place in folder.parents):
                raise UserError(
                    f"{self.folder}: holds pictures to learn from ({given}); give the run a folder "
                    "of its own",
                    parameter="output",
                )

    def _check(self, name: str, recipe: Recipe, known: Mapping[str, Any]) -> None:
        """UserError for a task, or pictures, that the recipe would leave out without a word."""
        if self.task is not None and recipe.task != self.task:
            raise UserError(
                f"recipe {name} learns to {recipe.task}, not to {self.task}; leave one of them out",
                parameter="task",
            )
        used = recipe.needs - {"clean"} or set(session.CALIBRATIONS) & set(known)
        if self.images is not None and not used:
            pairs = ", or add `paired`" if "paired" in known else ""
            raise WrongCall(
                f"recipe {name} learns from clean photographs alone; leave these out{pairs}",
                parameter="images",
            )

    def _given(self, recipe: str, known: Mapping[str, Any]) -> dict[str, Any]:
        """The settings, with those that options and the task stand for; `known` to the recipe."""
        given = dict(self.settings)
        if self.rain_layers is not None:
            if "rain_layers" not in known:
                raise WrongCall(f"recipe {recipe} takes none", parameter="rain_layers")
            given["rain_layers"] = str(self.rain_layers.resolve())
        if self.paired:
            if "paired" not in known:
                raise UserError(f"recipe {recipe} learns without pairs", parameter="paired")
            given["paired"] = True
        if "task" in known and self.task is not None:
            given.setdefault("task", self.task)
        return given


def alone(folder: Path) -> AbstractContextManager[None]:
    """Keep other runs out of a run folder; of several processes of one run the first does."""
    return only_run(folder, parents=True) if rank() == 0 else nullcontext()


def start(
    request: Request,
    device: torch.device,
    *,
    on_read: Callable[[Path], None] = lambda path: None,
    on_measured: Callable[[Path], None] = lambda path: None,
    notify: Callable[[str], None] = lambda line: None,
) -> session.TrainingJob:
    """Calibrate where the recipe asks for it, read the pictures and create the run folder.

    `on_measured` and `on_read` are called with each picture, `notify` with what the user should
    know.
    """
    plan, folder = request.plan(), request.folder
    if session.wants_calibration(plan) and request.calibrate:
        plan, failure = session.with_calibration(plan, folder, device, on_read=on_measured)
        if failure is not None:
            notify(failure)
    plan = _calibrated(request, plan, notify)
    job = session.prepare(plan, folder, device, on_read=on_read)
    for note in job.notes:
        notify(note)
    doubt = session.doubted(job) if request.calibrate and rank() == 0 else None
    if doubt is not None:
        notify(doubt)
    return job


def _calibrated(request: Request, plan: RunPlan, notify: Callable[[str], None]) -> RunPlan:
    """The plan, or that of the recipe which the task takes for pictures so calibrated: where none
    was asked for, and it knows all settings that were."""
    given = {key: plan.settings[key] for key in session.CALIBRATIONS if plan.settings.get(key)}
    task = discover.task(request.task or USUAL_TASK)
    kinds = {session.CALIBRATIONS[key][0]: file for key, file in given.items()}
    file = kinds.get(task.calibration)
    if task.recipe_for is None or file is None or not (request.recipe is None or request.chosen):
        return plan
    recipe = task.recipe_for(request.folder / file)
    known = discover.settings(discover.builder("recipes", recipe))
    if recipe == plan.recipe or not {*given, *request.settings} <= set(known):
        return plan
    notify(f"recipe {recipe}, by the {task.calibration} of these pictures")
    other = replace(request, recipe=recipe).plan()
    return replace(other, settings={**other.settings, **given})


def resume(
    folder: Path,
    device: torch.device,
    *,
    on_read: Callable[[Path], None] = lambda path: None,
    **stated: Any,
) -> session.TrainingJob:
    """Go on with the run of a folder.

    Args:
        folder: The run folder.
        device: Where it learns.
        on_read: Called with each picture.
        stated: Fields of a `Request` that were given again: more `minutes` or `steps` (in all) make
            the run longer, `images`, `clean`, `recipe`, `start` and `seed` must be those of before.

    Raises:
        UserError: For what cannot change, by its name.
    """
    fields: dict[str, Any] = {
        name: stated.pop(name) for name in ("recipe", "seed") if name in stated
    }
    for name in ("images", "clean", "start"):
        if name in stated:
            fields[name] = str(stated.pop(name).resolve())
    minutes, steps = stated.pop("minutes", None), stated.pop("steps", None)
    for name in stated:
        raise WrongCall("is chosen when a run starts; leave it out to go on", parameter=name)
    seconds = None if minutes is None else 60 * minutes
    try:
        plan = resumed(Run(folder).plan(), steps=steps, seconds=seconds, **fields)
    except UserError as error:
        parameter = "minutes" if error.parameter == "seconds" else error.parameter
        raise UserError(error.message, parameter=parameter) from error
    return session.prepare(plan, folder, device, resume=True, on_read=on_read)
