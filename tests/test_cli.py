"""The command line: help without torch, exit codes, and errors of one line."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from tiny import write_photo

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


WRONG_CALLS = [
    "derain in/a.png b.png --tile 1",
    "derain in/a.png b.png --device tpu",
    "derain in/a.png b.png --weights in/a.png --scale 17",
    "derain in/a.png out/ --format xyz",
    "derain in/a.png b.tif --format png",
    "derain in/a.png b.xyz",
    "derain in/a.png b.mp4",
    "derain in/a.png in b.png",
    "derain in b.mp4 --codec h266",
    "derain in b.mkv --codec ffv1 --crf 20",
    "derain in/a.png - --format xyz",
    "dehaze in/a.png b.png --method none_such",
    "dehaze in/a.png b.png --method dark_channel --weights in/a.png",
    "denoise in/a.png b.png --zero-shot --method none_such",
    "evaluate in in --task none_such",
    "evaluate in in --pair same",
    "evaluate in in --csv a.txt",
    "fit",
    "fit --images in --set none_such=1",
    "fit --images in --set lr=much",
    "fit --images in --recipe none_such",
    "fit --images in --task upscale --recipe rrcl",
    "fit --images in --recipe aecr",
    "synth none-such in out",
    "synth haze in out --set none_such=1",
    "synth haze,noise in out --set sigma=1",
    "synth haze in out --set visibility_m=2,1",
    "synth-rain in out --preset none_such",
    "synth-rain in out --preset heavy --like rain.json",
    "synth-rain in out --rate 0",
    "recipes none_such",
    "export --task derain -o a.txt",
    "export --task none_such -o a.onnx",
    "report in -o a.txt",
    "separate in/a.png out --sheet a.xyz",
    "adapt in out --task upscale",
    "adapt in out --method none_such",
    "adapt in out --set lr=much",
]
FAILURES = [
    "derain missing.png b.png",
    "derain in/a.png in/a.png",
    "derain in/a.png in/b.png",
    "derain in/a.png b.png --weights missing.safetensors",
    "derain in/a.png b.png --weights in/a.png",
    "derain in/a.png b.png --cluster nobody:1",
    "derain broken.png b.png",
    "deshadow in/a.png b.png --mask missing.png",
    "denoise in/a.png b.png --calibration missing.json",
    "evaluate in missing",
    "fit --images missing",
    "fit --resume missing",
    "synth haze missing out",
    "synth-rain in out --like missing.json",
    "synth-rain in out --rain-layers missing",
    "calibrate missing -o a.json",
    "rain-layers missing out",
    "report missing -o a.html",
    "separate missing.png out",
    "adapt missing out",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    for number, name in enumerate("ab"):
        write_photo(folder / "in" / f"{name}.png", 64, 64, seed=number)
    (folder / "broken.png").write_bytes((folder / "in" / "a.png").read_bytes()[:200])
    return folder


@pytest.mark.parametrize(
    ("line", "code"), [(one, 2) for one in WRONG_CALLS] + [(one, 1) for one in FAILURES]
)
def test_a_wrong_call_exits_with_2_and_a_failure_with_1(place, monkeypatch, line, code):
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    result = run(*line.split())
    assert isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    assert "Error: " in result.stderr.splitlines()[-1]
    assert sorted(path for path in place.rglob("*") if path.name[0] != ".") == before


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
