"""What the page of `ui` does, without a browser: sessions, queue, refusals, and the guard."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import threading
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

import ssl_restore as sr
from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.inference.load import load_restorer
from ssl_restore.io import images
from ssl_restore.ui import view
from ssl_restore.ui.guard import Guard
from ssl_restore.ui.jobs import Queue, State, Work
from ssl_restore.ui.restoring import Machine
from ssl_restore.ui.serve import served
from ssl_restore.ui.sessions import Sessions
from ssl_restore.ui.setting import CPU, abilities, choices
from ssl_restore_cli.main import main


@pytest.fixture
def sessions(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    opened = Sessions(root, Machine())
    yield opened
    opened.close_all()


@pytest.fixture
def dropped(sessions, pictures):
    """A session into which three pictures were dropped."""
    session = sessions.of("one")
    session.take(sorted(pictures("dropped", 3).iterdir()))
    return session


def restored(session, layer=None, **asked):
    session.restore(view.asked_setting(session, "derain", "built-in", **asked), layer)
    assert session.work.wait(60)
    return session


def files_of(session):
    return {path for path in session.folder.rglob("*") if path.is_file()}


def test_results_are_those_of_the_library(dropped):
    restored(dropped, strength=0.7, thorough=0.9, quality="best")
    assert dropped.work.state is State.DONE
    (results,) = dropped.results.values()
    assert results.setting.name == "derain, strength 0.7, thorough 0.9, best"
    for name, path in dropped.pictures.items():
        expected = sr.restore(path, "derain", strength=0.7, thorough=0.9, quality="best")
        assert np.array_equal(images.read(results.done[name]).pixels, expected.pixels)


def test_nothing_is_computed_twice(dropped, pictures):
    restored(dropped)
    times = {path: path.stat().st_mtime_ns for path in dropped.results["derain"].done.values()}
    dropped.take([pictures("more", 4) / "3.png"])
    restored(dropped)
    done = dropped.results["derain"].done.values()
    assert len(done) == 4
    assert {path: path.stat().st_mtime_ns for path in done if path in times} == times
    assert set(dropped.states.values()) == {"restored"}


def test_a_layer_is_kept_and_everything_is_packed(dropped):
    restored(dropped, "rain")
    with zipfile.ZipFile(dropped.archive) as packed:
        names = set(packed.namelist())
    assert names == {f"{folder}{n}.png" for folder in ("", "rain/") for n in range(3)}
    assert list(view.sides(dropped, "0.png")) == ["before", "derain", "derain: rain"]


def test_what_is_no_picture_is_refused_in_a_line_and_removed(sessions, tmp_path):
    session = sessions.of("one")
    given = {
        "letter.txt": b"Dear",
        "cut.jpg": b"\xff\xd8\xff\xe0",
        "no.mp4": b"no clip",
        "a.safetensors": b"",
    }
    for name, content in given.items():
        (tmp_path / name).write_bytes(content)
    session.take([tmp_path / name for name in given])
    assert len(session.notes) == len(given)
    for name, line in zip(given, session.notes, strict=True):
        assert line.startswith(f"{name}: ")
        assert str(tmp_path) not in line
        assert not (tmp_path / name).exists()
    assert session.pictures == {}
    with pytest.raises(UserError, match="drop some first"):
        restored(session)


def test_a_picture_that_cannot_be_read_leaves_the_others_whole(dropped):
    whole = dropped.pictures["1.png"].read_bytes()
    dropped.pictures["1.png"].write_bytes(whole[: len(whole) // 2])
    restored(dropped)
    assert dropped.states == {"0.png": "restored", "1.png": "failed", "2.png": "restored"}
    (line,) = (one for one in dropped.notes if "hardly any rain is seen" not in one)
    assert line.startswith("1.png: ")
    assert "2 of 3 restored, 1 failed" in view.progress(dropped)


def test_stopped_it_keeps_what_is_done_and_goes_on_from_there(dropped, monkeypatch):
    finished = dropped._finished

    def stop_after_the_first(*arguments):
        finished(*arguments)
        dropped.stop()

    monkeypatch.setattr(dropped, "_finished", stop_after_the_first)
    restored(dropped)
    assert dropped.work.state is State.STOPPED
    states = [*dropped.states.values()]
    assert states.count("restored") >= 1
    assert states.count("not restored") >= 1
    done = dropped.results["derain"].done
    assert len(done) == states.count("restored")
    for path in done.values():
        images.read(path)
    results = {path.name for path in files_of(dropped) if path.parent.parent.name == "results"}
    assert {name for name in results if not name.startswith(".")} >= {p.name for p in done.values()}
    assert not [name for name in results if "tmp" in name]
    monkeypatch.undo()
    restored(dropped)
    assert set(dropped.states.values()) == {"restored"}


def test_closing_the_page_stops_its_work_and_removes_its_files(sessions, dropped):
    running, go_on = threading.Event(), threading.Event()

    def endless(work):
        running.set()
        while True:
            work.progress(0.5)
            go_on.wait(0.01)

    dropped._begin(endless)
    assert running.wait(60)
    sessions.close("one")
    assert dropped.work.state is State.STOPPED
    assert not dropped.folder.exists()
    assert sessions.used_bytes() == 0
    with pytest.raises(UserError, match="load it again"):
        sessions.of("one")


def test_users_have_folders_that_cannot_be_guessed_and_see_their_own_pictures(sessions, dropped):
    other = sessions.of("two")
    assert other.pictures == {}
    assert other.folder.parent == dropped.folder.parent
    assert len(other.folder.name) >= 32
    assert other.folder.stat().st_mode & 0o077 == 0
    with pytest.raises(UserError, match="load it again"):
        sessions.of(None)


def test_work_is_done_in_turn_and_what_waits_can_be_withdrawn():
    queue, began, go_on, order = Queue(), threading.Event(), threading.Event(), []

    def first(work):
        began.set()
        go_on.wait(60)
        order.append("first")

    works = [Work(first), Work(lambda work: order.append("second")), Work(lambda work: None)]
    queue.put(works[0])
    assert began.wait(60)
    for work in works[1:]:
        queue.put(work)
    assert [queue.before(work) for work in works] == [0, 1, 2]
    queue.withdraw(works[2])
    assert works[2].state is State.STOPPED
    go_on.set()
    assert works[1].wait(60)
    assert order == ["first", "second"]
    queue.close()


def test_an_error_of_the_program_becomes_a_line(capsys):
    work = Work(lambda work: 1 / 0)
    work.perform()
    assert work.state is State.FAILED
    assert "ZeroDivisionError" in work.line
    assert "Traceback" in capsys.readouterr().err


def test_texts_of_files_are_escaped(dropped):
    dropped.say("<script>.png: no picture")
    assert "<script>" not in view.notes(dropped)
    dropped.work = Work(lambda work: None)
    dropped.work.state, dropped.work.line = State.FAILED, "<b>"
    assert "<b>" not in view.progress(dropped)


@pytest.mark.parametrize("task", discover.names("tasks", "task"))
def test_what_a_task_can_do_is_what_its_restorer_says(task):
    for path in choices(task).values():
        able = abilities(task, path)
        if path is None:
            assert not discover.task(task).built_in or discover.task(task).mask
            continue
        restorer = load_restorer(path, CPU, task=task)
        assert able.strength == (restorer.scale == 1)
        assert able.thorough == restorer.thorough
        assert set(able.layers) == set(restorer.layer_names) - {"clean"}
        assert not able.mask


def test_a_task_that_needs_a_mask_asks_for_it(dropped):
    with pytest.raises(UserError, match="needs a mask"):
        view.asked_setting(dropped, "deshadow", "relight")
    with pytest.raises(UserError, match="no restorer for derain"):
        view.asked_setting(dropped, "derain", "relight")


def test_a_solver_is_given_the_settings_of_its_task(sessions, tmp_path, monkeypatch):
    steps_of, session = [], sessions.of("one")
    for name in ("wet.png", "drops.png"):
        dots = 255 * np.eye(20, 30, dtype=np.uint8)[..., None]
        images.write(tmp_path / name, images.Picture(dots))
        session.take([tmp_path / name])

    def solve(image, *, mask, generator, steps=7):
        steps_of.append(steps)
        return {"clean": image}

    monkeypatch.setattr(discover, "solver", lambda name: solve)
    built_in, choice = choices("dedrop")
    assert built_in == "built-in"
    session.restore(view.asked_setting(session, "dedrop", choice, mask="drops.png"), None)
    assert session.work.wait(60)
    assert session.work.state is State.DONE, session.work.line
    assert steps_of == [discover.task("dedrop").solver_settings["steps"]]


def test_a_restorer_is_fitted_shown_and_used(sessions, pictures):
    session = sessions.of("one")
    session.take(sorted(pictures("noisy", 2, size=(100, 112)).iterdir()))
    session.fit("denoise", None, 0.01)
    assert session.work.wait(120)
    assert session.work.state is State.DONE, session.work.line
    assert images.read(session.sheet).pixels.ndim == 3
    (name,) = session.fitted
    session.restore(view.asked_setting(session, "denoise", name), None)
    assert session.work.wait(60)
    assert set(session.states.values()) == {"restored"}
    assert list(session.results) == [f"denoise, {name}"]


def test_both_sides_of_an_enlarged_picture_are_shown_in_one_size(dropped):
    dropped.restore(view.asked_setting(dropped, "upscale", "built-in, 2 times"), None)
    assert dropped.work.wait(60)
    left, right = view.pair(dropped)
    assert images.read(left).pixels.shape == images.read(right).pixels.shape == (48, 64, 3)


def asked(sessions, path="/", method="GET", most_bytes=1000, **headers):
    """Status that the guard gives, and the headers; 200 where it lets the request through."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    named = {"host": "127.0.0.1:7860", **headers}
    scope = {
        "type": "http", "path": path, "method": method,
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in named.items()],
    }  # fmt: skip
    asyncio.run(Guard(app, sessions, most_bytes)(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"])


def test_the_guard_answers_this_machine_only_and_forbids_the_browser_all_else(sessions):
    status, headers = asked(sessions)
    assert status == 200
    assert b"default-src 'self'" in headers[b"content-security-policy"]
    assert asked(sessions, host="elsewhere.example")[0] == 403
    for path in ("/gradio_api/file=http://elsewhere.example/a", "/gradio_api/proxy=https://a/b"):
        assert asked(sessions, path)[0] == 404


def test_uploads_are_bounded_together_with_what_is_there(sessions, dropped):
    used = sessions.used_bytes()
    upload = {"path": "/gradio_api/upload", "method": "POST", "most_bytes": used + 100}
    assert asked(sessions, **upload, content_length="100")[0] == 200
    assert asked(sessions, **upload, content_length="101")[0] == 413
    assert asked(sessions, **upload)[0] == 411


def test_a_port_in_use_is_one_line():
    pytest.importorskip("gradio", reason="needs the extra `ui`")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port={port}` cannot be used"), served(port=port):
            pass


def test_without_the_extra_the_command_says_how_to_install_it(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "gradio" else found(name)
    )
    result = CliRunner().invoke(main, ["ui"])
    assert result.exit_code == 1
    assert result.output == "Error: the page needs gradio: pip install 'ssl-restore[ui]'\n"
