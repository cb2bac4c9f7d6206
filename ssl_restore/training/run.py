"""A run folder: what a training wrote, and how it goes on after an interruption.

run.json            how it was started: recipe, settings, data, seed
log.csv             a row every few steps
rain.json           the rain of its pictures, as calibrated before training
noise.json          the same of their noise, for recipes that learn to denoise
restorer.safetensors  the averaged restorer: what `derain --weights` takes
state.pt            everything that a resumed run needs
sample.png          rainy crops above their restored versions, newest state
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ssl_restore.errors import UserError
from ssl_restore.io.files import replacing
from ssl_restore.training import checkpoint
from ssl_restore.training.fit import Row
from ssl_restore.types import Recipe


@dataclass(frozen=True)
class Plan:
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
    version: str = ""


class Run:
    """The folder of one training.  Every file is replaced whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.weights = folder / "restorer.safetensors"
        self.state = folder / "state.pt"
        self.log = folder / "log.csv"
        self.sample = folder / "sample.png"
        self.rain = folder / "rain.json"
        self.noise = folder / "noise.json"
        self._plan = folder / "run.json"

    def exists(self) -> bool:
        return self._plan.is_file()

    def create(self, plan: Plan) -> None:
        """Start a new run; a folder that holds one already is left alone."""
        self.refuse_existing()
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._plan) as temporary:
            temporary.write_text(json.dumps(asdict(plan), indent=1), encoding="utf-8")

    def refuse_existing(self) -> None:
        """UserError when the folder holds a run."""
        if self.exists():
            raise UserError(
                f"{self.folder}: holds a run already; go on with --resume {self.folder}, "
                "or give another folder with -o"
            )

    def plan(self) -> Plan:
        if not self.exists():
            raise UserError(f"{self.folder}: no run to resume there (no run.json)")
        try:
            return Plan(**json.loads(self._plan.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise UserError(f"{self._plan}: damaged, or of another version") from error

    def save(self, recipe: Recipe, plan: Plan, row: Row) -> None:
        """Replace the state, then the restorer.  Whichever moment a kill hits, both are whole."""
        state = {
            "step": row.step,
            "seconds": row.seconds,
            "restorer": recipe.restorer.state_dict(),
            "average": recipe.ema.state_dict(),
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
        )
        checkpoint.save(self.weights, recipe.ema, header)

    def load(self, recipe: Recipe) -> tuple[int, float]:
        """Put the saved state back into a freshly built recipe: (steps done, seconds spent)."""
        if not self.state.is_file():
            return 0, 0.0  # interrupted before the first save
        try:
            state = torch.load(self.state, map_location="cpu", weights_only=True)
            recipe.restorer.load_state_dict(state["restorer"])
            recipe.ema.load_state_dict(state["average"])
            for player, saved in zip(recipe.players, state["players"], strict=True):
                player.objective.load_state_dict(saved["objective"])
                rates = [group["lr"] for group in player.optimizer.param_groups]
                player.optimizer.load_state_dict(saved["optimizer"])
                for group, rate in zip(player.optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate  # the recipe's; the saved one is that of a moment
        except Exception as error:  # torch raises many kinds for a damaged file
            raise UserError(
                f"{self.state}: damaged, or of other settings; cannot resume"
            ) from error
        return int(state["step"]), float(state["seconds"])

    def trim_log(self, step: int) -> None:
        """Drop rows after `step`: they were lost with the interrupted session."""
        if not self.log.is_file():
            return
        with self.log.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        kept = [r for r in rows[1:] if len(r) == len(rows[0]) and int(r[0]) <= step]
        with replacing(self.log) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows(rows[:1] + kept)

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows to the log; the first call writes the heading."""
        rows = list(rows)
        if not rows:
            return
        fresh = not self.log.is_file()
        try:
            with self.log.open("a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                if fresh:
                    writer.writerow(["step", "seconds", "lr", *rows[0].losses])
                for row in rows:
                    losses = [f"{value:.6g}" for value in row.losses.values()]
                    writer.writerow([row.step, f"{row.seconds:.2f}", f"{row.lr:.4g}", *losses])
        except OSError as error:
            raise UserError(f"{self.log}: could not be written ({error.strerror})") from error
