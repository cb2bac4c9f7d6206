"""What one user has dropped, made and learned: a private folder, gone when the page is closed."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.clips.reader import Clip
from ssl_restore.io.clips.suffixes import is_clip
from ssl_restore.io.files import check_space, replacing
from ssl_restore.io.jobs import Job
from ssl_restore.io.names import is_read
from ssl_restore.training import checkpoint
from ssl_restore.training.request import Request
from ssl_restore.training.run import Run
from ssl_restore.ui import restoring
from ssl_restore.ui.jobs import Queue, State, Work
from ssl_restore.ui.setting import Setting, choices

BEFORE = "before"
WEIGHTS = ".safetensors"


@dataclass
class Results:
    """Of one setting."""

    setting: Setting
    folder: Path
    done: dict[str, Path] = field(default_factory=dict)  # name of a picture -> its result
    layers: dict[str, dict[str, Path]] = field(default_factory=dict)  # layer -> as `done`


class Session:
    """Of one open page.

    Attributes:
        pictures: Name -> file, of pictures and clips, in the order in which they were dropped.
        results: By the name of their setting.
        states: Name of a picture -> what became of it in the last work.
        notes: What the user should know, the newest last.
        picked: Name of the picture that is shown; `left` and `right`: which two sides of it.
    """

    def __init__(self, folder: Path, queue: Queue, machine: restoring.Machine) -> None:
        self.folder, self.queue, self.machine = folder, queue, machine
        self.pictures: dict[str, Path] = {}
        self.results: dict[str, Results] = {}
        self.states: dict[str, str] = {}
        self.notes: list[str] = []
        self.archive: Path | None = None
        self.work: Work | None = None
        self.sheet: Path | None = None  # of the training that runs, or ran
        self.fitted: dict[str, tuple[str, Path]] = {}  # name -> task, weights
        self.picked: str | None = None
        self.left = self.right = BEFORE
        self.side_by_side = False
        self._inputs = folder / "pictures"
        folder.mkdir(mode=0o700)
        self._inputs.mkdir()

    @property
    def busy(self) -> bool:
        return self.work is not None and not self.work.over

    def say(self, line: str) -> None:
        """Keep a line for the user."""
        line = self._without_places(line)
        if line not in self.notes:
            self.notes.append(line)

    def _without_places(self, line: str) -> str:
        """A line without where the session's files lie."""
        line = line.replace(f"{self._inputs}:", "the pictures:")
        for place in (self._inputs, self.folder, self.folder.parent):
            line = line.replace(f"{place}{os.sep}", "")
        return line

    def take(self, uploads: Iterable[Path]) -> None:
        """Make dropped files the session's own; a line is said of each that is refused."""
        for path in uploads:
            try:
                self._take(path)
            except UserError as error:
                self.say(str(error).replace(str(path), path.name))
                path.unlink(missing_ok=True)

    def _take(self, path: Path) -> None:
        if path.suffix.lower() == WEIGHTS:
            task = checkpoint.read_header(path).task
            self._add_weights(path.stem, task, self._moved(path, self.folder / "weights"))
            return
        if not is_read(path, clips=True):
            raise UserError(f"{path}: neither a picture nor a clip; drop a PNG, a JPEG or an MP4")
        if is_clip(path):
            Clip(path, self.machine.max_pixels)
        elif not images.pixel_count(path):
            images.read(path, max_pixels=self.machine.max_pixels)  # says why
        moved = self._moved(path, self._inputs)
        self.pictures[moved.name] = moved
        self.picked = self.picked or moved.name

    def _moved(self, path: Path, folder: Path) -> Path:
        """The file under a name of its own in a folder of the session."""
        folder.mkdir(exist_ok=True)
        target, number = folder / path.name, 1
        while target.exists():
            number += 1
            target = folder / f"{path.stem} ({number}){path.suffix}"
        path.replace(target)
        return target

    def _add_weights(self, name: str, task: str, path: Path) -> str:
        while name in self.fitted:
            name += "'"
        self.fitted[name] = (task, path)
        return name

    def weights(self, task: str) -> dict[str, Path | None]:
        """Name -> weights of a task: those installed, dropped and fitted."""
        own = {name: path for name, (of, path) in self.fitted.items() if of == task}
        return {**choices(task), **own}

    def restore(self, setting: Setting, layer: str | None) -> None:
        """Begin to restore all pictures."""
        self._check_idle()
        mask = None if setting.mask is None else setting.mask.name
        names = [name for name in self.pictures if name != mask]
        if not names:
            raise UserError("there is no picture; drop some first")
        found = self.results.get(setting.name)
        if found is None:
            found = Results(setting, self.folder / "results" / str(len(self.results) + 1))
        results = self.results[setting.name] = replace(found, setting=setting)
        self.states = dict.fromkeys(names, "waiting")
        self._begin(lambda work: self._restore(work, results, names, layer))

    def _restore(
        self, work: Work, results: Results, names: Sequence[str], layer: str | None
    ) -> None:
        layers = None if layer is None else self.folder / "layers" / results.folder.name / layer
        if layers is not None:
            layers.parent.mkdir(parents=True, exist_ok=True)

        def finished(job: Job, failure: str | None) -> None:
            self._finished(job, failure, results, layer)
            work.changed()

        jobs = restoring.planned(
            [self.pictures[name] for name in names], results.setting, results.folder,
            layers=layers, done=lambda job: finished(job, None), notify=self.say,
        )  # fmt: skip
        try:
            if jobs:
                restoring.restore(
                    jobs, results.setting, self.machine, layer=layer, progress=work.progress,
                    finished=finished, notify=self.say,
                )  # fmt: skip
        finally:
            for name, state in self.states.items():
                self.states[name] = "not restored" if state == "waiting" else state
            self._pack(results)

    def _finished(self, job: Job, failure: str | None, results: Results, layer: str | None) -> None:
        name = job.source.name
        if failure is not None:
            self.states[name] = "failed"
            self.say(failure)
            return
        self.states[name] = "restored"
        results.done[name] = job.target
        self.picked = self.picked or name
        self.right = results.setting.name
        self.left = BEFORE if self.left == self.right else self.left
        if job.layer is not None and layer is not None:
            results.layers.setdefault(layer, {})[name] = job.layer

    def _pack(self, results: Results) -> None:
        """All files of a setting as one, where there are several."""
        files = {path.name: path for path in results.done.values()}
        for layer, found in results.layers.items():
            files.update({f"{layer}/{path.name}": path for path in found.values()})
        self.archive = None
        if len(files) < 2:
            return
        check_space(self.folder, sum(path.stat().st_size for path in files.values()))
        archive = results.folder.with_name(f"{results.setting.task}-{results.folder.name}.zip")
        with replacing(archive) as temporary, zipfile.ZipFile(temporary, "w") as packed:
            for name, path in files.items():
                packed.write(path, name)
        self.archive = archive

    def fit(self, task: str, images: Path | None, minutes: float) -> None:
        """Begin to learn from the dropped pictures, or from one clip of them."""
        self._check_idle()
        if not any(not is_clip(path) for path in self.pictures.values()) and images is None:
            raise UserError("there is no picture to learn from; drop some, or choose a clip")
        number = 1 + sum(name.startswith("fitted") for name in self.fitted)
        folder = self.folder / "runs" / secrets.token_hex(4)
        asked = Request(
            images=images or self._inputs, task=task, minutes=minutes, output=folder
        )  # fmt: skip
        name = f"fitted {number}"
        self._begin(lambda work: self._fit(work, asked, name))

    def _fit(self, work: Work, asked: Request, name: str) -> None:
        sheet = Run(asked.folder).sample
        shown = 0.0

        def progress(share: float, line: str) -> None:
            nonlocal shown
            if sheet.is_file() and sheet.stat().st_mtime != shown:
                shown = sheet.stat().st_mtime
                self._show(sheet)
            work.progress(share, line)

        weights = restoring.learn(asked, self.machine, progress=progress, notify=self.say)
        if sheet.is_file():
            self._show(sheet)
        assert asked.task is not None
        named = self._add_weights(name, asked.task, weights)
        self.say(f"{named}: choose it as the restorer of {asked.task}")

    def _show(self, sheet: Path) -> None:
        """A copy of the sample sheet, under a name that no browser has kept."""
        copy = self.folder / "previews" / f"sheet-{secrets.token_hex(4)}.png"
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(sheet, copy)
        self.sheet = copy

    def _begin(self, run: Callable[[Work], None]) -> None:
        self.notes = []
        self.work = Work(run)
        self.queue.put(self.work)

    def _check_idle(self) -> None:
        if self.busy:
            raise UserError("something is being done; wait until that has ended, or stop it")

    def stop(self) -> None:
        if self.work is not None:
            self.queue.withdraw(self.work)

    def clear(self) -> None:
        """Forget the pictures and their results; what was fitted stays."""
        self._check_idle()
        for folder in (self._inputs, *(self.folder / n for n in ("results", "layers", "previews"))):
            shutil.rmtree(folder, ignore_errors=True)
        self._inputs.mkdir()
        self.pictures, self.results, self.states = {}, {}, {}
        self.notes, self.archive, self.sheet, self.work = [], None, None, None
        self.picked, self.left, self.right = None, BEFORE, BEFORE

    def status(self) -> str:
        """In words, what is done; empty where nothing was asked for."""
        if self.work is None:
            return ""
        if self.work.state is State.WAITING:
            return f"waiting for {self.queue.before(self.work)} other"
        return self._without_places(self.work.line)

    def close(self) -> None:
        """Stop what runs, and remove everything when that has ended."""
        self.stop()
        if self.work is None or self.work.wait(60):
            shutil.rmtree(self.folder, ignore_errors=True)


class Sessions:
    """By the key of the page."""

    def __init__(self, root: Path, machine: restoring.Machine) -> None:
        self.root, self.machine, self.queue = root, machine, Queue()
        self._sessions: dict[str, Session] = {}
        self._closed: set[str] = set()
        self._lock = threading.Lock()

    def of(self, key: str | None) -> Session:
        """That of a page, made where there is none yet."""
        if not key or key in self._closed:
            raise UserError("this page was closed; load it again")
        with self._lock:
            if key not in self._sessions:
                folder = self.root / secrets.token_urlsafe(24)
                self._sessions[key] = Session(folder, self.queue, self.machine)
            return self._sessions[key]

    def close(self, key: str | None) -> None:
        """End that of a page, where there is one."""
        with self._lock:
            self._closed.add(key or "")
            session = self._sessions.pop(key or "", None)
        if session is not None:
            session.close()

    def close_all(self) -> None:
        for key in [*self._sessions]:
            self.close(key)
        self.queue.close()

    def used_bytes(self) -> int:
        """Of all files of all sessions."""
        total = 0
        for folder, _, files in os.walk(self.root):
            for name in files:
                with suppress(OSError):  # it was removed meanwhile
                    total += os.stat(os.path.join(folder, name)).st_size
        return total
