"""`--recursive`, wherever a folder is taken."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import save_pictures
from tiny import write_photo

from ssl_restore.io import search
from ssl_restore.io.names import labels
from ssl_restore.training import data, material
from ssl_restore.training.run import Run
from ssl_restore_cli.main import main

TINY = ["--steps", "1", "--set", "width=4", "--set", "batch=2", "--set", "patch=16"]


def run(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def folders(tmp_path):
    save_pictures(tmp_path / "rainy", 2, seed=1)
    save_pictures(tmp_path / "rainy" / "night", 3, seed=2)
    save_pictures(tmp_path / "clean", 2, seed=3)
    return tmp_path


def test_fit_learns_from_sub_folders_and_goes_on_with_them(folders, monkeypatch):
    counts = []
    load = data.load

    def counted(paths, **keywords):
        found = load(paths, **keywords)
        counts.append(len(found.pixels))
        return found

    monkeypatch.setattr(material.data, "load", counted)
    call = ["fit", "--images", folders / "rainy", "--clean", folders / "clean", "--from-scratch"]
    options = [*TINY, "--no-calibrate", "--recipe", "derain_unpaired"]
    result = run(*call, "-o", folders / "flat", *options)
    assert result.exit_code == 0, result.stderr
    assert "left out 1 folder (--recursive searches them)" in result.stderr
    assert sorted(counts) == [2, 2]
    counts.clear()
    assert run(*call, "-o", folders / "deep", *options, "--recursive").exit_code == 0
    assert sorted(counts) == [2, 5]
    assert Run(folders / "deep").plan().recursive
    counts.clear()
    result = run("fit", "--resume", folders / "deep", "--steps", "2")
    assert result.exit_code == 0, result.stderr
    assert sorted(counts) == [2, 5]


def test_a_run_of_before_goes_on_without_sub_folders(folders):
    call = ["fit", "--images", folders / "rainy", "--clean", folders / "clean", "--from-scratch"]
    run(*call, "-o", folders / "run", *TINY, "--no-calibrate", "--recipe", "derain_unpaired")
    file = folders / "run" / "run.json"
    plan = json.loads(file.read_text())
    del plan["recursive"]
    file.write_text(json.dumps(plan))
    assert not Run(folders / "run").plan().recursive


def test_a_data_set_of_sub_folders_has_them_too_and_goes_on(folders):
    call = ["synth-rain", folders / "rainy", folders / "rainy" / "set", "--recursive"]
    assert run(*call).exit_code == 0
    made = folders / "rainy" / "set"
    found = sorted(p.relative_to(made).as_posix() for p in (made / "rainy").rglob("*.png"))
    assert found == [f"rainy/{n}.png" for n in (0, 1)] + [f"rainy/night/{n}.png" for n in range(3)]
    lines = [json.loads(line) for line in (made / "meta.jsonl").read_text().splitlines()]
    assert {line["photo"] for line in lines} >= {"0.png", "night/0.png"}
    (made / "rainy" / "night" / "1.png").unlink()
    assert "4 pictures exist already" in run(*call).stderr


def test_a_data_set_may_lie_in_the_folder_above_its_photographs(tmp_path):
    save_pictures(tmp_path / "photos", 1)
    assert run("synth-rain", tmp_path / "photos", tmp_path).exit_code == 0
    assert (tmp_path / "rainy" / "0.png").is_file()


def test_shots_of_sub_folders_become_clips_there(folders):
    call = ["synth-rain", folders / "rainy", folders / "set", "--recursive", "--frames", "2"]
    assert run(*call, "--video").exit_code == 0
    assert (folders / "set" / "video" / "night" / "2.mp4").is_file()


def test_noise_of_sub_folders_is_measured_under_names_of_their_own(tmp_path):
    save_pictures(tmp_path / "noisy", 2, size=(64, 64))
    save_pictures(tmp_path / "noisy" / "night", 3, size=(64, 64))
    file = tmp_path / "noise.json"
    call = ["calibrate", "--noise", tmp_path / "noisy", "-o", file, "--recursive"]
    result = run(*call)
    assert result.exit_code == 0, result.stderr
    files = [row["file"] for row in json.loads(file.read_text())["pictures"]]
    assert files == ["0.png", "1.png", "night/0.png", "night/1.png", "2.png"]


def test_labels_are_names_and_folders_only_where_they_must_be(tmp_path):
    paths = [write_photo(tmp_path / name) for name in ("x/a.png", "y/a.png", "y/b.png")]
    assert labels(paths) == ["x/a.png", "y/a.png", "b.png"]
    assert labels(paths[1:]) == ["a.png", "b.png"]


def test_every_command_that_takes_a_folder_of_pictures_takes_the_option():
    for name in ("calibrate", "deblur", "dedrop", "dehaze", "denoise", "derain", "deshadow",
                 "evaluate", "fit", "synth", "synth-rain", "upscale"):  # fmt: skip
        options = {option for p in main.get_command(None, name).params for option in p.opts}
        assert "--recursive" in options, name


def test_what_cannot_be_searched_is_named_and_the_rest_is_done(folders, monkeypatch):
    rainy, scandir = folders / "rainy", os.scandir
    (rainy / "loop").symlink_to(rainy / "loop")
    (rainy / "lost.png").symlink_to(rainy / "nowhere.png")
    (rainy / "locked").mkdir()

    def refusing(place):
        if Path(place).name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refusing)
    said = []
    found = search.find(rainy, recursive=True, notify=said.append)
    assert [path.relative_to(rainy).as_posix() for path in found] == [
        "0.png", "1.png", "night/0.png", "night/1.png", "night/2.png",
    ]  # fmt: skip
    assert said == [
        f"{rainy / 'locked'}: not searched: Permission denied",
        f"{rainy}: left out 2 without a file behind the name",
    ]
