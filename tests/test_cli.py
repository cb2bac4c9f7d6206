"""The command line: help without torch, exit codes, and errors of one line."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from ssl_restore_cli.errors import as_options
from ssl_restore_cli.main import main
from ssl_restore_cli.synth_rain import Span

COMMANDS = main.list_commands(None)

HELP = """
import sys
from click.testing import CliRunner
from ssl_restore_cli.main import main
for arguments in [["--help"], *([name, "--help"] for name in main.list_commands(None))]:
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout[:6]) == (0, "Usage:"), arguments
    loaded = {"torch", "numpy", "cv2", "cli"} & set(sys.modules)
    assert not loaded, (arguments, loaded)
"""


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_help_of_every_command_imports_neither_torch_nor_a_second_copy_of_the_commands():
    result = subprocess.run(
        [sys.executable, "-c", HELP], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "ssl_restore", "--help"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0
    assert "Usage: ssl-restore" in result.stdout


def test_the_commands_of_the_first_version_are_there():
    assert {"derain", "evaluate", "fit", "recipes", "synth-rain"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_an_example(name):
    result = run(name, "-h")
    assert result.exit_code == 0
    assert f"ssl-restore {name} " in result.stdout.split("Example")[1]


@pytest.mark.parametrize(
    ("wrong", "right"), [("deraim", "derain"), ("synth_rain", "synth-rain"), ("eval", "evaluate")]
)
def test_an_unknown_command_names_the_nearest(wrong, right):
    result = run(wrong)
    assert result.exit_code == 2
    assert f"did you mean '{right}'?" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["derain"],
        ["derain", "a.png"],
        ["derain", "a.png", "b.png", "--tile", "many"],
        ["derain", "a.png", "b.png", "--precision", "half"],
        ["derain", "a.png", "b.png", "--colour"],
        ["evaluate", "a", "b", "--limit", "0"],
        ["evaluate", "a", "b", "--restored", "c", "--weights", "d"],
        ["synth-rain", "a", "b", "--workers", "0"],
    ],
)
def test_a_wrong_call_exits_with_2(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr


def numbers():
    """(command, option) of every number that need not be whole."""
    return [
        (name, option.opts[0])
        for name in COMMANDS
        for option in main.get_command(None, name).params
        if isinstance(option.type, (click.types.FloatParamType, Span))
    ]


@pytest.mark.parametrize(("name", "option"), numbers())
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
def test_no_number_is_nan_or_infinite(name, option, value):
    result = run(name, option, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.stderr


@pytest.mark.parametrize("name", ["derain", "evaluate", "synth-rain"])
def test_a_failure_is_one_line_on_stderr_and_exits_with_1(name, tmp_path):
    result = run(name, tmp_path / "missing", tmp_path / "other")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert "missing" in result.stderr


def test_the_version_is_printed():
    assert run("--version").stdout.split()[-1][0].isdigit()


def test_a_missing_right_is_one_line(tmp_path, monkeypatch):
    """Whatever a command was about to do; the tests may run as root, who has all rights."""

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied", str(tmp_path / "secret"))

    for where, arguments in (
        ("ssl_restore.io.folders.plan", ["derain", str(tmp_path), str(tmp_path / "out")]),
        ("ssl_restore.synthesis.dataset.plan", ["synth-rain", str(tmp_path), str(tmp_path / "o")]),
    ):
        monkeypatch.setattr(where, refused)
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert "secret: Permission denied" in result.stderr


def test_parameters_of_library_errors_become_options_and_settings():
    message = "try `tile`, `max_pixels=9`, `patch=32`, `start` or `none_such`"
    with main.make_context("ssl-restore", ["fit"]) as context:
        context.invoked_subcommand = "fit"
        assert as_options("try `patch=32` and `seed=1`") == "try --set patch=32 and --seed 1"
        assert as_options("is 0", "batch") == "--set batch: is 0"
        assert as_options("is 0", "steps") == "--steps: is 0"
    with main.make_context("ssl-restore", ["derain"]) as context:
        context.invoked_subcommand = "derain"
        assert as_options(message) == (
            "try --tile, --max-pixels 9, `patch=32`, `start` or `none_such`"
        )
