"""Work in a folder goes on: what is done by the same settings and weights stays, nothing else."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal

import pytest
from deraining import derain, names, refused
from tiny import save_restorer, write_photo

from ssl_restore.io import files, images, manifest
from ssl_restore.io.manifest import Manifest, State, identity
from ssl_restore_cli.main import main


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        write_photo(tmp_path / "in" / f"{number}.png", seed=number)
    return tmp_path / "in"


def contents(path):
    return {p.name: p.read_bytes() for p in path.iterdir() if p.name != manifest.NAME}


def times(path):
    return {p.name: p.stat().st_mtime_ns for p in path.iterdir() if p.name != manifest.NAME}


def test_what_is_done_is_left_as_it_is_and_the_rest_is_made(tiny, folder, tmp_path):
    out = tmp_path / "out"
    assert derain(folder, out, "--weights", tiny).exit_code == 0
    whole, before = contents(out), times(out)
    (out / "1.png").unlink()
    result = derain(folder, out, "--weights", tiny, "--skip-existing")
    assert result.exit_code == 0
    assert "3 exist already" in result.stderr
    assert "1 restored" in result.stderr
    assert contents(out) == whole
    assert {n for n, t in times(out).items() if before[n] != t} == {"1.png"}


def test_a_folder_that_is_done_says_so_and_prints_where_it_is(tiny, folder, tmp_path):
    derain(folder, tmp_path / "out", "--weights", tiny)
    result = derain(folder, tmp_path / "out", "--weights", tiny, "--skip-existing")
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 'out'}\n"
    assert "restored" not in result.stderr


@pytest.mark.parametrize(
    "change", ["strength", "weights", "source", "quality", "jpeg quality", "version"]
)
def test_results_of_anything_else_are_made_anew(tiny, folder, tmp_path, monkeypatch, change):
    derain(folder, tmp_path / "out", "--weights", tiny)
    weights, arguments, number = tiny, [], 4
    if change == "weights":  # others under the same name
        weights = save_restorer(tmp_path / "restorer.safetensors", seed=1)
    elif change == "source":
        write_photo(folder / "2.png", seed=9)
        number = 1
    elif change == "version":
        monkeypatch.setattr("ssl_restore.__version__", "9.9")
    else:
        arguments = {
            "strength": ["--strength", "0.5"], "quality": ["--quality", "best"],
            "jpeg quality": ["--jpeg-quality", "50"],
        }[change]  # fmt: skip
    call = (folder, tmp_path / "out", "--weights", weights, *arguments, "--skip-existing")
    result = derain(*call)
    assert result.exit_code == 0, result.stderr
    assert f"{number} of other settings, weights or sources are made anew" in result.stderr
    assert f"{number} restored" in result.stderr
    fresh = derain(folder, tmp_path / "fresh", "--weights", weights, *arguments)
    assert fresh.exit_code == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")
    assert "restored" not in derain(*call).stderr  # and then they are done


@pytest.mark.parametrize("option", [["--tile", "36"], ["--max-pixels", "5000"], ["--recursive"]])
def test_options_that_change_no_result_leave_it_done(tiny, folder, tmp_path, option):
    derain(folder, tmp_path / "out", "--weights", tiny)
    result = derain(folder, tmp_path / "out", "--weights", tiny, "--skip-existing", *option)
    assert "4 exist already" in result.stderr


def test_a_file_of_nobody_knows_whom_is_refused(tiny, folder, tmp_path):
    write_photo(tmp_path / "out" / "1.png", seed=7)
    before = contents(tmp_path / "out")
    message = refused(folder, tmp_path / "out", "--weights", tiny, "--skip-existing")
    assert "1.png: exists, and" in message
    assert "says how it was made" in message
    assert "--overwrite" in message
    assert contents(tmp_path / "out") == before
    call = (folder, tmp_path / "out", "--weights", tiny, "--skip-existing", "--overwrite")
    assert derain(*call).exit_code == 0
    assert len(contents(tmp_path / "out")) == 4


def test_a_result_that_was_changed_by_hand_is_never_replaced_unasked(tiny, folder, tmp_path):
    derain(folder, tmp_path / "out", "--weights", tiny)
    write_photo(tmp_path / "out" / "1.png", seed=7)
    message = refused(folder, tmp_path / "out", "--weights", tiny, "--skip-existing")
    assert "1.png" in message
    assert "changed since" in message


def test_without_the_option_what_exists_is_refused_and_the_option_is_named(tiny, folder, tmp_path):
    derain(folder, tmp_path / "out", "--weights", tiny)
    message = refused(folder, tmp_path / "out", "--weights", tiny)
    assert "4 of 4 results exist" in message
    assert "--skip-existing goes on" in message
    assert "--overwrite" in message


def test_a_copy_of_a_folder_is_known_by_its_content(tiny, folder, tmp_path):
    derain(folder, tmp_path / "out", "--weights", tiny)
    (tmp_path / "copy").mkdir()
    for path in (tmp_path / "out").iterdir():
        shutil.copyfile(path, tmp_path / "copy" / path.name)  # with other times
    result = derain(folder, tmp_path / "copy", "--weights", tiny, "--skip-existing")
    assert "4 exist already" in result.stderr


def test_layers_are_part_of_what_is_done(tiny, folder, tmp_path):
    call = (folder, tmp_path / "out", "--weights", tiny, "--skip-existing")
    layered = (*call, "--layers", tmp_path / "taken")
    derain(*call)
    result = derain(*layered)
    assert result.exit_code == 0, result.stderr
    assert "4 restored" in result.stderr
    assert len(contents(tmp_path / "taken")) == 4
    assert "4 exist already" in derain(*layered).stderr
    (tmp_path / "taken" / "2.png").unlink()
    assert "3 exist already" in derain(*layered).stderr
    assert len(contents(tmp_path / "taken")) == 4


def test_sub_folders_and_several_inputs_go_on(tiny, tmp_path):
    for name in ("in/a.png", "in/deep/b.png", "c.png"):
        write_photo(tmp_path / name)
    call = (tmp_path / "in", tmp_path / "c.png", tmp_path / "out", "--weights", tiny, "--recursive")
    assert derain(*call).exit_code == 0
    assert names(tmp_path / "out") == ["c.png", "in/a.png", "in/deep/b.png"]
    assert "3 exist already" in derain(*call, "--skip-existing").stderr


def test_one_picture_goes_on_where_it_is_asked_to(tiny, tmp_path):
    call = (write_photo(tmp_path / "a.png"), tmp_path / "b.png", "--weights", tiny)
    assert derain(*call).exit_code == 0
    assert names(tmp_path) == ["a.png", "b.png"]
    assert not (tmp_path / manifest.NAME).exists()
    line = refused(*call, "--skip-existing")
    assert "b.png: exists, and nothing says how" in line
    assert "only runs with --skip-existing do); --overwrite makes it anew" in line
    assert derain(*call, "--skip-existing", "--overwrite").exit_code == 0
    result = derain(*call, "--skip-existing")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'b.png'}\n")
    assert "1 exist already" in result.stderr


def run_and_die(source, out, weights, moment, count):
    """In this process: derain, and die at the `count`-th such moment."""
    moments = itertools.count(1)  # counted one by one, as results are written side by side

    def dying(function, when):
        def call(*arguments, **keywords):
            number = next(moments)
            if number == count and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments, **keywords)
            if number == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    where, when = moment
    if where == "record":
        Manifest.record = dying(Manifest.record, when)
    elif where == "append":
        Manifest._append = dying(Manifest._append, when)
    else:
        files.Path.replace = dying(files.Path.replace, when)
    raise SystemExit(f"it did not die: {derain(source, out, '--weights', weights).output}")


@pytest.mark.parametrize("where", ["record", "rename", "append"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_run_goes_on_to_the_same_bits(tiny, folder, tmp_path, processes, where, when):
    out = tmp_path / "out"
    process = processes(run_and_die, folder, out, tiny, (where, when), 3)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    result = derain(folder, out, "--weights", tiny, "--skip-existing")
    assert result.exit_code == 0, result.stderr
    assert derain(folder, tmp_path / "whole", "--weights", tiny).exit_code == 0
    found = {n: c for n, c in contents(out).items() if not n.startswith(files.PREFIX)}
    assert found == contents(tmp_path / "whole")


# --- the manifest itself -------------------------------------------------------------------------


def written(path, book, content=b"result"):
    """A file written as results are."""
    with files.replacing(path, lambda temporary: book.record(path, (1, 2), temporary)) as temporary:
        temporary.write_bytes(content)


def test_a_manifest_tells_its_own_files_from_others(tmp_path):
    book = Manifest(tmp_path, {"strength": 1.0})
    path = tmp_path / "a.png"
    assert book.state(path, (1, 2)) is State.NONE
    written(path, book)
    again, other = Manifest(tmp_path, {"strength": 1.0}), Manifest(tmp_path, {"strength": 2.0})
    assert again.state(path, (1, 2)) is State.DONE
    assert again.state(path, (1, 3)) is State.OTHER
    assert other.state(path, (1, 2)) is State.OTHER
    path.write_bytes(b"edited")
    assert again.state(path, (1, 2)) is State.FOREIGN
    (tmp_path / "b.png").symlink_to(tmp_path / "none")
    assert again.state(tmp_path / "b.png", (1, 2)) is State.FOREIGN


def test_the_newest_of_two_writings_of_one_content_counts(tmp_path):
    path = tmp_path / "a.png"
    written(path, Manifest(tmp_path, {"strength": 1.0}))
    written(path, Manifest(tmp_path, {"strength": 2.0}))
    os.utime(path, ns=(5, 5))
    assert Manifest(tmp_path, {"strength": 2.0}).state(path, (1, 2)) is State.DONE


@pytest.mark.parametrize(
    "damage",
    [b'{"file": "b.png", "by": "x", "sour', b"\xff\xfe\0", b"[1]\n{}\n3\n", b'{"file": "a.png"}',
     b'{"file": "a.png", "by": 1, "source": [1], "written": "no"}\n', b"\n\n"],
)  # fmt: skip
def test_a_damaged_line_costs_that_line_alone(tmp_path, damage):
    book, path = Manifest(tmp_path, {}), tmp_path / "a.png"
    written(path, book)
    with book.path.open("ab") as file:
        file.write(damage)
    again = Manifest(tmp_path, {})
    assert again.state(path, (1, 2)) is State.DONE
    written(tmp_path / "c.png", again)
    assert Manifest(tmp_path, {}).state(tmp_path / "c.png", (1, 2)) is State.DONE


def test_a_manifest_is_json_that_says_its_settings_once(tiny, folder, tmp_path):
    derain(folder, tmp_path / "out", "--weights", tiny)
    lines = (tmp_path / "out" / manifest.NAME).read_text().splitlines()
    first, *others = map(json.loads, lines)
    assert first["settings"]["command"] == "derain"
    assert len(first["settings"]["weights"][0]) == 32
    assert [line["file"] for line in others] == [f"{n}.png" for n in range(4)]
    assert {line["by"] for line in others} == {first["key"]}
    assert others[0]["written"][:2] == list(identity(tmp_path / "out" / "0.png"))


def test_a_manifest_that_cannot_be_read_is_named(tiny, folder, tmp_path):
    (tmp_path / "out" / manifest.NAME).mkdir(parents=True)
    message = refused(folder, tmp_path / "out", "--weights", tiny)
    assert f"{manifest.NAME}: cannot be read" in message


def test_every_command_that_restores_takes_the_option():
    for name in (
        "derain",
        "denoise",
        "dehaze",
        "deblur",
        "upscale",
        "inpaint",
        "dedrop",
        "deshadow",
    ):
        options = {o for p in main.get_command(None, name).params for o in p.opts}
        assert {"--skip-existing", "--json", "--format", "--jpeg-quality"} <= options


def test_an_upscaled_folder_goes_on_too(tmp_path):
    from click.testing import CliRunner  # noqa: PLC0415

    write_photo(tmp_path / "in" / "a.png", 16, 16)
    call = ["upscale", str(tmp_path / "in"), str(tmp_path / "out"), "--skip-existing"]
    assert CliRunner().invoke(main, call).exit_code == 0
    assert images.read(tmp_path / "out" / "a.png").pixels.shape == (32, 32, 3)
    assert "1 exist already" in CliRunner().invoke(main, call).stderr
    assert "1 restored" in CliRunner().invoke(main, [*call, "--scale", "4"]).stderr
    assert images.read(tmp_path / "out" / "a.png").pixels.shape == (64, 64, 3)


def test_a_picture_that_was_separated_is_not_separated_again(tmp_path):
    from click.testing import CliRunner  # noqa: PLC0415

    def separate(*options):
        call = ["separate", str(source), str(tmp_path / "out"), "--steps", "2", "--side", "32"]
        return CliRunner().invoke(main, [*call, *options])

    source = write_photo(tmp_path / "a.png")
    assert separate().exit_code == 0
    before = times(tmp_path / "out")
    again = separate("--skip-existing")
    assert (again.exit_code, again.stdout.count("\n")) == (0, 3)
    assert times(tmp_path / "out") == before
    assert separate("--skip-existing", "--seed", "1").exit_code == 0
    assert all(times(tmp_path / "out")[name] > time for name, time in before.items())
    write_photo(tmp_path / "out" / "clean.png", seed=5)
    result = separate("--skip-existing")
    assert result.exit_code == 1
    assert "clean.png: exists, and" in result.stderr
