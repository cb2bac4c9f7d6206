"""What a page is about, with all that is known of it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ssl_restore import __version__, discover
from ssl_restore.evaluation import pairing
from ssl_restore.evaluation.pairing import Pair
from ssl_restore.report.contents import Calibration, Facts, Series
from ssl_restore.restorer import Restorer
from ssl_restore.types import Task

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


def task_of(asked: str | None, known: str | None) -> Task | None:
    """UserError for one that is asked for and unknown; what a manifest says may be no task."""
    if asked is not None:
        return discover.task(asked)
    return discover.task(known) if known in discover.names("tasks", "task") else None


def spread(pairs: Sequence[Pair], limit: int) -> list[Pair]:
    """So many, spread evenly."""
    count = min(limit, len(pairs))
    return [pairs[index * len(pairs) // count] for index in range(count)]


def layers_of(asked: Asked, notify: Notify) -> dict[str, Mapping[str, Path]]:
    """By the name of the folder; two of one name get a number."""
    found: dict[str, Mapping[str, Path]] = {}
    for folder in asked.layers:
        name = folder.resolve().name
        unique = name if name not in found else f"{name} {len(found) + 1}"
        found[unique] = pairing.by_name(folder, asked.recursive, notify)
    return found


def software() -> Facts:
    """What made the page."""
    return Facts(
        "Software",
        {
            "ssl-restore": __version__,
            "torch": torch.__version__,
            "Python": platform.python_version(),
        },
    )
