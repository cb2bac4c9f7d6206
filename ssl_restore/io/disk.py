"""What the system says where something cannot be written."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

from ssl_restore.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT) if sys.platform != "win32" else (errno.ENOSPC,)


class DiskFull(UserError):
    """No room is left: what is still to be written would fail as well."""


def write_error(path: Path, what: str, error: OSError, remedy: str = "") -> UserError:
    """Why a file or folder cannot be written, as one line; `DiskFull` where that is why."""
    line = f"{path}: {what} ({error.strerror}){remedy}"
    return DiskFull(f"{line}; make room, then go on") if error.errno in _FULL else UserError(line)
