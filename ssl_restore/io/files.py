"""Writing a file whole or not at all, and whether there is a right and room for it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from ssl_restore.errors import UserError
from ssl_restore.io.disk import DiskFull, write_error
from ssl_restore.io.locks import try_lock

PREFIX = ".ssl-restore-"  # of temporary files
_TEMPORARY = re.compile(re.escape(PREFIX) + r"[a-z0-9_]{8}(\.\w{1,14})?")
_SUFFIX = re.compile(r"\.\w{1,14}")
_PROCESS = {"removes strays": True}
_OLD_S = 86_400.0  # from which a temporary file is nobody's, where open files cannot be locked


@contextmanager
def replacing(
    path: Path,
    before: Callable[[Path], object] = lambda temporary: None,
    folder: Path | None = None,
) -> Iterator[Path]:
    """A temporary path beside `path`, or in a folder on the same disk, renamed onto it when the
    block ends well.

    `before` is called with the temporary file when it is whole. A crash, a full disk or an
    exception leaves the old file as it was and no half-written one. What a killed run left beside
    it is removed.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist; create it first")
    _remove_strays_once(path.parent.absolute())
    try:
        temporary, handle = _temporary(path, folder or path.parent)
    except OSError as error:
        raise write_error(path, "cannot be written", error) from error
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        before(temporary)
        temporary.replace(path)
    except OSError as error:
        raise write_error(path, "could not be saved", error, "; kept as it was") from error
    finally:
        temporary.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def _temporary(path: Path, folder: Path) -> tuple[Path, int | None]:
    """A file in a folder, for `path`, and the handle that locks it while it is in use."""
    # A short name: that of the file may be as long as names can be.
    suffix = path.suffix if _SUFFIX.fullmatch(path.suffix) else ""
    while True:
        handle, name = tempfile.mkstemp(prefix=PREFIX, suffix=suffix, dir=folder)
        if sys.platform == "win32":  # which renames no open file
            os.close(handle)
            return Path(name), None
        if try_lock(handle) is not False and os.fstat(handle).st_nlink:
            return Path(name), handle
        os.close(handle)  # taken for a stray one, which is removed, before it was locked


def leave_strays() -> None:
    """Of a process that shares folders with others on other machines, where a lock may not tell
    whose a temporary file is: it removes none."""
    _PROCESS["removes strays"] = False


@lru_cache(maxsize=4096)
def _remove_strays_once(folder: Path) -> None:
    """As `remove_strays`, of each folder only once in a process."""
    if _PROCESS["removes strays"]:
        remove_strays(folder)


def remove_strays(folder: Path) -> None:
    """Remove temporary files that a killed run left in a folder: those of no living process."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            named = _TEMPORARY.fullmatch(entry.name)
            if named and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_stray(Path(entry.path))


def _remove_stray(path: Path) -> None:
    if sys.platform == "win32":
        if time.time() - path.stat().st_mtime > _OLD_S:
            path.unlink()
        return
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if try_lock(handle):
            path.unlink()
    finally:
        os.close(handle)


def check_writable(folder: Path) -> None:
    """UserError where nothing can be written into a folder, or where it cannot be made.

    Asked before long work, so that this is not lost in the end. Of a folder that does not exist
    yet the nearest one above it counts.
    """
    place = _nearest(folder)
    if not place.is_dir():
        raise UserError(f"{folder}: {place} is a file, not a folder; give another folder")
    effective = os.access in os.supports_effective_ids
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=effective):
        raise UserError(f"{folder}: no permission to write into {place}; give another folder")


def check_target(
    path: Path, *, overwrite: bool, folder: bool = False, inputs: Iterable[Path] = ()
) -> None:
    """UserError where a file, or a `folder`, of this name cannot be written, is one of the inputs,
    or exists, unless `overwrite`."""
    if path.is_dir() and not folder:
        raise UserError(f"{path}: is a folder; give the name of a file in it")
    if path.is_file() and folder:
        raise UserError(f"{path}: is a file; give the name of a folder")
    if path.exists() and not (path.is_file() or folder):
        raise UserError(f"{path}: is no regular file; give the name of one")
    if any(same_file(path, one) for one in inputs):
        raise UserError(f"{path}: is one of the inputs; give another name")
    if os.path.lexists(path) and not overwrite:
        raise UserError(f"{path}: exists; `overwrite` replaces it, or give another name")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist; create it first")
    check_writable(path.parent)


def same_file(one: Path, other: Path) -> bool:
    """The same file or folder, however it is spelt or linked; not where one does not exist."""
    return one.exists() and other.exists() and one.samefile(other)


def check_space(
    folder: Path, likely: float, notify: Callable[[str], None] = lambda line: None
) -> None:
    """UserError where a quarter of the bytes that are likely to be written finds no room; a line
    where not all may find any."""
    free = shutil.disk_usage(_nearest(folder)).free
    amounts = f"about {_amount(likely)} will be written, and {_amount(free)} is free"
    if free < likely / 4:
        raise DiskFull(f"{folder}: {amounts}; make room, or give another folder")
    if free < likely:
        notify(f"{folder}: {amounts}; it may not be enough")


def _amount(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    place = Path(folder).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
