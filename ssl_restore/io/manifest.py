"""What was written into a folder, of which source and by which settings, so that work can go on.

    .ssl-restore.jsonl    a line for each set of settings, and a line for each file that was written

A file's line is written when the file is whole and before it takes its name: whichever moment a
kill hits, a file that is there is known.  A file is taken for the one of its line where size and
time are the same, or, as after copying a folder, its content.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ssl_restore.errors import UserError
from ssl_restore.io.fields import parsed

NAME = ".ssl-restore.jsonl"
_BLOCK = 1 << 20
Identity = tuple[int, int]  # bytes, and time of the last change in ns


class State(Enum):
    """What is there in the place of a result."""

    NONE = "nothing"
    DONE = "the result of this source and these settings"
    OTHER = "a result of another source or other settings"
    FOREIGN = "a file that this manifest does not know, or that was changed since"


@dataclass(frozen=True)
class Whole:
    """A file that is whole: of which size and time it is, and its content."""

    identity: Identity
    digest: str

    @staticmethod
    def of(path: Path) -> Whole:
        return Whole(identity(path), digest(path))


@dataclass(frozen=True)
class _Written:
    by: str  # key of the settings
    source: Identity
    file: Identity
    digest: str
    path: str | None  # of the source, as seen from the folder


@dataclass(frozen=True)
class Origin:
    """How a file was made."""

    settings: Mapping[str, Any]  # as the manifest was given them
    source: Path | None  # None: it was not recorded, or there is another file in its place


def identity(path: Path) -> Identity:
    """Of a file; of a folder by all files in it."""
    if path.is_dir():
        files = [one.stat() for one in path.iterdir() if one.is_file()]
        return sum(s.st_size for s in files), max((s.st_mtime_ns for s in files), default=0)
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def digest(path: Path) -> str:
    """Of a file's content."""
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def whole_lines(text: str) -> Iterator[dict[str, Any]]:
    """Those of a manifest that are whole: a kill or a full disk may have cut one."""
    for line in text.splitlines():
        try:
            content = parsed(line)
        except ValueError:
            continue
        if isinstance(content, dict):
            yield content


class Manifest:
    """That of one folder, for results of given settings."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.path = folder / NAME
        self._settings = json.dumps(dict(settings), sort_keys=True)
        self.key = hashlib.blake2b(self._settings.encode(), digest_size=8).hexdigest()
        self._lock = threading.Lock()
        self._known: dict[str, Mapping[str, Any]] = {}  # settings by their key
        self._written: dict[str, list[_Written]] = {}
        for line in self._lines():
            self._take(line)

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(
                f"{self.path}: cannot be read ({error.strerror}); remove it, or give another folder"
            ) from error
        yield from whole_lines(text)

    def _take(self, line: Mapping[str, Any]) -> None:
        try:
            if "settings" in line:
                self._known[str(line["key"])] = dict(line["settings"])
                return
            (size, time), (bytes_, changed, content) = line["source"], line["written"]
            path = line.get("path")
            path = None if path is None else str(path)
            entry = _Written(str(line["by"]), (size, time), (bytes_, changed), str(content), path)
            self._written.setdefault(str(line["file"]), []).append(entry)
        except (KeyError, TypeError, ValueError):
            return

    def state(self, target: Path, source: Identity) -> State:
        """What is in the place of the result of a source."""
        if not os.path.lexists(target):
            return State.NONE
        entry = self._entry(target)
        if entry is None:
            return State.FOREIGN
        same = (entry.by, entry.source) == (self.key, source)
        return State.DONE if same else State.OTHER

    def _entry(self, target: Path) -> _Written | None:
        """The line of the file that is there, the newest of several."""
        try:
            found = identity(target)
        except OSError:  # a broken link
            return None
        entries = [e for e in self._written.get(self._name(target), ()) if e.file[0] == found[0]]
        for entry in reversed(entries):
            if entry.file == found:
                return entry
        if not entries or not target.is_file():
            return None
        content = digest(target)
        return next((entry for entry in reversed(entries) if entry.digest == content), None)

    def _name(self, target: Path) -> str:
        return target.relative_to(self.folder).as_posix()

    def origin(self, target: Path) -> Origin | None:
        """How the file that is there was made; None where the manifest does not know it.

        A source of another size than it had is another file; its time may have changed by copying.
        """
        entry = self._entry(target)
        if entry is None:
            return None
        source = None if entry.path is None else self.folder / entry.path
        if source is not None and not (source.is_file() and identity(source)[0] == entry.source[0]):
            source = None
        return Origin(self._known.get(entry.by, {}), source)

    def record(
        self,
        target: Path,
        source: Identity,
        temporary: Path | Whole,
        *,
        path: Path | None = None,
    ) -> None:
        """A line for a file that is whole under a temporary name, and about to be renamed; for one
        on another machine what is known of it.

        `path` is that of the source, which is kept as seen from the folder, so that both can move.
        """
        whole = temporary if isinstance(temporary, Whole) else Whole.of(temporary)
        line: dict[str, Any] = {
            "file": self._name(target), "by": self.key, "source": list(source),
            "written": [*whole.identity, whole.digest],
        }  # fmt: skip
        if path is not None:
            line["path"] = _seen_from(self.folder, path)
        with self._lock:
            self._know()
            self._append(line)

    def _know(self) -> None:
        """The line of the settings, where there is none yet."""
        if self.key not in self._known:
            settings = json.loads(self._settings)
            self._append({"key": self.key, "settings": settings})
            self._known[self.key] = settings

    def _append(self, line: Mapping[str, Any]) -> None:
        with open(self.path, "a+b", opener=_no_link) as file:
            cut = file.tell() > 0 and not self._ends_well()
            file.write(b"\n" * cut + json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _ends_well(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def _seen_from(folder: Path, path: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return path.absolute().as_posix()


def _no_link(name: str, flags: int) -> int:
    """Open a file that is no link: what it leads to is no manifest."""
    return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
