"""What FFmpeg raises, as one line that names the file."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import av

from ssl_restore.errors import UserError


@contextmanager
def named(what: str, remedy: str) -> Iterator[None]:
    """An error of FFmpeg in the block as the UserError `what (reason); remedy`.

    Those of the disk are left to `io.files.replacing`. A muxer that is given packets which it does
    not take says that this is not permitted.
    """
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError) and error.errno != errno.EPERM:
            raise
        raise UserError(f"{what} ({error.strerror}); {remedy}") from error
