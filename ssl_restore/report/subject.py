"""What a page is about: a folder of results, or a run of `fit`, with all that is known of it."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ssl_restore import __version__, discover
from ssl_restore.calibration import rain_file
from ssl_restore.calibration.haze import HazeCalibration
from ssl_restore.calibration.noise import NoiseCalibration
from ssl_restore.errors import UserError
from ssl_restore.evaluation import pairing
from ssl_restore.evaluation.pairing import Pair
from ssl_restore.inference.load import fingerprint, load_restorer
from ssl_restore.io.manifest import Manifest, Origin
from ssl_restore.report.contents import Calibration, Facts, Series
from ssl_restore.restorer import Restorer
from ssl_restore.training import checkpoint
from ssl_restore.training.run import Run, RunPlan
from ssl_restore.types import Task

CALIBRATIONS: Mapping[str, Callable[[Path], Calibration]] = {
    "rain": rain_file.read,
    "noise": NoiseCalibration.read,
    "haze": HazeCalibration.read,
}
FOLDERS = ("images", "clean", "start")  # of a plan, shown by name: where they lie is nobody's
MOST_SETTINGS = 4  # sets of settings that are listed
Notify = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What a user asked for beside the folder itself.

    degraded   folder of the pictures before; None: what the manifest or the run says
    clean      folder of their truths
    pattern    how the name of a truth differs, as of `pairing.partner_by`
    layers     folders of pictures of what was taken
    task       what was removed; None: what the manifest or the run says
    limit      so many pictures, spread over the folder
    recursive  also the pictures in sub-folders
    """

    degraded: Path | None = None
    clean: Path | None = None
    pattern: str | None = None
    layers: tuple[Path, ...] = ()
    task: str | None = None
    limit: int = 8
    recursive: bool = False


@dataclass(frozen=True)
class Subject:
    """Everything that the page needs, the pictures not yet read."""

    title: str
    subtitle: str
    task: Task | None
    pairs: Sequence[Pair] = ()
    available: int = 0  # pictures, of which `pairs` are some
    restorers: Mapping[str, Restorer] = field(default_factory=dict)  # of a run
    layers: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)  # layer -> picture
    curves: Mapping[str, Series] = field(default_factory=dict)
    calibration: tuple[str, Calibration] | None = None
    sample: Path | None = None
    facts: Sequence[Facts] = ()
    notes: Sequence[str] = ()


def find(
    folder: Path, asked: Asked, device: torch.device, *, notify: Notify = lambda line: None
) -> Subject:
    """That of a folder.

    Raises:
        UserError: For a folder that holds neither a run nor pictures, a run that has saved nothing
            yet, and results of which nothing says what they were before.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {what}; name a run folder of fit, or a folder of results")
    if Run(folder).exists():
        return _of_run(folder, asked, device, notify)
    return _of_results(folder, asked, notify)


def _of_results(folder: Path, asked: Asked, notify: Notify) -> Subject:
    results = pairing.by_name(folder, asked.recursive, notify)
    book = Manifest(folder, {})
    origins = {name: found for name, p in results.items() if (found := book.origin(p)) is not None}
    degraded: Path | dict[str, Path] | None = asked.degraded
    if degraded is None:
        degraded = {name: one.source for name, one in origins.items() if one.source is not None}
    if not degraded:
        raise UserError(
            f"{folder}: nothing says which pictures these were before, or they are gone; give the "
            "folder of them: `degraded`"
        )
    pairs, skipped = pairing.pairs(
        degraded, asked.clean, folder, pattern=asked.pattern, recursive=asked.recursive,
        notify=notify,
    )  # fmt: skip
    commands = {str(one.settings.get("command", "")) for one in origins.values()}
    name = asked.task or (commands.pop() if len(commands) == 1 else None)
    notes = []
    left_out = len(skipped) if isinstance(degraded, Path) else len(results) - len(pairs)
    if left_out:
        notes.append(f"Left out are {left_out} pictures without a partner of their name.")
    return Subject(
        folder.resolve().name, "Results of " + (name or "a restoration"), _task(asked.task, name),
        spread(pairs, asked.limit), len(pairs), layers=_layers(asked, notify),
        facts=[*_settings(origins), software()], notes=notes,
    )  # fmt: skip


def _task(asked: str | None, known: str | None) -> Task | None:
    """UserError for one that is asked for and unknown; what a manifest says may be no task."""
    if asked is not None:
        return discover.task(asked)
    return discover.task(known) if known in discover.names("tasks", "task") else None


def spread(pairs: Sequence[Pair], limit: int) -> list[Pair]:
    """So many, spread evenly."""
    count = min(limit, len(pairs))
    return [pairs[index * len(pairs) // count] for index in range(count)]


def _layers(asked: Asked, notify: Notify) -> dict[str, Mapping[str, Path]]:
    """By the name of the folder; two of one name get a number."""
    found: dict[str, Mapping[str, Path]] = {}
    for folder in asked.layers:
        name = folder.resolve().name
        unique = name if name not in found else f"{name} {len(found) + 1}"
        found[unique] = pairing.by_name(folder, asked.recursive, notify)
    return found


def _settings(origins: Mapping[str, Origin]) -> list[Facts]:
    """What the manifest says, for each set of settings."""
    written = {name: json.dumps(dict(one.settings)) for name, one in origins.items()}
    facts = []
    for settings, count in Counter(written.values()).most_common(MOST_SETTINGS):
        rows = {name: value for name, value in json.loads(settings).items() if value is not None}
        facts.append(Facts("Settings", {"pictures": count, **rows}))
    return facts


def _of_run(folder: Path, asked: Asked, device: torch.device, notify: Notify) -> Subject:
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
        folder.resolve().name, subtitle, _task(asked.task, header.task),
        spread(pairs, asked.limit) if pairs else (), len(pairs), restorers if pairs else {},
        _layers(asked, notify), curves, _calibration(folder),
        run.sample if run.sample.is_file() else None,
        [*_training(plan, header, curves), software()], notes,
    )  # fmt: skip


def _restorers(
    plan: RunPlan, run: Run, device: torch.device
) -> tuple[dict[str, Restorer], bool]:
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
    """Those asked for, else those that the run learned from, where they are pictures in a folder."""
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


def _calibration(folder: Path) -> tuple[str, Calibration] | None:
    for kind, read in CALIBRATIONS.items():
        file = folder / f"{kind}.json"
        if file.is_file():
            return kind, read(file)
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


def software() -> Facts:
    """What made the page."""
    return Facts(
        "Software",
        {"ssl-restore": __version__, "torch": torch.__version__, "Python": platform.python_version()},
    )
