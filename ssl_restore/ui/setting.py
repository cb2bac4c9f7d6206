"""How pictures are restored, and what of that can be chosen: asked of the task and the restorer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ssl_restore import __version__, discover, weights
from ssl_restore.inference.load import fingerprint, load_restorer, weights_path
from ssl_restore.inference.wrappers import QUALITIES, USUAL_QUALITY
from ssl_restore.restorer import Restorer
from ssl_restore.training import checkpoint

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Setting:
    """What a result depends on besides its source; `name` is how the page calls it."""

    task: str
    weights: Path | None = None  # None: the solver, of a task that has a mask or nothing built in
    strength: float = 1.0
    thorough: float | None = None
    quality: str = USUAL_QUALITY
    mask: Path | None = None
    name: str = ""

    @property
    def by_solver(self) -> bool:
        return self.weights is None and has_solver(self.task)

    @property
    def file(self) -> Path:
        """That of the weights; where the built-in ones are asked for, those of the quality."""
        built_in = self.weights in (None, weights.built_in(self.task))
        return weights_path(
            None if built_in else self.weights, task=self.task, quality=self.quality
        )

    def named(self, weights_name: str) -> Setting:
        """The same, with a name that says what differs from the usual."""
        words = [self.task, *([] if weights_name == "built-in" else [weights_name])]
        words += [] if self.strength == 1 else [f"strength {self.strength:g}"]
        words += [] if self.thorough is None else [f"thorough {self.thorough:g}"]
        words += [] if self.quality == USUAL_QUALITY else [self.quality]
        words += [] if self.mask is None else [f"mask {self.mask.name}"]
        return replace(self, name=", ".join(words))

    def recorded(self) -> dict[str, Any]:
        """For the manifest of the results, as the commands have it."""
        files = [] if self.by_solver else [*weights.parts(self.file)]
        files += [] if self.mask is None else [self.mask]
        return {
            "command": self.task, "version": __version__, "strength": self.strength,
            "thorough": self.thorough, "quality": self.quality,
            "weights": [fingerprint(path) for path in files],
        }  # fmt: skip


@dataclass(frozen=True)
class Abilities:
    """What can be chosen."""

    strength: bool = False
    thorough: float | None = None  # that of the weights; None: they cannot be told
    qualities: tuple[str, ...] = (USUAL_QUALITY,)
    layers: tuple[str, ...] = ()
    mask: bool = False  # the solver cannot do without


def abilities(task: str, path: Path | None) -> Abilities:
    """Of a task with these weights; None: the built-in ones, or the solver."""
    setting = Setting(task, path)
    if setting.by_solver:
        return Abilities(strength=True, mask=bool(discover.task(task).mask))
    restorer = loaded(setting.file, CPU)
    quicker = path in (None, weights.built_in(task)) and task in (*weights.SMALLER, *weights.MIXED)
    known = {"fast": quicker, "best": len(restorer.symmetry) > 1}
    return Abilities(
        strength=restorer.scale == 1,
        thorough=restorer.thorough,
        qualities=tuple(quality for quality in QUALITIES if known.get(quality, True)),
        layers=tuple(name for name in restorer.layer_names if name != "clean"),
    )


def choices(task: str) -> dict[str, Path | None]:
    """Name -> weights of what is installed for a task, and None for its solver."""
    solver: dict[str, Path | None] = {discover.task(task).solver.replace("_", " "): None}
    if not discover.task(task).built_in:
        return solver
    paths = set(weights.FOLDER.glob(f"{task}*.safetensors"))
    usual = weights.built_in(task)
    paths -= {weights.built_in(task, quality) for quality in QUALITIES} - {usual}
    paths -= {*weights.parts(usual)[1:]}
    found = {
        path: loaded(path, CPU)
        for path in sorted(paths)
        if checkpoint.read_header(path).task == task
    }
    named: dict[str, Path | None] = {
        "built-in" if one.scale == 1 else f"built-in, {one.scale} times": path
        for path, one in found.items()
    }
    return named | (solver if has_solver(task) else {})


def has_solver(task: str) -> bool:
    """Whether it is offered here: where nothing is built in, or where it works under a mask."""
    known = discover.task(task)
    return not known.built_in or bool(known.mask)


def loaded(path: Path, device: torch.device) -> Restorer:
    """The restorer of a checkpoint; read once for as long as the file stays as it is."""
    return _loaded(path, path.stat().st_mtime_ns, device)


@lru_cache(maxsize=8)
def _loaded(path: Path, _: int, device: torch.device) -> Restorer:
    return load_restorer(path, device)
