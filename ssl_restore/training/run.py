"""A run folder: what a training wrote, and how it goes on after an interruption.

run.json            how it was started: recipe, settings, data, seed
log.csv             a row every few steps: terms, and where measured scores without a truth
rain.json           the rain of its pictures, as calibrated before training
noise.json          the same of their noise, for recipes that learn to denoise
restorer.safetensors  the averaged restorer
state.pt            everything that a resumed run needs
sample.png          rainy crops above their restored versions, newest state
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ssl_restore.errors import UserError
from ssl_restore.io.fields import checked, parsed
from ssl_restore.io.files import replacing
from ssl_restore.training import checkpoint
from ssl_restore.training.fit import Row
from ssl_restore.types import Recipe

FORMAT = 2  # of the folder; 1 was version 0.1
COLUMNS = ("step", "seconds", "lr")  # of the log, before terms and scores


@dataclass(frozen=True)
class RunPlan:
    """How a run was started; the same plan and data give the same run."""

    recipe: str
    settings: dict[str, Any]
    seed: int
    steps: int | None
    seconds: float | None
    images: str | None
    clean: str | None
    start: str | None  # checkpoint that the weights started from
    data: dict[str, str] = field(default_factory=dict)  # fingerprints
    parts: int | None = None  # that a batch is split into; None: not chosen yet
    version: str = ""
    format: int = FORMAT
    recursive: bool = False  # whether pictures in sub-folders belong to it


class Run:
    """The folder of one training.  Every file is replaced whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.weights = folder / "restorer.safetensors"
        self.state = folder / "state.pt"
        self.log = folder / "log.csv"
        self.sample = folder / "sample.png"
        self._plan = folder / "run.json"

    def exists(self) -> bool:
        return self._plan.is_file()

    def create(self, plan: RunPlan) -> None:
        """Start a new run; a folder that holds one already is left alone."""
        self.refuse_existing()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_plan(plan)

    def write_plan(self, plan: RunPlan) -> None:
        """Replace the plan: of a run that goes on for longer."""
        with replacing(self._plan) as temporary:
            temporary.write_text(json.dumps(asdict(plan), indent=1), encoding="utf-8")

    def refuse_existing(self) -> None:
        """UserError when the folder holds a run."""
        if self.exists():
            raise UserError(
                f"holds a run already; go on with `resume={self.folder}`, or give another folder",
                parameter="output",
            )

    def plan(self) -> RunPlan:
        """How the run was started; UserError where there is none, or one of an older version."""
        if not self.exists():
            raise UserError(f"{self.folder}: no run to resume there (no run.json)")
        try:
            fields = parsed(self._plan.read_text(encoding="utf-8"))
            if fields.get("format", 1) == FORMAT:
                fields["settings"] = _with_tuples(fields["settings"])
                return _possible(checked(RunPlan, fields))
            version = fields["version"] or "of a version without a number"
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise UserError(f"{self._plan}: damaged ({error}); start a new run") from error
        raise UserError(
            f"{self.folder}: was started by ssl-restore {version}, and cannot go on with this one; "
            f"start a new run from its weights: `start={self.weights}`"
        )

    def save(self, recipe: Recipe, plan: RunPlan, row: Row) -> None:
        """Replace the state, then the restorer.  Whichever moment a kill hits, both are whole."""
        state = {
            "step": row.step,
            "seconds": row.seconds,
            "restorer": recipe.restorer.state_dict(),
            "averages": [
                {"ema": average.ema.state_dict(), "of": average.of.state_dict()}
                for average in recipe.averages
            ],
            "players": [
                {"objective": p.objective.state_dict(), "optimizer": p.optimizer.state_dict()}
                for p in recipe.players
            ],
        }
        buffer = io.BytesIO()  # a full disk is an OSError then, not an error of torch's own
        torch.save(state, buffer)
        with replacing(self.state) as temporary:
            temporary.write_bytes(buffer.getbuffer())
        header = checkpoint.Header(
            task=recipe.task,
            network=recipe.network,
            keywords=recipe.keywords,
            recipe=plan.recipe,
            settings=plan.settings,
            step=row.step,
            seed=plan.seed,
            data=plan.data,
            coarse_from=recipe.coarse_from,
        )
        checkpoint.save(self.weights, recipe.ema, header)

    def load(self, recipe: Recipe) -> tuple[int, float]:
        """Put the saved state back into a freshly built recipe: (steps done, seconds spent)."""
        if not self.state.is_file():
            return 0, 0.0  # interrupted before the first save
        try:
            state = torch.load(self.state, map_location="cpu", weights_only=True)
            recipe.restorer.load_state_dict(state["restorer"])
            for average, saved in zip(recipe.averages, state["averages"], strict=True):
                average.ema.load_state_dict(saved["ema"])
                average.of.load_state_dict(saved["of"])
            for player, saved in zip(recipe.players, state["players"], strict=True):
                player.objective.load_state_dict(saved["objective"])
                rates = [group["lr"] for group in player.optimizer.param_groups]
                player.optimizer.load_state_dict(saved["optimizer"])
                for group, rate in zip(player.optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate  # the recipe's; the saved one is that of a moment
            return int(state["step"]), float(state["seconds"])
        except Exception as error:  # torch raises many kinds for a damaged file
            raise UserError(
                f"{self.state}: damaged, or of other settings; cannot resume"
            ) from error

    def trim_log(self, step: int) -> None:
        """Drop rows after `step`: they were lost with the interrupted session."""
        if self.log.is_file():
            heading, rows = self._logged()
            try:
                kept = [row for row in rows if int(row["step"]) <= step]
            except (KeyError, ValueError) as error:
                raise UserError(f"{self.log}: damaged ({error}); remove it, then go on") from error
            self._write_log(heading, kept)

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows to the log.  Its heading says which column a value belongs to: a term or score
        that it does not have yet is added to it, and the file is written anew."""
        named = [_named(row) for row in rows]
        if not named:
            return
        heading, before = self._logged() if self.log.is_file() else ([], [])
        wider = list(dict.fromkeys([*heading, *(name for row in named for name in row)]))
        if wider != heading:
            self._write_log(wider, [*before, *named])
            return
        try:
            with self.log.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, heading, restval="").writerows(named)
        except OSError as error:
            raise UserError(f"{self.log}: could not be written ({error.strerror})") from error

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Of each term and score the steps at which it was logged, and its values.

        A row that a kill has cut is left out; UserError for a log that holds anything but numbers.
        """
        if not self.log.is_file():
            return {}
        try:
            heading, rows = self._logged()
            if heading[: len(COLUMNS)] != [*COLUMNS]:
                raise ValueError(heading)
            return {
                name: [(int(row["step"]), float(row[name])) for row in rows if row[name]]
                for name in heading[1:]
            }
        except (ValueError, csv.Error) as error:
            raise UserError(
                f"{self.log}: damaged; move it away to do without its curves"
            ) from error

    def _logged(self) -> tuple[list[str], list[dict[str, str]]]:
        """The heading, and the rows that are whole."""
        with self.log.open(newline="", encoding="utf-8", errors="replace") as file:
            heading, *rows = [*csv.reader(file)] or [[]]
        whole = (row for row in rows if len(row) == len(heading))
        return heading, [dict(zip(heading, row, strict=True)) for row in whole]

    def _write_log(self, heading: list[str], rows: list[dict[str, str]]) -> None:
        with replacing(self.log) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, heading, restval="")
            writer.writeheader()
            writer.writerows(rows)


def _possible(plan: RunPlan) -> RunPlan:
    """The plan itself; ValueError for numbers that no run is started with."""
    lengths = [plan.steps, plan.seconds, plan.parts]
    if any(value is not None and value <= 0 for value in lengths) or plan.steps == plan.seconds:
        raise ValueError(f"steps {plan.steps}, seconds {plan.seconds}, parts {plan.parts}")
    return plan


def _with_tuples(settings: dict[str, Any]) -> dict[str, Any]:
    """JSON knows only lists; settings are tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


def _named(row: Row) -> dict[str, str]:
    """Column -> text: losses, then scores."""
    fixed = zip(COLUMNS, (f"{row.step}", f"{row.seconds:.2f}", f"{row.lr:.4g}"), strict=True)
    values = {**row.losses, **row.scores}
    return {**dict(fixed), **{name: f"{value:.6g}" for name, value in values.items()}}


def resumed(
    plan: RunPlan,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    **others: object,
) -> RunPlan:
    """The plan of a run that goes on, for longer where more steps or seconds are given.

    The schedule then runs towards the new end: progress is the share of it that is done, and the
    learning rate, which had come down to its floor, begins again from where that share is.

    Args:
        plan: How the run was started.
        steps: In all, those already done included; at least as many as the plan has.
        seconds: In all, likewise.
        others: Further fields of the plan that were asked for, None where not; of `settings` those
            that were. They cannot change.

    Raises:
        UserError: For what cannot change; it names the parameter.
    """
    asked = {name: value for name, value in others.items() if value is not None}
    settings = asked.pop("settings", {})
    assert isinstance(settings, dict)
    for name, value in {**asked, **settings}.items():
        before = plan.settings.get(name) if name in settings else getattr(plan, name)
        if value != before:
            raise UserError(
                f"{value} is not what this run was started with ({before}); leave it out, or start "
                "a new run",
                parameter=name,
            )
    longer: dict[str, Any] = {}
    for name, more in (("steps", steps), ("seconds", seconds)):
        before = getattr(plan, name)
        if more is None or more == before:
            continue
        if before is None:
            other = "seconds" if name == "steps" else "steps"
            raise UserError(f"this run counts its {other}; give `{other}`", parameter=name)
        if more < before:
            raise UserError(
                f"{more:g} is less than the {before:g} that this run was started with; it is only "
                "made longer",
                parameter=name,
            )
        longer[name] = more
    return replace(plan, **longer)
