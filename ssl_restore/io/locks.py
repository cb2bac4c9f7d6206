"""Locks of the operating system on files: they end with the process, however that ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ssl_restore.errors import UserError
from ssl_restore.io.disk import write_error

NAME = ".ssl-restore.lock"

if sys.platform == "win32":
    import msvcrt

    def try_lock(handle: int) -> bool | None:
        """Lock an open file: whether that worked; None where the system has no such locks."""
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def try_lock(handle: int) -> bool | None:
        """Lock an open file: whether that worked; None where the file system has no such locks."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True


@contextmanager
def only_run(folder: Path, *, parents: bool = False, result: Path | None = None) -> Iterator[None]:
    """Keep other runs out of a folder while the block lasts.

    The folder is made where it does not exist, and removed again where it stays empty. One whose
    parent does not exist is left to the block, unless `parents` are to be made, too. An error names
    the `result` that a hidden folder is for.

    Raises:
        UserError: Where another run writes into the folder, or nothing can be written into it.
    """
    missing = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    if (folder.exists() and not folder.is_dir()) or (len(missing) > 1 and not parents):
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _locked(folder / NAME)
    except OSError as error:
        _remove(missing)
        named, what = result or folder, "cannot be written"
        raise write_error(named, what, error, "; give another folder") from error
    if handle is None:
        where = (
            f"{folder}: another run is writing into it"
            if result is None
            else (f"{result}: another run is making it")
        )
        raise UserError(f"{where}; wait until that has ended, or give another folder")
    try:
        yield
    finally:
        _unlock(folder / NAME, handle)
        _remove(missing)


def _locked(path: Path) -> int | None:
    """A handle of the locked file; None while another process has it.

    Who has the lock may remove the file: a lock on a file that is gone holds nobody off.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    while True:
        handle = os.open(path, flags, 0o666)
        if try_lock(handle) is False:
            os.close(handle)
            return None
        if sys.platform == "win32" or os.fstat(handle).st_nlink:
            return handle
        os.close(handle)


def _unlock(path: Path, handle: int) -> None:
    if sys.platform == "win32":  # which removes no open file
        os.close(handle)
    with suppress(OSError):
        path.unlink()
    if sys.platform != "win32":
        os.close(handle)


def _remove(folders: list[Path]) -> None:
    """Those that are empty, the innermost first."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
