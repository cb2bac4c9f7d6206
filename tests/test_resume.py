"""A run that is interrupted anywhere goes on to the bits of one that was not."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import save_pictures

from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.io.files import check_writable
from ssl_restore.training import data, session
from ssl_restore.training.fit import Row
from ssl_restore.training.run import Run, RunPlan, resumed
from ssl_restore_cli.main import main

STEPS = 20  # the clock below makes the loop save after 7 and 14 of them
TINY = {"width": 4, "batch": 2, "patch": 16}
LOGGED = [*range(1, 11), 20]


def plan_for(home, **changed):
    build = discover.builder("recipes", "derain_unpaired")
    plan = {
        "recipe": "derain_unpaired", "settings": {**discover.settings(build), **TINY}, "seed": 3,
        "steps": STEPS, "seconds": None, "images": str(home / "rainy"),
        "clean": str(home / "clean"), "start": None,
    }  # fmt: skip
    return RunPlan(**{**plan, **changed})


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def train(home, name, *, resume=False, kill=None, steps=None):
    """Train in this process, on a clock that advances ten seconds a look; die where `kill` says."""
    torch.set_num_threads(1)
    ticks = iter(range(0, 10**6, 10))
    session.time = SimpleNamespace(monotonic=lambda: next(ticks))
    folder = home / name
    plan = resumed(Run(folder).plan(), steps=steps) if resume else plan_for(home)
    if kill is not None and kill[0] != "row":
        arm(*kill)
    job = session.prepare(plan, folder, torch.device("cpu"), resume=resume)
    for row in session.train(job, resume=resume):
        if kill == ("row", row.step):
            die()


def arm(moment, name, count):
    """Die before or after the `count`-th renaming onto the file `name`, or appending to it."""
    seen = []

    def hooked(function, path_of):
        def call(*arguments):
            if path_of(*arguments).name == name:
                seen.append(1)
            hit = path_of(*arguments).name == name and len(seen) == count
            if hit and moment == "before":
                die()
            result = function(*arguments)
            if hit:
                die()
            return result

        return call

    Path.replace = hooked(Path.replace, lambda _, target: Path(target))
    Run.append = hooked(Run.append, lambda run, _: run.log)


def outcome(folder):
    """All that a run left behind, without times."""
    state = torch.load(folder / "state.pt", weights_only=True)
    state.pop("seconds")
    for player in state["players"]:
        for group in player["optimizer"]["param_groups"]:
            group.pop("lr")  # that of the last step, or the first again if there was no more
    with (folder / "log.csv").open(newline="") as file:
        log = [[row[0], *row[2:]] for row in csv.reader(file)]
    return {"state": state, "weights": (folder / "restorer.safetensors").read_bytes(), "log": log}


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    save_pictures(folder / "rainy", 3, seed=1)
    save_pictures(folder / "clean", 3, seed=2)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(home, processes):
    process = processes(train, home, "whole")
    process.join(120)
    assert process.exitcode == 0
    return outcome(home / "whole")


def run_to_end(processes, *arguments, **keywords):
    process = processes(_call, arguments, keywords)
    process.join(120)
    return process.exitcode


def _call(arguments, keywords):
    train(*arguments, **keywords)


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param([("after", "run.json", 1)], id="before the first step"),
        pytest.param([("row", 3)], id="before the first save"),
        pytest.param([("after", "log.csv", 2)], id="log written, state not"),
        pytest.param([("before", "state.pt", 1)], id="first state written, not renamed"),
        pytest.param([("before", "state.pt", 2)], id="state written, not renamed"),
        pytest.param([("before", "restorer.safetensors", 2)], id="state renamed, weights not"),
        pytest.param([("after", "restorer.safetensors", 2)], id="right after a save"),
        pytest.param([("row", STEPS)], id="after the last step, before its save"),
        pytest.param([("before", "restorer.safetensors", 3)], id="in the last save"),
        pytest.param([("row", 9), ("row", 11), ("before", "state.pt", 2)], id="three times"),
    ],
)
def test_killed_run_goes_on_to_the_same_bits(home, uninterrupted, processes, kills, request):
    name = request.node.callspec.id
    for number, kill in enumerate(kills):
        killed = run_to_end(processes, home, name, resume=number > 0, kill=kill)
        assert killed == -signal.SIGKILL, "the hook did not fire"
    assert run_to_end(processes, home, name, resume=True) == 0
    assert same(outcome(home / name), uninterrupted)


def test_log_holds_each_tenth_step_once(uninterrupted):
    heading, *rows = uninterrupted["log"]
    assert heading == ["step", "lr", "restore", "veil"]
    assert [int(row[0]) for row in rows] == LOGGED


def test_resuming_a_finished_run_changes_nothing(home, uninterrupted, processes):
    assert run_to_end(processes, home, "whole", resume=True) == 0
    assert same(outcome(home / "whole"), uninterrupted)


def interrupted_command(arguments, stderr, step):
    """The command line in this process, stderr in a file; Ctrl-C in the middle of a step."""
    torch.set_num_threads(1)
    os.dup2(os.open(stderr, os.O_CREAT | os.O_WRONLY), 2)
    drawn, patches = [], data.patches

    def counted(*args, **keywords):
        drawn.append(1)
        if len(drawn) == 2 * step:  # two kinds of pictures a step, each drawn a step ahead
            os.kill(os.getpid(), signal.SIGINT)
        return patches(*args, **keywords)

    data.patches = counted
    main(arguments, prog_name="ssl-restore")


def test_interrupt_saves_and_says_how_to_go_on(home, uninterrupted, processes):
    folder, stderr = home / "ctrl-c", home / "stderr.txt"
    settings = [word for k, v in TINY.items() for word in ("--set", f"{k}={v}")]
    arguments = ["fit", "--images", f"{home / 'rainy'}", "--clean", f"{home / 'clean'}", "--seed",
                 "3", "--steps", f"{STEPS}", "--from-scratch", "-o", f"{folder}",
                 *settings]  # fmt: skip
    process = processes(interrupted_command, arguments, str(stderr), 12)
    process.join(120)
    assert process.exitcode == 130
    said = stderr.read_text()
    assert f"go on with: ssl-restore fit --resume {folder}" in said
    assert "Traceback" not in said
    step = torch.load(folder / "state.pt", weights_only=True)["step"]
    assert step in (11, 12)  # finished, not cut
    assert run_to_end(processes, home, "ctrl-c", resume=True) == 0
    assert same(outcome(folder), uninterrupted)


def fill_the_disk(home, name):
    """Every file is limited to 8 kB once the first state is saved: writing fails for real."""
    torch.set_num_threads(1)
    session.SAVE_EVERY_S = -1.0
    job = session.prepare(plan_for(home), home / name, torch.device("cpu"))
    rows = session.train(job)
    for _ in range(2):
        next(rows)
    before = [path.read_bytes() for path in (job.run.state, job.run.weights)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    with pytest.raises(UserError, match=r"state\.pt: could not be saved .*kept as it was"):
        next(rows)
    assert [path.read_bytes() for path in (job.run.state, job.run.weights)] == before
    assert not list(job.run.folder.glob(".*")), "a half-written file was left"


def test_full_disk_leaves_the_old_checkpoint_whole(home, processes):
    process = processes(fill_the_disk, home, "full")
    process.join(120)
    assert process.exitcode == 0
    fresh = session.prepare(plan_for(home), home / "other", torch.device("cpu"))
    assert Run(home / "full").load(fresh.recipe)[0] == 2


def test_resuming_with_other_pictures_is_refused(tmp_path):
    save_pictures(tmp_path / "rainy", 2, seed=1)
    clean = save_pictures(tmp_path / "clean", 2, seed=2)
    session.prepare(plan_for(tmp_path), tmp_path / "run", torch.device("cpu"))
    (clean / "1.png").write_bytes((clean / "0.png").read_bytes())
    plan = Run(tmp_path / "run").plan()
    with pytest.raises(UserError, match="pictures are not those"):
        session.prepare(plan, tmp_path / "run", torch.device("cpu"), resume=True)


def test_new_run_into_the_folder_of_another_is_refused(tmp_path):
    save_pictures(tmp_path / "rainy", 2, seed=1)
    save_pictures(tmp_path / "clean", 2, seed=2)
    session.prepare(plan_for(tmp_path), tmp_path / "run", torch.device("cpu"))
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(UserError, match=r"output: holds a run already.*`resume=.*run`"):
        session.prepare(plan_for(tmp_path, seed=4), tmp_path / "run", torch.device("cpu"))
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_damaged_state_is_refused_with_its_name(tmp_path):
    save_pictures(tmp_path / "rainy", 2, seed=1)
    save_pictures(tmp_path / "clean", 2, seed=2)
    job = session.prepare(plan_for(tmp_path), tmp_path / "run", torch.device("cpu"))
    job.run.state.write_bytes(b"no state at all")
    with pytest.raises(UserError, match=r"state\.pt: damaged"):
        next(session.train(job, resume=True))


def test_resuming_where_no_run_is_is_refused(tmp_path):
    with pytest.raises(UserError, match="no run to resume"):
        Run(tmp_path).plan()


# Runs of other versions, longer ones, and what cannot change


def test_run_of_an_older_version_is_refused_in_one_line_with_what_to_do(tmp_path):
    fields = {"recipe": "derain_unpaired", "version": "0.1.0", "steps": 4}
    (tmp_path / "run.json").write_text(json.dumps(fields))
    message = rf"was started by ssl-restore 0\.1\.0.*`start={tmp_path}/restorer\.safetensors`"
    with pytest.raises(UserError, match=message) as raised:
        Run(tmp_path).plan()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"recipe": 1}', '{"format": 2, "other": 3}'])
def test_damaged_plan_is_refused_with_its_name(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json: damaged"):
        Run(tmp_path).plan()


def test_run_is_made_longer_and_all_else_stays(home):
    plan = plan_for(home)
    assert resumed(plan) == plan
    assert resumed(plan, steps=STEPS) == plan
    assert resumed(plan, steps=STEPS + 5) == replace(plan, steps=STEPS + 5)
    timed = replace(plan, steps=None, seconds=60.0)
    assert resumed(timed, seconds=90).seconds == 90
    same_again = {"images": plan.images, "recipe": plan.recipe, "seed": 3, "clean": None}
    assert resumed(plan, **same_again) == plan
    assert resumed(plan, settings={"width": 4}) == plan


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"steps": 10}, "steps: 10 is less than the 20"),
        ({"seconds": 5.0}, "seconds: this run counts its steps; give `steps`"),
        ({"images": "/elsewhere"}, "images: /elsewhere is not what this run was started with"),
        ({"clean": "/elsewhere"}, "clean: /elsewhere"),
        ({"recipe": "rrcl"}, r"recipe: rrcl is not .* \(derain_unpaired\)"),
        ({"seed": 0}, "seed: 0 is not"),
        ({"start": "/x.safetensors"}, "start: "),
        ({"settings": {"width": 8}}, r"width: 8 is not .* \(4\)"),
        ({"settings": {"breadth": 8}}, "breadth: 8 is not"),
    ],
)
def test_what_cannot_change_is_refused_by_its_name(home, asked, message):
    with pytest.raises(UserError, match=message):
        resumed(plan_for(home), **asked)


def test_longer_run_goes_on_where_it_was_towards_the_new_end(home, processes):
    name = "longer"
    assert run_to_end(processes, home, name) == 0
    assert run_to_end(processes, home, name, resume=True, steps=STEPS + 20) == 0
    with (home / name / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [*LOGGED, 30, 40]
    rates = [float(row["lr"]) for row in rows]
    assert rates[-2] > rates[-3]  # 29 of 40 is less of the run than 19 of 20
    assert rates[-1] < rates[-2]
    assert Run(home / name).plan().steps == STEPS + 20


def test_number_of_parts_is_kept_for_the_rest_of_the_run(home):
    job = session.prepare(plan_for(home), home / "parts", torch.device("cpu"))
    assert job.plan.parts == 1  # of a batch of two
    larger = plan_for(home, settings={**plan_for(home).settings, "batch": 4})
    job = session.prepare(larger, home / "parts of four", torch.device("cpu"))
    assert Run(home / "parts of four").plan().parts == 2
    assert Run(home / "parts of four").plan() == job.plan


# The log


def row(step, scores=None, **losses):
    return Row(step, 0.0, 0.5, 1e-3, losses, scores or {})


def test_new_terms_widen_the_heading_and_no_value_changes_its_column(tmp_path):
    run = Run(tmp_path)
    run.append([row(1, restore=0.1), row(2, restore=0.2)])
    run.append([row(3, restore=0.3)])
    run.append([row(4, contrast=0.7, restore=0.4), row(5, {"rain_left": 0.9}, restore=0.5)])
    run.append([row(6, restore=0.6)])
    with run.log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "seconds", "lr", "restore", "contrast", "rain_left"]
    assert [r["restore"] for r in rows] == ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6"]
    assert [r["contrast"] for r in rows] == ["", "", "", "0.7", "", ""]
    assert [r["rain_left"] for r in rows] == ["", "", "", "", "0.9", ""]


def test_row_that_was_cut_is_dropped_when_the_log_is_widened(tmp_path):
    run = Run(tmp_path)
    run.append([row(1, restore=0.1)])
    with run.log.open("a") as file:
        file.write("2,0.5")
    run.trim_log(5)
    run.append([row(2, restore=0.2, veil=0.3)])
    lines = run.log.read_text().split()
    assert [line.split(",")[0] for line in lines] == ["step", "1", "2"]


# Where nothing can be written


def test_folder_without_permission_is_refused_before_the_pictures_are_read(home, monkeypatch):
    locked = home / "locked"
    locked.mkdir()
    monkeypatch.setattr(os, "access", lambda place, mode, **_: Path(place) != locked)
    read = []
    for folder in (locked, locked / "not" / "yet"):
        with pytest.raises(UserError, match=f"no permission to write into {locked}"):
            session.prepare(plan_for(home), folder, torch.device("cpu"), on_read=read.append)
        with pytest.raises(UserError, match="no permission"):
            session.with_calibration(
                plan_for(home), folder, torch.device("cpu"), on_read=read.append
            )
    assert read == []


def test_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match="is a file, not a folder"):
            check_writable(folder)
    check_writable(tmp_path / "not" / "yet")
