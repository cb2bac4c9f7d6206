"""Killed runs, locks, full disks, missing rights, short memory: nothing lost, and one line each."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from calls import fit, ssl_restore
from conftest import save_pictures
from deraining import derain, names, refused, truncate
from filmed import film
from tiny import random_restorer, save_restorer, write_photo

from ssl_restore.errors import UserError
from ssl_restore.inference.folders import restore_all
from ssl_restore.io import files, folders, locks
from ssl_restore.io.files import replacing
from ssl_restore.training import session

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and rights of POSIX")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


# --- temporary files ----------------------------------------------------------------------------


def test_the_next_run_removes_what_a_killed_one_left_and_nothing_else(tmp_path):
    stray = tmp_path / f"{files.PREFIX}a1b2c3d4.png"
    others = [tmp_path / name for name in (".ssl-restore-notes", "a1b2c3d4.png", ".ssl-restore.x")]
    for path in (stray, *others):
        path.write_bytes(b"cut")
    (tmp_path / f"{files.PREFIX}a1b2c3d5.png").symlink_to(others[0])
    with replacing(tmp_path / "a.png") as living:  # by this process, which is alive
        living.write_bytes(b"half")
        files.remove_strays(tmp_path)
        assert living.exists()
        assert not stray.exists()
    assert all(path.read_bytes() == b"cut" for path in others)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_temporary_file_that_is_about_to_be_removed_as_a_stray_one_is_not_used(
    tmp_path, monkeypatch
):
    mkstemp, about_to = files.tempfile.mkstemp, []

    def raced(**options):
        handle, name = mkstemp(**options)
        if not about_to:
            other = os.open(name, os.O_RDONLY)
            assert locks.try_lock(other)
            about_to.append((other, name))
        return handle, name

    monkeypatch.setattr(files.tempfile, "mkstemp", raced)
    with replacing(tmp_path / "a.png") as temporary:
        ((other, name),) = about_to
        assert str(temporary) != name
        os.unlink(name)
        os.close(other)
        temporary.write_bytes(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# --- two runs -----------------------------------------------------------------------------------


def hold(folder, held):
    with locks.only_run(folder):
        held.touch()
        signal.pause()


@pytest.mark.parametrize("command", ["derain", "fit", "synth-rain"])
def test_a_second_run_is_refused_until_the_first_has_ended_even_by_a_kill(
    tiny, tmp_path, processes, command
):
    for kind in ("rainy", "clean"):
        save_pictures(tmp_path / kind, 2)
    out = tmp_path / "out"
    out.mkdir()

    def run():
        if command == "fit":
            return fit(tmp_path, out)
        options = ["--weights", tiny] if command == "derain" else []
        return ssl_restore(command, tmp_path / "clean", out, *options)

    process = processes(hold, out, tmp_path / "held")
    try:
        while not (tmp_path / "held").exists():
            assert process.is_alive()
            time.sleep(0.01)
        code, line = run()
        assert code == 1
        assert f"{out}: another run is writing into it" in line.splitlines()[-1]
        assert names(out) == [locks.NAME]
    finally:
        process.kill()
        process.join()
    assert run()[0] == 0
    assert locks.NAME not in names(out)


def test_a_second_run_of_the_usual_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with locks.only_run(Path("runs/dehaze_unpaired"), parents=True):
        code, line = ssl_restore("fit", "--task", "dehaze", "--steps", 1)
    assert code == 1
    assert "runs/dehaze_unpaired: another run is writing into it" in line


def test_a_lock_that_is_a_link_is_refused_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "letter").write_text("dear")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / locks.NAME).symlink_to(tmp_path / "letter")
    with pytest.raises(UserError, match="cannot be written"), locks.only_run(tmp_path / "out"):
        pass
    assert (tmp_path / "letter").read_text() == "dear"


def test_a_folder_that_a_refused_run_made_is_removed_again(tmp_path):
    with locks.only_run(tmp_path / "a" / "b", parents=True):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []


# --- full disks ---------------------------------------------------------------------------------


@pytest.fixture
def full(monkeypatch):
    """A disk that takes `full.whole` files more."""

    class Disk:
        whole = 10**9

    def fsync(handle):
        Disk.whole -= 1
        if Disk.whole < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    return Disk


def test_a_full_disk_ends_a_folder_run_at_once_in_one_line(tiny, tmp_path, full):
    save_pictures(tmp_path / "in", 5)
    full.whole = 5  # a picture, its line and that of the settings; a line, and no second picture
    result = derain(tmp_path / "in", tmp_path / "out", "--weights", tiny)
    assert result.exit_code == 1
    assert result.stderr.count("No space left") == 1
    assert "make room" in result.stderr
    assert set(names(tmp_path / "out")) < {f"{n}.png" for n in range(5)}
    full.whole = 10**9
    call = (tmp_path / "in", tmp_path / "out", "--weights", tiny, "--skip-existing")
    assert derain(*call).exit_code == 0
    assert len(names(tmp_path / "out")) == 5


def test_a_full_disk_ends_a_folder_of_clips_at_once(tiny, tmp_path, full):
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        film(tmp_path / "in" / name, times=(0, 40), sound=None)
    full.whole = 0
    result = derain(tmp_path / "in", tmp_path / "out", "--weights", tiny)
    assert result.exit_code == 1
    assert result.stderr.count("No space left") == 1
    assert "a.mp4: could not be saved" in result.stderr
    assert "make room" in result.stderr


@pytest.mark.parametrize("command", ["fit", "synth-rain"])
def test_a_full_disk_ends_other_runs_in_one_line(tmp_path, full, command):
    for kind in ("rainy", "clean"):
        save_pictures(tmp_path / kind, 2)
    full.whole = 1  # run.json, or meta.jsonl
    out = tmp_path / "out"
    code, text = (
        fit(tmp_path, out) if command == "fit" else ssl_restore(command, tmp_path / "clean", out)
    )
    assert code == 1
    assert text.count("No space left") == 1
    assert not [name for name in names(out) if files.PREFIX in name]


def test_too_little_room_is_said_before_any_work(tiny, tmp_path, monkeypatch):
    for kind in ("rainy", "clean"):
        save_pictures(tmp_path / kind, 2)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=400))
    monkeypatch.setattr(session, "train", lambda *a, **k: pytest.fail("it trains"))
    line = refused(tmp_path / "clean", tmp_path / "out", "--weights", tiny)
    assert "is free; make room" in line
    for code, text in (
        fit(tmp_path, tmp_path / "run"),
        ssl_restore("synth-rain", tmp_path / "clean", tmp_path / "set"),
    ):
        assert (code, "is free; make room" in text) == (1, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clean", "rainy", "set"]
    size = sum(path.stat().st_size for path in (tmp_path / "clean").iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=size // 2))
    result = derain(tmp_path / "clean", tmp_path / "out", "--weights", tiny)
    assert result.exit_code == 0
    assert "it may not be enough" in result.stderr


# --- missing rights -----------------------------------------------------------------------------


@pytest.fixture
def without_rights():
    """The rights of a user who is not root: root keeps its name, and files say what it may do."""
    if os.geteuid() == 0 and not sys.platform.startswith("linux"):
        pytest.skip("root may do everything here")
    if os.geteuid() != 0:
        yield
        return
    before = capabilities()
    override = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    capabilities([before[0] & ~override, *before[1:]])
    yield
    capabilities(before)


def capabilities(wanted=None):
    """Effective, permitted and inheritable ones of this thread, 32 bits twice; set if `wanted`."""
    head, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*wanted or ())
    call = ctypes.CDLL(None).capset if wanted else ctypes.CDLL(None).capget
    assert call(head, data) == 0
    return [*data]


def test_a_folder_without_rights_is_refused_before_any_work_in_one_line(
    tmp_path, monkeypatch, without_rights
):
    save_pictures(tmp_path / "in", 2, size=(64, 64))
    (tmp_path / "ro").mkdir(mode=0o555)
    monkeypatch.chdir(tmp_path / "ro")
    for command in (
        ["fit", "--images", "../in", "--steps", "1"], ["synth-rain", "../in", "./set"],
        ["derain", "../in", "./out"], ["derain", "../in/0.png", "out.png"],
        ["calibrate", "../in", "--noise", "-o", "noise.json"],
        ["evaluate", "../in", "../in", "--csv", "scores.csv"],
    ):  # fmt: skip
        code, text = ssl_restore(*command)
        assert code == 1, command
        assert text.count("\n") == 1, text
        assert "ermission" in text, text
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").chmod(0)
    for command in (["derain", "in/0.png", "o.png"], ["derain", "in", "out"]):
        code, text = ssl_restore(*command)
        assert (code, text.count("\n")) == (1, 1), text
        assert "Permission denied" in text
    (tmp_path / "in").chmod(0o755)


@pytest.mark.parametrize("device", ["mps", "xpu", "hip", "vulkan", "meta", "none"])
def test_a_device_that_is_not_there_is_one_line(tmp_path, device):
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    line = refused(write_photo(tmp_path / "a.png"), tmp_path / "b.png", "--device", device)
    assert device in line
    assert "use" in line


# --- corrupt, vanished and replaced pictures ----------------------------------------------------


def test_all_but_the_corrupt_ones_are_done_and_each_of_these_is_named(tiny, tmp_path):
    save_pictures(tmp_path / "in", 100, size=(4, 6))
    broken = ["13.png", "58.png", "99.png"]
    for name in broken:
        truncate(tmp_path / "in" / name)
    result = derain(tmp_path / "in", tmp_path / "out", "--weights", tiny)
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("skipped: ")]
    assert sorted(Path(line.split(": ")[1]).name for line in lines) == broken
    assert len(names(tmp_path / "out")) == 97


def test_inputs_that_vanish_or_change_during_a_run_are_named_or_made_anew(tiny, tmp_path):
    folder = save_pictures(tmp_path / "in", 4)
    plan = folders.plan(folder, tmp_path / "out", resume=folders.ResumeFolder(dict))
    (folder / "1.png").unlink()
    (folder / "2.png").unlink()
    (folder / "2.png").mkdir()
    write_photo(folder / "3.png", seed=5)
    skipped = restore_all(plan, random_restorer())
    assert [line.split(": ")[0] for line in skipped] == [f"{folder}/{n}.png" for n in (1, 2)]
    done = []
    (folder / "2.png").rmdir()
    again = folders.ResumeFolder(dict, skip=True, on_done=lambda job: done.append(job.source.name))
    left = folders.plan(folder, tmp_path / "out", resume=again)
    assert [job.source.name for job in left] == ["3.png"]  # as it is not what was there first
    assert done == ["0.png"]


def test_the_campaign_of_faults_finds_nothing(script, tmp_path, monkeypatch):
    faults = script("faults")
    monkeypatch.setattr(signal, "setitimer", lambda *a: None)  # a busy machine is none
    faults.make_inputs(tmp_path)
    for kind, kills in (("derain", 1), ("clip", 1)):
        found = faults.killed(kind, tmp_path, kills, 0)
        assert found.pop("kills") == kills
        assert set(found.values()) == {0}
    kinds = ("picture", "checkpoint", "rain.json", "noise.json", "manifest", "damaged clip")
    for kind in kinds:
        count = 6 if kind == "damaged clip" else 25
        counts, examples = faults.mutated(kind, tmp_path, count, 0)
        assert set(counts) <= {"read", "refused"}, examples
        assert sum(counts.values()) == count


def test_saving_after_every_step_ends_with_the_campaign(script, tmp_path):
    usual = session.SAVE_EVERY_S
    assert script("faults").quietly(["fit", "--images", str(tmp_path / "none")]) != 0
    assert session.SAVE_EVERY_S == usual > 0


def killed_by_another(arguments):
    if arguments[2].endswith("-killed"):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_that_another_kills_has_failed(script, tmp_path, processes, monkeypatch):
    faults = script("faults")
    for folder in ("run", "derain-whole"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(faults, "end_with", killed_by_another)
    monkeypatch.setattr(faults.random.Random, "uniform", lambda self, low, high: None)  # waits
    found = faults.killed("derain", tmp_path, 2, 0)
    assert (found["kills"], found["failed"]) == (2, 3)


def test_each_file_that_takes_much_memory_is_counted(script, tmp_path, monkeypatch):
    faults = script("faults")
    monkeypatch.setattr(faults, "MEMORY_BYTES", 50_000_000)
    monkeypatch.setattr(signal, "setitimer", lambda *a: None)
    (tmp_path / "a.bin").write_bytes(b"some bytes to change")
    taken = "a.bin", lambda path: np.ones(80_000_000, np.uint8).sum()
    monkeypatch.setitem(faults.READERS, "a.bin", taken)
    counts, _ = faults.mutated("a.bin", tmp_path, 3, 0)
    assert counts == {"large": 3}
