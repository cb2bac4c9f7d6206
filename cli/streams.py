"""Standard input and output in the place of files: a picture comes and goes as bytes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import click

from .errors import Failed

STREAM = "-"


class Streams:
    """Files in a temporary folder that stand for the streams while the block lasts; errors name
    the streams."""

    def __init__(self, sources: Sequence[str], output: str, form: str | None) -> None:
        if STREAM in sources and len(sources) > 1:
            raise click.UsageError("- stands for one picture: leave the other inputs out")
        self.sources, self.output, self._form = tuple(sources), output, form
        self.target = output

    @property
    def to_stdout(self) -> bool:
        return self.output == STREAM

    def __enter__(self) -> Streams:
        self._folder = tempfile.TemporaryDirectory(prefix="ssl-restore-")
        place = Path(self._folder.name)
        if STREAM in self.sources:
            source = place / "standard input"
            if sys.stdin is None:  # closed by who started this
                raise Failed("standard input is closed; give the name of a file")
            source.write_bytes(sys.stdin.buffer.read())
            self.sources = (str(source),)
        if self.to_stdout:
            if sys.stdout is None:
                raise Failed("standard output is closed; give the name of a file")
            self.target = str(place / f"standard output{self._suffix(Path(self.sources[0]))}")
        return self

    def _suffix(self, source: Path) -> str:
        from ssl_restore.io import images, names  # noqa: PLC0415

        if len(self.sources) > 1 or source.is_dir():
            raise click.UsageError("one picture goes to standard output: name a folder")
        return names.suffix_of(self._form) if self._form else images.suffix_alike(source)

    def named(self, text: str) -> str:
        """A line as it is about the streams."""
        return text.replace(f"{self._folder.name}/", "")

    def finish(self) -> None:
        """Write the result to standard output, where it goes there."""
        path = Path(self.target)
        if self.to_stdout and path.is_file():
            sys.stdout.buffer.write(path.read_bytes())
            sys.stdout.buffer.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        from ssl_restore.errors import UserError  # noqa: PLC0415

        try:
            if isinstance(error, UserError):
                raise error.saying(self.named(error.message)) from error
            if isinstance(error, Failed):
                raise type(error)(self.named(error.message)) from error
        finally:
            self._folder.cleanup()
