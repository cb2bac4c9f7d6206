"""A process that restores pictures for `inference.cluster`, on any machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch
from torch import nn

from ssl_restore.device import choose, place
from ssl_restore.errors import UserError
from ssl_restore.io import files
from ssl_restore.io.disk import DiskFull
from ssl_restore.io.jobs import Job
from ssl_restore.io.manifest import Whole
from ssl_restore.io.objects import Place
from ssl_restore.io.stored import StoredJob


class Notes:
    """Keeps the lines of a worker until they are asked for."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __call__(self, line: str) -> None:
        self._lines.append(line)

    def taken(self) -> list[str]:
        lines, self._lines = self._lines, []
        return lines


@dataclass(frozen=True)
class Task:
    """A job as a worker gets it."""

    job: Job  # of absolute paths; of objects only the suffixes count
    fetch: str | None = None  # address of the source
    put: str | None = None  # address of the target
    named: tuple[tuple[str, str], ...] = ()  # (path on the worker, as the user wrote it)

    @staticmethod
    def of(job: Job | StoredJob) -> Task:
        if isinstance(job, StoredJob):
            suffixes = Job(Path(job.source), Path(job.target), quality=job.quality)
            return Task(suffixes, job.source, job.target)
        pairs = [(job.source, "source"), (job.target, "target"), (job.layer, "layer")]
        paths: dict[str, Any] = {name: path.absolute() for path, name in pairs if path is not None}
        named = tuple((str(paths[name]), str(path)) for path, name in pairs if name in paths)
        return Task(replace(job, record=None, **paths), named=named)


@dataclass(frozen=True)
class Written:
    """A file is whole and waits for its line."""

    is_layer: bool
    whole: Whole


@dataclass(frozen=True)
class End:
    """A picture is done, or could not be."""

    failure: str | None
    notes: list[str]
    disk_full: bool = False
    stored: Whole | None = None  # the object that was put


class Worker:
    """Restores one picture after the other, on one thread.

    Args:
        how: Takes a list of one job, and gives the lines of what failed; a partial of `restore_all`
            or `solve_all` whose `notify` is `Notes`.
        device: Where, as of `device.choose`.
    """

    def __init__(self, how: partial[list[str]], device: str) -> None:
        files.leave_strays()
        torch.set_num_threads(1)
        on, settings = choose(device), dict(how.keywords)
        for value in settings.values():
            if isinstance(value, nn.Module):
                place(value, on)
        if "device" in settings:
            settings["device"] = on
        self._how, self._notes = partial(how.func, **settings), settings["notify"]
        self._steps: SimpleQueue[Written | End] = SimpleQueue()
        self._go: SimpleQueue[None] = SimpleQueue()
        self._thread = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,))

    def ready(self) -> None:
        """Returns when the worker is there."""

    def begin(self, task: Task) -> Written | End:
        """Restore a picture; returns when its first file is whole."""
        self._thread.submit(self._work, task)
        return self._steps.get()

    def go_on(self) -> Written | End:
        """Give that file its name, and go on."""
        self._go.put(None)
        return self._steps.get()

    def _work(self, task: Task) -> None:
        last = None

        def record(path: Path, temporary: Path | Whole) -> None:
            nonlocal last
            assert isinstance(temporary, Path)
            last = Whole.of(temporary)
            if task.put is not None:
                last = Whole((last.identity[0], 0), last.digest)
            self._steps.put(Written(path == task.job.layer, last))
            self._go.get()

        failure, full, stored = None, False, None
        names = list(task.named)
        try:
            with _staged(task, names) as job:
                lines = self._how([replace(job, record=record)])
                if lines:
                    failure = lines[0]
                elif task.put is not None and last is not None:
                    stored = Whole(Place.at(task.put).put(job.target), last.digest)
        except UserError as error:
            failure, full = str(error), isinstance(error, DiskFull)
        except Exception as error:  # one picture of a million is not to end the run
            reason = str(error).strip().split("\n")[0]
            failure = f"{task.fetch or task.job.source}: {type(error).__name__}: {reason}"
        notes = [_named(line, names) for line in self._notes.taken()]
        failure = None if failure is None else _named(failure, names)
        self._steps.put(End(failure, notes, full, stored))


@contextmanager
def _staged(task: Task, names: list[tuple[str, str]]) -> Iterator[Job]:
    """The job of a task, with files in the place of objects while the block lasts."""
    if task.fetch is None or task.put is None:
        yield task.job
        return
    with tempfile.TemporaryDirectory(prefix="ssl-restore-") as folder:
        source = Path(folder, f"source{task.job.source.suffix}")
        target = Path(folder, f"result{task.job.target.suffix}")
        names += [(str(source), task.fetch), (str(target), task.put)]
        Place.at(task.fetch).fetch(source)
        yield replace(task.job, source=source, target=target)


def _named(line: str, names: Sequence[tuple[str, str]]) -> str:
    for path, written in names:
        line = line.replace(path, written)
    return line
