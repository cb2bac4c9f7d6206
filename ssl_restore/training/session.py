"""From folders of photographs to a run folder: what `ssl-restore fit` does."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssl_restore import __version__, discover, rng, weights
from ssl_restore.calibration import noise as noise_calibration
from ssl_restore.calibration import rain as rain_calibration
from ssl_restore.calibration.noise import NoiseCalibration
from ssl_restore.calibration.rain_file import RainCalibration
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.restorer import Restorer
from ssl_restore.training import checkpoint, data, observations
from ssl_restore.training.fit import Diverged, Row, fit, rank, together, world
from ssl_restore.training.report import write_sample
from ssl_restore.training.run import Plan, Run
from ssl_restore.types import Batch, Recipe

SAVE_EVERY_S = 60.0
SAMPLE_EVERY_S = 120.0
CALIBRATED_PICTURES = 64  # of the folder, at most
CALIBRATIONS = {  # settings of recipes that take one, and what is learned without it
    "calibration": "with rain of all kinds",
    "noise_calibration": "as if the noise of each pixel were its own",
}


@dataclass(frozen=True)
class Job:
    """A recipe with its data, ready to train."""

    run: Run
    plan: Plan
    recipe: Recipe
    pictures: dict[str, data.Pictures]  # by kind: "clean", "degraded", "observations"
    device: torch.device

    @property
    def skipped(self) -> list[str]:
        return [line for pictures in self.pictures.values() for line in pictures.skipped]


def prepare(
    plan: Plan,
    folder: Path,
    device: torch.device,
    *,
    resume: bool = False,
    on_read: Callable[[Path], None] = lambda path: None,
) -> Job:
    """Build the recipe, load the pictures and create the run folder (or check the one resumed)."""
    run = Run(folder)
    leader = rank() == 0  # the others use the folder that it makes
    if leader and not resume:
        run.refuse_existing()  # before the pictures are read
    torch.manual_seed(plan.seed)  # initial weights; everything else draws from named streams
    try:
        recipe: Recipe = discover.builder("recipes", plan.recipe)(**_in_place(plan.settings, run))
    except ValueError as error:
        raise UserError(f"recipe {plan.recipe} cannot take these --set: {error}") from error
    stride = recipe.restorer.stride
    if recipe.patch < 1 or recipe.patch % stride:
        raise UserError(f"--set patch={recipe.patch}: must be a multiple of {stride}")
    if recipe.batch < 1:
        raise UserError(f"--set batch={recipe.batch}: batch must be at least 1")
    pictures = {
        kind: _load(kind, source, recipe, plan.seed, on_read)
        for kind, source in sources(plan, recipe).items()
    }
    fingerprints = {kind: found.fingerprint for kind, found in pictures.items()}
    if resume and fingerprints != plan.data:
        raise UserError(
            f"{folder}: the pictures are not those that this run was started with; "
            "start a new run with -o"
        )
    if plan.start is not None:
        recipe = start_from(recipe, Path(plan.start))
    for module in _modules(recipe):
        module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not resume:
        plan = Plan(**{**vars(plan), "data": fingerprints, "version": __version__})
        if leader:
            run.create(plan)
    return Job(run, plan, recipe, pictures, device)


def wants_calibration(plan: Plan) -> bool:
    """Whether the recipe takes a calibration, has degraded pictures, and none was given."""
    return plan.images is not None and any(plan.settings.get(key) == "" for key in CALIBRATIONS)


def with_calibration(
    plan: Plan,
    folder: Path,
    device: torch.device,
    *,
    on_read: Callable[[Path], None] = lambda path: None,
) -> tuple[Plan, str | None]:
    """The plan of a new run, with the rain of its pictures measured into FOLDER/rain.json, or for a
    recipe that learns to denoise their noise into FOLDER/noise.json.

    Where there is none to measure: the plan as it was, and a line that says so.
    """
    assert plan.images is not None
    run, failure = Run(folder), None
    key = next(key for key in CALIBRATIONS if plan.settings.get(key) == "")
    file = run.rain if key == "calibration" else run.noise
    if rank() == 0:
        run.refuse_existing()
        file.unlink(missing_ok=True)
        paths = images.find(Path(plan.images))
        found: RainCalibration | NoiseCalibration
        try:
            if key == "calibration":
                measured = rain_calibration.calibrate(
                    paths, device, limit=CALIBRATED_PICTURES, on_read=on_read
                )
                found = measured.calibration
            else:
                found = noise_calibration.calibrate(
                    paths, limit=CALIBRATED_PICTURES, on_read=on_read
                ).calibration
        except UserError as error:
            failure = f"not calibrated, learning {CALIBRATIONS[key]}: {error}"
        else:
            folder.mkdir(parents=True, exist_ok=True)
            found.write(file)
    together()
    if not file.is_file():
        return plan, failure
    return replace(plan, settings={**plan.settings, key: file.name}), None


def _in_place(settings: dict[str, Any], run: Run) -> dict[str, Any]:
    """A calibration is named relative to the run's folder, so that the folder can be moved."""
    named = {key: str(run.folder / settings[key]) for key in CALIBRATIONS if settings.get(key)}
    return {**settings, **named}


def sources(plan: Plan, recipe: Recipe) -> dict[str, Path]:
    """The folder of each kind of picture that a recipe needs."""
    found: dict[str, Path] = {}
    for kind in ("degraded", "observations"):
        if kind in recipe.needs:
            if plan.images is None:
                raise UserError(
                    f"recipe {plan.recipe} learns from degraded pictures: give --images DIR"
                )
            found[kind] = Path(plan.images)
    if "clean" in recipe.needs:
        found["clean"] = Path(plan.clean) if plan.clean is not None else bundled_photographs()
    if (
        found.get("clean")
        and plan.images
        and found["clean"].resolve() == Path(plan.images).resolve()
    ):
        raise UserError(
            f"--clean {plan.clean}: is the folder of rainy pictures; give one of clean photographs "
            "of other scenes, or leave --clean out to use those installed with the package"
        )
    return found


def bundled_photographs() -> Path:
    """The clean photographs installed with the package."""
    import ssl_restore_samples  # noqa: PLC0415  (data only; needed by this function alone)

    folder: Path = ssl_restore_samples.photographs()
    return folder


def _load(
    kind: str, folder: Path, recipe: Recipe, seed: int, on_read: Callable[[Path], None]
) -> data.Pictures:
    if kind == "observations":
        pictures = observations.load(folder, patch=recipe.patch, seed=seed, on_read=on_read)
    else:
        pictures = data.load(images.find(folder), patch=recipe.patch, seed=seed, on_read=on_read)
    if not pictures.pixels:
        raise UserError(
            f"{folder}: no picture there can be used ({pictures.skipped[0]}); "
            "for small pictures try --set patch=32"
        )
    return pictures


def start_from(recipe: Recipe, path: Path) -> Recipe:
    """The recipe with the weights of a checkpoint in its restorer (a warm start), and its anchor.

    The statistics of its norms rest from then on. They were taken from more kinds of pictures than
    a folder has; learned anew, they made it up to 2 dB worse, on other rain far more.
    """
    trained, header = checkpoint.load(path)
    for form in _forms(recipe):
        if (header.network, header.keywords) == (form.network, form.keywords):
            for net in (form.restorer, form.ema):
                net.load_state_dict(copy.deepcopy(trained.state_dict()))
            if form.anchor is not None:
                form.anchor.load_state_dict(_on_whole_pictures(trained).state_dict())
            for player in form.players:
                for group in player.optimizer.param_groups:
                    group["lr"] *= form.warm_rate
            return replace(form, frozen_batchnorm=True)
    raise UserError(
        f"{path}: holds network {header.network} {header.keywords}, the recipe wants "
        f"{recipe.network} {recipe.keywords}; change --set, or add --from-scratch"
    )


def default_start(recipe: Recipe) -> str | None:
    """The first built-in restorer of the recipe's network, if there is one."""
    wanted = [(form.network, form.keywords) for form in _forms(recipe)]
    for path in [weights.built_in(recipe.task)]:
        if path.is_file():
            header = checkpoint.read_header(path)
            if (header.network, header.keywords) in wanted:
                return str(path)
    return None


def _forms(recipe: Recipe) -> list[Recipe]:
    """The recipe, and for a denoiser on every so many-th pixel that of whole pictures, too: what
    starts from one that knows these goes on restoring them, wherever it learns."""
    forms = [recipe]
    if recipe.network == "shuffled":
        plain = {key: value for key, value in recipe.keywords.items() if key != "shuffle"}
        inner, ema = map(_on_whole_pictures, (recipe.restorer, recipe.ema))
        whole = replace(recipe, network="denoiser", keywords=plain, restorer=inner, ema=ema)
        forms.append(whole)
    return forms


def _on_whole_pictures(restorer: Restorer) -> Restorer:
    return restorer.core if restorer.core is not restorer else restorer


def train(job: Job, *, resume: bool = False, precision: str = "auto") -> Generator[Row, None, None]:
    """Train, log, save and draw samples; yields a row a step.  Saves when closed."""
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

    steps = fit(
        recipe, lambda step, progress: _draw(job, step, progress), seed=plan.seed,
        steps=plan.steps, seconds=plan.seconds, done=done, spent=spent, precision=precision,
    )  # fmt: skip
    try:
        for row in steps:
            if row.step % 10 == 0 or row.step <= 10:
                rows.append(row)
            now = time.monotonic()
            if now - saved_at > SAVE_EVERY_S:
                keep()
                saved_at = now
            if leader and now - sampled_at > SAMPLE_EVERY_S:
                write_sample(run.sample, recipe.ema, job.pictures)
                sampled_at = now
            yield row
    except Diverged as error:
        keep()
        rate = plan.settings.get("lr")
        lower = f"--set lr={rate / 3:.1g}" if rate else "learning rate"
        raise Diverged(
            f"{error}; {run.weights} keeps the weights before it. Try a lower {lower}"
        ) from error
    except GeneratorExit:  # between two steps; an interrupt may come in the middle of one
        keep()
        raise
    keep()
    if leader:
        write_sample(run.sample, recipe.ema, job.pictures)


def _draw(job: Job, step: int, progress: float) -> Batch:
    number, recipe = step * world() + rank(), job.recipe

    def drawn(kind: str) -> Tensor | None:
        if kind not in job.pictures:
            return None
        draw = data.observations if kind == "observations" else data.patches
        crops = draw(
            job.pictures[kind], recipe.batch, recipe.patch, rng.derive(job.plan.seed, kind, number),
            upright=kind != "clean" and recipe.upright, shrink=recipe.shrink,
        )  # fmt: skip
        layout = torch.channels_last if crops.dim() == 4 else torch.contiguous_format
        return crops.to(job.device, memory_format=layout)

    return Batch(
        clean=drawn("clean"),
        degraded=drawn("degraded"),
        progress=progress,
        warm=job.plan.start is not None,
        observations=drawn("observations"),
    )


def _modules(recipe: Recipe) -> list[nn.Module]:
    return [recipe.restorer, recipe.ema, *(player.objective for player in recipe.players)]
