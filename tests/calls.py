"""Calls of the command line as a user makes them."""

from __future__ import annotations

from click.testing import CliRunner

from ssl_restore_cli.main import main

FIT = ["--recipe", "derain_unpaired", "--from-scratch", "--no-calibrate", "--steps", "2",
       "--set", "width=4", "--set", "batch=2", "--set", "patch=16"]  # fmt: skip


def ssl_restore(*arguments):
    """(exit code, stderr) of the command line; a traceback fails the test."""
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


def fit(home, out):
    return ssl_restore(
        "fit", "--images", home / "rainy", "--clean", home / "clean", "-o", out, *FIT
    )
