"""A cluster of two workers here: what dies, what is damaged, going on, and objects.

All but the refusals take the extra `cluster` and are skipped without.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from deraining import derain, names, refused, truncate
from tiny import random_restorer, save_restorer, write_photo

from ssl_restore.inference import cluster
from ssl_restore.inference.denoising import Treatments
from ssl_restore.io import manifest, stored
from ssl_restore.io.folders import ResumeFolder
from ssl_restore.io.manifest import State, Whole
from ssl_restore.io.objects import Place
from ssl_restore.io.stored import StoredManifest

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="needs the extra `cluster`")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
TWO = ["--cluster", "local:2"]
PICTURES = 7


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """in/ of pictures that take a while, one of them damaged; plain/ of what is expected."""
    folder = tmp_path_factory.mktemp("cluster")
    save_restorer(folder / "tiny.safetensors")
    for number in range(PICTURES):
        write_photo(folder / "in" / f"{number}.png", height=400, width=600, seed=number)
    write_photo(folder / "in" / "damaged.png", seed=9)
    truncate(folder / "in" / "damaged.png")
    assert call(folder, "in", "plain").wait(120) == 1
    assert len(names(folder / "plain")) == PICTURES
    return folder


def call(home, *arguments):
    """The command, as a process of its own."""
    words = ["derain", *arguments, "--weights", "tiny.safetensors", "--precision", "fp32",
             "--quality", "best"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "ssl_restore", *words], cwd=home, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def lines_of(folder):
    """How often each file is in the manifest."""
    try:
        text = (folder / manifest.NAME).read_text()
    except FileNotFoundError:
        return Counter()
    return Counter(line["file"] for line in map(json.loads, text.splitlines()) if "file" in line)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in names(folder)}


def wait_for(condition, seconds=100):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


def below(process):
    """Numbers of a process and all that it has started, and those of these."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int(
                entry.joinpath("stat").read_text().split(")")[-1].split()[1]
            )
        except OSError:  # it has ended
            continue
    found, last = {process.pid}, set()
    while found != last:
        last = set(found)
        found |= {number for number, parent in parents.items() if parent in found}
    return found


def title(number):
    """What a process calls itself; nothing where it has ended."""
    try:
        return Path(f"/proc/{number}/cmdline").read_text().split("\0")[0]
    except OSError:
        return ""


def working(process):
    """Numbers of the workers that have a picture."""
    return [number for number in below(process) if title(number).startswith("ray::Worker.begin")]


@needs_ray
@needs_proc
def test_picture_of_a_killed_worker_goes_to_another_and_all_are_made_once(home):
    process = call(home, "in", "killed", *TWO)
    wait_for(lambda: lines_of(home / "killed"))
    os.kill(wait_for(lambda: working(process))[0], signal.SIGKILL)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 1, said
    assert said.count("died; another one takes it") == 1
    assert said.count("skipped: in/damaged.png: damaged or cut short") == 1
    assert f"{PICTURES} restored" in said
    assert lines_of(home / "killed") == {f"{number}.png": 1 for number in range(PICTURES)}
    assert contents(home / "killed") == contents(home / "plain")


@needs_ray
@needs_proc
def test_run_whose_driver_was_killed_goes_on_and_nothing_is_made_twice(home):
    process = call(home, "in", "again", *TWO)
    wait_for(lambda: len(lines_of(home / "again")) >= 2)
    workers = working(process)
    process.kill()
    process.communicate(timeout=100)
    wait_for(lambda: not any(map(title, workers)))
    times = {name: (home / "again" / name).stat().st_mtime_ns for name in lines_of(home / "again")
             if (home / "again" / name).exists()}  # fmt: skip
    assert 1 <= len(times) < PICTURES
    process = call(home, "in", "again", "--skip-existing", *TWO)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 1, said
    assert f"{len(times)} exist already" in said
    assert f"{PICTURES - len(times)} restored" in said
    assert {name: lines_of(home / "again")[name] for name in times} == dict.fromkeys(times, 1)
    assert {name: (home / "again" / name).stat().st_mtime_ns for name in times} == times
    assert contents(home / "again") == contents(home / "plain")


@needs_ray
def test_objects_are_restored_into_objects_and_known_again(home, tmp_path):
    shutil.copytree(home / "in", tmp_path / "in" / "deep", ignore=shutil.ignore_patterns("[3-9]*"))
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    arguments = [f"file://{tmp_path}/in", f"file://{tmp_path}/out", "--recursive", *TWO]
    process = call(home, *arguments)
    printed, said = process.communicate(timeout=100)
    assert process.returncode == 1, said
    assert printed == f"file://{tmp_path}/out\n"
    assert f"skipped: file://{tmp_path}/in/deep/damaged.png: damaged or cut short" in said
    for number in range(3):
        result = tmp_path / "out" / "deep" / f"{number}.png"
        assert result.read_bytes() == (home / "plain" / f"{number}.png").read_bytes()
    parts = (tmp_path / "out").glob(".ssl-restore.*.jsonl")
    text = "".join(part.read_text() for part in parts)
    assert text.count('"file"') == 2 * 3  # before and after each was put
    (tmp_path / "in" / "deep" / "damaged.png").unlink()
    again = derain(*arguments, "--weights", home / "tiny.safetensors", "--quality", "best",
                   "--skip-existing")  # fmt: skip
    assert again.exit_code == 0, again.stderr
    assert "3 exist already" in again.stderr
    assert " restored, " not in again.stderr


@needs_ray
def test_machine_of_another_version_is_left_out_and_named(home, tmp_path, monkeypatch):
    monkeypatch.setattr("ssl_restore.__version__", "9.9")
    result = derain(home / "in", tmp_path / "out", "--cluster", "local:1")
    assert result.exit_code == 1
    assert "has ssl-restore 0.2.0; install 9.9 there; it is left out\n" in result.stderr
    assert result.stderr.endswith("no machine of the cluster can be used\n")
    assert result.stderr.count("\n") == 2


# Refusals, which need no Ray


def test_port_that_nobody_listens_on_is_refused_in_one_line(home, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    message = refused(home / "in", tmp_path / "out", "--cluster", address)
    assert f"--cluster: {address} does not answer" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["somewhere", "ray://head:10001", "local:0", "head:port", ""])
def test_address_of_another_form_is_refused(home, tmp_path, address):
    message = refused(home / "in", tmp_path / "out", "--cluster", address)
    assert "HOST:PORT of the head of a Ray cluster is expected, or local" in message


def test_without_the_extra_the_line_says_how_to_install_it(home, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    message = refused(home / "in", tmp_path / "out", "--cluster", "local")
    assert "--cluster: takes Ray: pip install 'ssl-restore[cluster]'" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["s3://bucket/in", "out"], "addresses take --cluster"),
        (["-", "-", *TWO], "leave - out"),
        (["file:///in", "a.png", "out/", *TWO], "give one INPUT"),
        (["file:///in", "file:///out", "--layers", "taken", *TWO], "leave addresses out"),
    ],
)
def test_calls_that_mean_nothing_are_refused(arguments, message):
    result = derain(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ftp://host/in", "unknown kind of address"),
        ("file:///no/such/folder", "no picture in it"),
        ("file://{home}/plain", "is the input itself"),
    ],
)
def test_addresses_that_lead_nowhere_are_refused_in_one_line(home, source, message):
    source = source.format(home=home)
    assert message in refused(source, f"file://{home}/plain", *TWO)


def test_results_that_exist_as_objects_are_refused_or_known_to_nobody(home, tmp_path):
    shutil.copytree(home / "plain", tmp_path / "out")
    pair = (f"file://{home}/in", f"file://{tmp_path}/out", *TWO)
    message = refused(*pair)
    assert "7 of 8 results exist" in message
    assert "--skip-existing goes on" in message
    assert "does not say how it was made" in refused(*pair, "--skip-existing")


def test_memory_and_gpus_of_a_machine_limit_its_workers():
    node = {"CPU": 8.0, "memory": 64e9}
    assert cluster.workers(node, "auto") == 8
    assert cluster.workers({**node, "memory": 3.1 * cluster.MEMORY}, "auto") == 3
    assert cluster.workers({**node, "GPU": 2.0}, "auto") == 2
    assert cluster.workers({**node, "GPU": 2.0}, "cpu") == 8
    assert cluster.workers({"CPU": 8.0, "memory": 1e9}, "auto") == 1
    assert cluster.workers({"memory": 64e9}, "auto") == 0


def test_what_is_sent_to_workers_restores_there_as_here():
    restorer = random_restorer().folded()
    choose = Treatments(restorer, notify=print)
    there, chosen = pickle.loads(pickle.dumps((restorer, choose)))
    image = torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(there(image), restorer(image))
    assert chosen.restorer is there


# The manifest of a folder of objects


def book(folder, **settings):
    place = Place.at(f"file://{folder}")
    return StoredManifest(place, settings, place.objects(deep=True))


@pytest.fixture
def written(tmp_path):
    """A folder with a.png, that a run has put and given both of its lines."""
    (tmp_path / "source").write_bytes(b"result")
    first = book(tmp_path / "out", strength=1)
    first.record(Path("a.png"), (5, 1), Whole((6, 0), "digest"))
    first.commit()
    identity = Place.at(f"file://{tmp_path}/out/a.png").put(tmp_path / "source")
    first.record(Path("a.png"), (5, 1), Whole(identity, "digest"))
    first.commit()
    return tmp_path / "out"


def test_object_is_known_by_its_source_and_settings(written):
    path = Path("a.png")
    assert book(written, strength=1).state(path, (5, 1)) is State.DONE
    assert book(written, strength=1).state(path, (5, 2)) is State.OTHER
    assert book(written, strength=2).state(path, (5, 1)) is State.OTHER
    assert book(written, strength=1).state(Path("b.png"), (5, 1)) is State.NONE
    os.utime(written / "a.png", (1, 1))
    assert book(written, strength=1).state(path, (5, 1)) is State.FOREIGN


def test_object_that_was_put_before_a_kill_is_known_and_one_that_was_not_is_made_anew(written):
    path, digest = Path("a.png"), "digest"
    later = book(written, strength=2)
    later.record(path, (5, 1), Whole((6, 0), digest))  # of the same size, and killed before the put
    later.commit()
    assert book(written, strength=2).state(path, (5, 1)) is State.OTHER
    os.utime(written / "a.png", (2, 2))  # put, and killed before the second line
    again = book(written, strength=2)
    assert again.state(path, (5, 1)) is State.DONE
    again.commit()
    assert book(written, strength=2).state(path, (5, 1)) is State.DONE


def test_objects_may_go_into_the_folder_above_their_source(tmp_path):
    write_photo(tmp_path / "in" / "b.png")
    resume = ResumeFolder(dict)
    (job,) = stored.plan(f"file://{tmp_path}/in", f"file://{tmp_path}", resume)
    assert (job.source, job.target) == tuple(f"file://{tmp_path}/{n}.png" for n in ("in/b", "b"))


def test_parts_of_a_manifest_are_read_together(written, monkeypatch):
    monkeypatch.setattr("ssl_restore.io.stored._PART", 2)
    third = book(written, strength=3)
    for number in range(5):
        third.record(Path(f"{number}.png"), (5, 1), Whole((6, 0), "digest"))
        third.commit()
    assert len(list(written.glob(".ssl-restore.*.jsonl"))) >= 3
    assert set(book(written, strength=3)._written) == {"a.png", *(f"{n}.png" for n in range(5))}
