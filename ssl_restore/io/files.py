"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ssl_restore.errors import UserError

PREFIX = ".ssl-restore-"  # of temporary files


@contextmanager
def replacing(
    path: Path,
    before: Callable[[Path], object] = lambda temporary: None,
    folder: Path | None = None,
) -> Iterator[Path]:
    """A temporary path beside `path`, or in a folder on the same disk, renamed onto it when the
    block ends well.

    `before` is called with the temporary file when it is whole. A crash, a full disk or an
    exception leaves the old file as it was and no half-written one.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist; create it first")
    try:
        # A short name: that of the file may be as long as names can be.
        suffix = path.suffix if len(path.suffix) < 16 else ""
        handle, name = tempfile.mkstemp(prefix=PREFIX, suffix=suffix, dir=folder or path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        before(temporary)
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: could not be saved ({error.strerror}); kept as it was") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """UserError where nothing can be written into a folder, or where it cannot be made.

    Asked before long work, so that this is not lost in the end. Of a folder that does not exist
    yet the nearest one above it counts.
    """
    place = Path(folder).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UserError(f"{folder}: {place} is a file, not a folder; give another folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: no permission to write into {place}; give another folder")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
