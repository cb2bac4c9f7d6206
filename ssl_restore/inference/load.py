"""A restorer ready to use: the one that is built in for a task, or that of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from ssl_restore import discover, weights
from ssl_restore.device import place
from ssl_restore.errors import UserError
from ssl_restore.inference import int8
from ssl_restore.inference.mixture import Mixture
from ssl_restore.inference.sparing import Sparing
from ssl_restore.inference.wrappers import checked_quality
from ssl_restore.io import manifest
from ssl_restore.networks import gate
from ssl_restore.restorer import Restorer
from ssl_restore.training import checkpoint


def load_restorer(
    path: Path | None,
    device: torch.device,
    *,
    task: str | None = None,
    quality: str = "good",
    trainable: bool = False,
    precision: str = "auto",
) -> Restorer:
    """The restorer of a checkpoint, or without a path the one built in for the task.

    Args:
        path: A checkpoint that `fit` wrote; None takes the task's built-in one, which may be a
            `Mixture`, or `Sparing`.
        device: Where it goes.
        task: Weights of another task are refused; None takes those of any.
        quality: For `fast` the smaller built-in one, where the task has it.
        trainable: Its norms stay by themselves, which is slower, but can be learned on.
        precision: `int8` for one that computes with integers; all others are chosen later.
    """
    own = weights_path(path, task=task, quality=checked_quality(quality))

    def ready(path: Path) -> Restorer:
        restorer, header = checkpoint.load(path, task=task)
        if header.task in discover.names("tasks", "task"):
            restorer.symmetry = discover.task(header.task).symmetry
        restorer.coarse_from = header.coarse_from
        if trainable:
            return place(restorer, device)
        restorer = place(restorer.folded(), device)
        return int8.with_integers(restorer) if precision == int8.PRECISION else restorer

    _, *others = weights.parts(own)
    if not others:
        restorer = ready(own)
        return Sparing(restorer) if weights.spares(own) and not trainable else restorer
    _check_installed(*others)
    last, expert = ready(own), ready(others[0])
    return Mixture(expert, last, place(gate.load(others[1]), device), last)


def weights_path(path: Path | None, *, task: str | None = None, quality: str = "good") -> Path:
    """The checkpoint itself, or the built-in one of the task; UserError where there is none."""
    if path is None:
        if task is None:
            raise ValueError("give a path or a task")
        path, known = weights.built_in(task, quality), discover.names("tasks", "task")
        if not path.is_file() and task not in known:
            raise UserError(
                f"the task {task!r} has no built-in restorer; give its `weights`, or one of: "
                f"{', '.join(known)}"
            )
        if not path.is_file() and not discover.task(task).built_in:
            raise UserError(
                f"no restorer is built in for the task {task!r}; give the `weights` of your own "
                f"fit, or restore with its solver, {discover.task(task).solver}"
            )
    if path.parent == weights.FOLDER:
        _check_installed(path)
    return path


def _check_installed(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            raise UserError(
                f"this installation lacks the built-in restorer {path.stem} ({path}); install "
                "ssl-restore again, or give the `weights` of your own fit"
            )


def fingerprint(path: Path) -> str:
    """Of the content of a file of weights; UserError where it cannot be read."""
    if path.parent == weights.FOLDER:
        _check_installed(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise UserError(f"{path}: {what}; give a restorer.safetensors that fit wrote")
    return manifest.digest(path)
