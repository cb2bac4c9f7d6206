"""Names: of any bytes and length, of several inputs, patterns, linked folders, and results."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from deraining import derain, names, refused
from PIL import Image
from tiny import pixels, save_restorer, write_photo

from ssl_restore import rng
from ssl_restore.io import images, manifest
from ssl_restore.io.folders import plan
from ssl_restore.io.images import Picture, find
from ssl_restore.io.names import results
from ssl_restore_cli.main import main

LATIN = os.fsdecode(b"caf\xe9")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


CALLS = """
import sys
from ssl_restore_cli.main import main
for words in {calls!r}:
    try:
        main(words)
    except SystemExit as end:
        assert not end.code, words
"""


def call(*calls):
    """All in one other process: stdout and stderr as users have them."""
    code = CALLS.format(calls=[[*map(str, words)] for words in calls])
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)


# --- bytes and length ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stem", ["x" * 240, "x" * 251, "雨の写真" * 20, LATIN, " a b ", "-", "[1]*?"]
)
def test_any_name_a_disk_takes_is_restored_under_it(tiny, tmp_path, stem):
    write_photo(tmp_path / "in" / f"{stem}.png")
    result = derain(tmp_path / "in", tmp_path / "out", "--weights", tiny)
    assert result.exit_code == 0, result.output
    assert set(os.listdir(tmp_path / "out")) == {f"{stem}.png", manifest.NAME}
    assert derain(tmp_path / "in" / f"{stem}.png", tmp_path / f"{stem}.png", "--weights", tiny)


def test_commands_that_write_names_into_files_take_any_bytes(tmp_path):
    write_photo(tmp_path / "in" / f"{LATIN}.png", 64, 64)
    made = ("synth-rain", tmp_path / "in", tmp_path / "set")
    scored = ("evaluate", tmp_path / "in", tmp_path / "in", "--csv", tmp_path / "s.csv")
    done = call(made, made, scored)
    assert done.returncode == 0, done.stderr
    assert b"1 pictures exist" in done.stderr
    meta = json.loads((tmp_path / "set" / "meta.jsonl").read_text())
    assert os.fsencode(meta["photo"]) == b"caf\xe9.png"
    assert b"caf\xe9,input" in (tmp_path / "s.csv").read_bytes()


def test_the_path_that_is_printed_is_the_one_that_was_written(tiny, tmp_path):
    write_photo(tmp_path / "a.png")
    found = call(("derain", tmp_path / "a.png", tmp_path / f"{LATIN}.png", "--weights", tiny))
    assert found.returncode == 0, found.stderr
    assert found.stdout == os.fsencode(tmp_path / f"{LATIN}.png") + b"\n"


def test_streams_are_named_by_bytes_and_do_not_change_for_other_names():
    assert rng.derive(0, LATIN).initial_seed() != rng.derive(0, "café").initial_seed()
    digest = hashlib.blake2b("3/café/2".encode(), digest_size=8).digest()
    assert rng.derive(3, "café", 2).initial_seed() == int.from_bytes(digest, "big") >> 1


# --- formats -------------------------------------------------------------------------------------


def test_results_are_named_as_their_sources_and_never_alike():
    given = [Path(name) for name in ("a.png", "b.JFIF", "c.gif", "d/a.gif", "a.gif", "e.ppm")]
    expected = ["a.png", "b.JFIF", "c.png", "d/a.png", "a.gif.png", "e.png"]
    assert [name.as_posix() for name in results(given)] == expected
    expected = ["a.png.jpg", "b.JFIF", "c.jpg", "d/a.jpg", "a.gif.jpg", "e.jpg"]
    assert [name.as_posix() for name in results(given, ".jpg")] == expected


def test_a_format_that_is_only_read_becomes_png(tiny, tmp_path):
    for suffix in ("gif", "ppm", "avif", "jfif"):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(pixels(24, 40)).save(tmp_path / "in" / f"{suffix}.{suffix}")
    assert derain(tmp_path / "in", tmp_path / "out", "--weights", tiny).exit_code == 0
    assert names(tmp_path / "out") == ["avif.avif", "gif.png", "jfif.jfif", "ppm.png"]


@pytest.mark.parametrize("form", ["jpg", "webp", ".TIF", "avif"])
def test_the_format_of_a_folders_results_can_be_chosen(tiny, tmp_path, form):
    write_photo(tmp_path / "in" / "a.png")
    arguments = (tmp_path / "in", tmp_path / "out", "--weights", tiny, "--format", form)
    assert derain(*arguments).exit_code == 0
    suffix = "." + form.lower().strip(".")
    assert names(tmp_path / "out") == [f"a{suffix}"]
    assert images.read(tmp_path / "out" / f"a{suffix}").pixels.shape == (24, 40, 3)


def test_an_unknown_format_names_the_option_and_those_there_are(tiny, tmp_path):
    message = refused(write_photo(tmp_path / "a.png"), tmp_path / "o/", "--format", "gif")
    assert "--format: 'gif' is unknown; use one of png, jpg" in message
    message = refused(tmp_path / "a.png", tmp_path / "b.png", "--format", "jpg")
    assert "--format: jpg is not what" in message


def test_the_quality_of_jpegs_can_be_chosen(tiny, tmp_path):
    Image.fromarray(pixels(64, 64)).save(tmp_path / "a.jpg", quality=60)
    tables = []
    for number, arguments in enumerate(([], ["--jpeg-quality", "90"])):
        target = tmp_path / f"{number}.jpg"
        assert derain(tmp_path / "a.jpg", target, "--weights", tiny, *arguments).exit_code == 0
        with Image.open(target) as image:
            tables.append(image.quantization)
    with Image.open(tmp_path / "a.jpg") as image:
        assert [(step + 1) // 2 for step in image.quantization[0]] == tables[0][0]
    assert sum(tables[1][0]) < 0.6 * sum(tables[0][0])


def test_a_png_named_jpg_keeps_what_a_jpeg_could_not(tiny, tmp_path):
    alpha = pixels(24, 40, channels=1)[:, :, 0]
    images.write(tmp_path / "a.png", Picture(pixels(24, 40), alpha))
    (tmp_path / "in").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "in" / "a.jpg")
    assert derain(tmp_path / "in", tmp_path / "out", "--weights", tiny).exit_code == 0
    assert np.array_equal(images.read(tmp_path / "out" / "a.jpg").alpha, alpha)
    message = refused(tmp_path / "in" / "a.jpg", tmp_path / "b.jpeg", "--weights", tiny)
    assert "cannot store the alpha" in message  # which was asked for


# --- what is left out ----------------------------------------------------------------------------


def test_what_is_no_picture_is_counted_by_suffix(tiny, tmp_path):
    write_photo(tmp_path / "in" / "a.png")
    write_photo(tmp_path / "in" / "deep" / "b.png")
    for name in ("x.xcf", "y.xcf", "notes.txt", "README", ".hidden.xcf"):
        (tmp_path / "in" / name).touch()
    result = derain(tmp_path / "in", tmp_path / "out", "--weights", tiny)
    assert result.exit_code == 0
    said = "left out 1 .txt, 2 .xcf, 1 without a suffix and 1 folder (--recursive searches them)"
    assert said in result.stderr
    result = derain(tmp_path / "in", tmp_path / "all", "--weights", tiny, "--recursive")
    assert "folder" not in result.stderr


def test_linked_folders_are_searched_once(tmp_path):
    write_photo(tmp_path / "far" / "b.png")
    write_photo(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "in")  # a circle
    found = [path.relative_to(tmp_path / "in") for path in find(tmp_path / "in", recursive=True)]
    assert [path.as_posix() for path in found] == ["a.png", "link/b.png"]
    assert [path.name for path in find(tmp_path / "in")] == ["a.png"]
    (tmp_path / "whole").symlink_to(tmp_path / "in")
    assert len(find(tmp_path / "whole")) == 1


# --- several inputs ------------------------------------------------------------------------------


def test_several_pictures_go_into_a_folder(tiny, tmp_path):
    paths = [write_photo(tmp_path / name) for name in ("a.png", "deep/b.jpg")]
    result = derain(*paths, tmp_path / "out", "--weights", tiny)
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 'out'}\n"
    assert names(tmp_path / "out") == ["a.png", "b.jpg"]


def test_several_folders_keep_their_names(tmp_path):
    for name in ("x/a.png", "y/a.png", "y/deep/b.png"):
        write_photo(tmp_path / name)
    jobs = plan([tmp_path / "x", tmp_path / "y"], tmp_path / "out", recursive=True)
    found = [job.target.relative_to(tmp_path / "out").as_posix() for job in jobs]
    assert found == ["x/a.png", "y/a.png", "y/deep/b.png"]


def test_a_pattern_is_what_it_matches_in_natural_order(tmp_path):
    for name in ("in/a2.png", "in/a10.png", "in/b.png", "in/a3.txt"):
        write_photo(tmp_path / name) if name.endswith("png") else (tmp_path / name).touch()
    jobs = plan([str(tmp_path / "in" / "a*")], tmp_path / "out")
    assert [job.source.name for job in jobs] == ["a2.png", "a10.png"]
    jobs = plan([str(tmp_path / "**" / "b.png"), tmp_path / "in" / "b.png"], tmp_path / "out")
    assert [job.source.name for job in jobs] == ["b.png"]
    write_photo(tmp_path / "in" / "[b].png")  # a name, though it looks like a pattern
    jobs = plan([str(tmp_path / "in" / "[b].png")], tmp_path / "c.png")
    assert [job.source.name for job in jobs] == ["[b].png"]


def test_a_pattern_that_nothing_matches_is_refused(tiny, tmp_path):
    message = refused(tmp_path / "a*.png", tmp_path / "out", "--weights", tiny)
    assert "a*.png: no picture or folder has such a name; check the pattern" in message


def test_two_results_of_one_name_are_refused(tiny, tmp_path):
    paths = [write_photo(tmp_path / name) for name in ("x/a.png", "y/a.png")]
    message = refused(*paths, tmp_path / "out", "--weights", tiny)
    assert "would be the result of" in message
    assert "folders of their own" in message


def test_pictures_of_one_stem_are_told_apart_however_they_are_given(tmp_path):
    for name in ("a.jpg", "a.png", "b.jpg"):
        write_photo(tmp_path / "in" / name)
    for given in ([tmp_path / "in"], sorted((tmp_path / "in").iterdir()), [f"{tmp_path}/in/*"]):
        jobs = plan(given, tmp_path / "out", form="png")
        found = sorted((job.source.name, job.target.name) for job in jobs)
        assert found == [("a.jpg", "a.jpg.png"), ("a.png", "a.png"), ("b.jpg", "b.png")]


def test_several_pictures_do_not_go_to_one(tiny, tmp_path):
    paths = [write_photo(tmp_path / name) for name in ("a.png", "b.png")]
    message = refused(*paths, tmp_path / "c.png", "--weights", tiny)
    assert "several pictures go to a folder; put a slash at its end" in message


# --- slashes -------------------------------------------------------------------------------------


def test_a_slash_at_the_end_means_a_folder(tiny, tmp_path):
    source = write_photo(tmp_path / "a.png")
    assert derain(source, f"{tmp_path}/v1.2/", "--weights", tiny).exit_code == 0
    assert names(tmp_path / "v1.2") == ["a.png"]
    assert derain(source, tmp_path / "v1.2", "--weights", tiny, "--overwrite").exit_code == 0
    message = refused(f"{source}/", tmp_path / "out", "--weights", tiny)
    assert "a.png/: is a file, not a folder" in message
    message = refused(source, f"{source}/", "--weights", tiny)
    assert "is the input itself" in message


def test_every_command_is_listed_that_is_one():
    assert not {"output", "options"} & set(main.list_commands(None))
