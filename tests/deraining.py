"""The command `derain`, called, and what it says where it refuses."""

from __future__ import annotations

from click.testing import CliRunner

from ssl_restore.io import manifest
from ssl_restore_cli.main import main


def derain(*arguments):
    """Run the command; a traceback, which is anything but an exit, fails the test."""
    call = ["derain", *map(str, arguments), "--precision", "fp32"]
    result = CliRunner().invoke(main, call)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(*arguments):
    """The single error line of a call that failed before it restored anything."""
    result = derain(*arguments)
    assert result.exit_code in (1, 2)  # which: test_cli.py
    assert result.stderr.count("\n") == 1
    return result.stderr


def names(folder):
    """Of all files but the manifest."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != manifest.NAME)
    return sorted(str(p.relative_to(folder)) for p in files)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
