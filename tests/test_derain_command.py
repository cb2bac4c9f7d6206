"""`ssl-restore derain`: what it keeps, what it skips, and how it goes through a folder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from deraining import derain, names, refused, truncate
from PIL import Image, ImageCms
from tiny import pixels, random_restorer, save_restorer, write_photo

from ssl_restore.inference import folders
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.folders import plan
from ssl_restore.io.images import Picture
from ssl_restore.io.jobs import Job
from ssl_restore.training import checkpoint


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


def test_a_picture_is_restored_by_the_given_weights(tiny, tmp_path):
    source, target = write_photo(tmp_path / "a.png"), tmp_path / "b.png"
    result = derain(source, target, "--weights", tiny)
    assert result.exit_code == 0
    assert result.stdout == f"{target}\n"
    restorer, _ = checkpoint.load(tiny)
    expected = restore(restorer, images.read(source).pixels, precision="fp32")
    assert np.array_equal(images.read(target).pixels, expected)
    assert not np.array_equal(expected, images.read(source).pixels)


def test_progress_is_silent_where_stderr_is_no_terminal(tiny, tmp_path):
    result = derain(write_photo(tmp_path / "a.png"), tmp_path / "b.png", "--weights", tiny)
    assert result.stderr.count("\n") == 1
    assert "\r" not in result.stderr


def test_alpha_depth_profile_and_exif_are_kept(tiny, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "camera"
    whole = pixels(20, 30, dtype=np.uint16)
    alpha = pixels(20, 30, channels=1, dtype=np.uint16, seed=1)[:, :, 0]
    kept = Picture(whole, alpha, profile, exif.tobytes().removeprefix(b"Exif\0\0"))
    images.write(tmp_path / "a.png", kept)
    assert derain(tmp_path / "a.png", tmp_path / "b.tif", "--weights", tiny).exit_code == 0
    found = images.read(tmp_path / "b.tif")
    assert found.pixels.dtype == np.uint16
    assert np.array_equal(found.alpha, alpha)
    assert found.icc == profile
    assert b"camera" in found.exif


def test_grey_stays_grey(tiny, tmp_path):
    write_photo(tmp_path / "a.png", channels=1)
    assert derain(tmp_path / "a.png", tmp_path / "b.png", "--weights", tiny).exit_code == 0
    assert images.read(tmp_path / "b.png").pixels.shape == (24, 40, 1)


@pytest.mark.parametrize(("suffix", "magic"), [(".jpg", b"\xff\xd8"), (".bmp", b"BM")])
def test_the_suffix_of_the_output_chooses_the_format(tiny, tmp_path, suffix, magic):
    target = tmp_path / f"b{suffix}"
    assert derain(write_photo(tmp_path / "a.png"), target, "--weights", tiny).exit_code == 0
    assert target.read_bytes().startswith(magic)


@pytest.mark.parametrize("exists", [True, False])
def test_a_picture_goes_into_a_folder_under_its_name(tiny, tmp_path, exists):
    target = tmp_path / "out"
    if exists:
        target.mkdir()
    assert derain(write_photo(tmp_path / "a.png"), target, "--weights", tiny).exit_code == 0
    assert names(target) == ["a.png"]


def test_a_folder_keeps_names_and_formats(tiny, tmp_path):
    for name in ("a.png", "b.jpg", "c.tif", "deep/d.png"):
        write_photo(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    assert derain(tmp_path / "in", tmp_path / "out", "--weights", tiny).exit_code == 0
    assert names(tmp_path / "out") == ["a.png", "b.jpg", "c.tif"]


def test_recursive_restores_sub_folders_but_not_earlier_results(tiny, tmp_path):
    for name in ("a.png", "deep/er/d.png"):
        write_photo(tmp_path / name)
    call = (tmp_path, tmp_path / "out", "--weights", tiny, "--recursive")
    assert derain(*call).exit_code == 0
    assert names(tmp_path / "out") == ["a.png", "deep/er/d.png"]
    assert derain(*call, "--overwrite").exit_code == 0
    assert names(tmp_path / "out") == ["a.png", "deep/er/d.png"]


@pytest.mark.parametrize("more", [[], ["--recursive"]])
def test_results_may_go_into_the_folder_above_their_source(tiny, tmp_path, monkeypatch, more):
    sources = [
        write_photo(tmp_path / "here" / name) for name in ("rainy/b.png", "rainy/deep/d.png")
    ]
    write_photo(tmp_path / "here" / "a.png")
    before = {path: path.read_bytes() for path in (*sources, tmp_path / "here" / "a.png")}
    monkeypatch.chdir(tmp_path / "here")
    call = ("rainy", ".", "--weights", tiny, *more)
    assert derain(*call).exit_code == 0
    results = ["b.png", "deep/d.png"] if more else ["b.png"]
    assert names(tmp_path / "here") == sorted(
        ["a.png", *results, "rainy/b.png", "rainy/deep/d.png"]
    )
    assert f"{len(results)} exist already" in derain(*call, "--skip-existing").stderr
    assert "results exist" in derain(*call).stderr
    assert derain(*call, "--overwrite").exit_code == 0
    assert {path: path.read_bytes() for path in before} == before


def test_each_picture_of_a_folder_gets_its_own_result(tiny, tmp_path):
    for seed in range(4):
        write_photo(tmp_path / "in" / f"{seed}.png", seed=seed, height=16 + 3 * seed)
    assert derain(tmp_path / "in", tmp_path / "out", "--weights", tiny).exit_code == 0
    restorer, _ = checkpoint.load(tiny)
    for seed in range(4):
        source = images.read(tmp_path / "in" / f"{seed}.png").pixels
        found = images.read(tmp_path / "out" / f"{seed}.png").pixels
        assert np.array_equal(found, restore(restorer, source, precision="fp32"))


def test_a_truncated_picture_among_good_ones_is_named_skipped_and_counted(tiny, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        write_photo(tmp_path / "in" / name)
    truncate(tmp_path / "in" / "b.png")
    result = derain(tmp_path / "in", tmp_path / "out", "--weights", tiny)
    assert result.exit_code == 1
    assert names(tmp_path / "out") == ["a.png", "c.png"]
    assert "b.png: damaged or cut short" in result.stderr
    assert "1 picture skipped" in result.stderr
    assert "1 of 3 pictures could not be restored" in result.stderr


@pytest.mark.parametrize("bad", ["a.png", "c.png"])
def test_the_first_or_last_picture_may_be_the_bad_one(tiny, tmp_path, bad):
    for name in ("a.png", "b.png", "c.png"):
        write_photo(tmp_path / "in" / name)
    (tmp_path / "in" / bad).write_bytes(b"")
    assert derain(tmp_path / "in", tmp_path / "out", "--weights", tiny).exit_code == 1
    assert names(tmp_path / "out") == sorted({"a.png", "b.png", "c.png"} - {bad})


def test_a_result_that_cannot_be_written_is_named_and_the_others_are(tiny, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        write_photo(tmp_path / "in" / name)
    (tmp_path / "out" / "b.png" / "occupied").mkdir(parents=True)
    result = derain(tmp_path / "in", tmp_path / "out", "--weights", tiny, "--overwrite")
    assert result.exit_code == 1
    assert "b.png: could not be saved" in result.stderr
    assert names(tmp_path / "out") == ["a.png", "c.png"]


def test_one_truncated_picture_is_one_line(tiny, tmp_path):
    truncate(write_photo(tmp_path / "a.png"))
    message = refused(tmp_path / "a.png", tmp_path / "b.png", "--weights", tiny)
    assert "a.png: damaged or cut short" in message
    assert not (tmp_path / "b.png").exists()


def test_no_more_than_one_picture_is_read_ahead(tmp_path, monkeypatch):
    jobs = [
        Job(write_photo(tmp_path / f"{i}.png"), tmp_path / "out" / f"{i}.png") for i in range(6)
    ]
    monkeypatch.setattr(folders, "SMALL_PIXELS", 0)
    started, ahead = [], []
    read, compute = images.read, folders.restore_pixels
    monkeypatch.setattr(images, "read", lambda p, **k: started.append(p) or read(p, **k))

    def counted(*arguments, **keywords):
        result = compute(*arguments, **keywords)
        ahead.append(len(started) - len(ahead) - 1)
        return result

    monkeypatch.setattr(folders, "restore_pixels", counted)
    assert folders.restore_all(jobs, random_restorer(), precision="fp32") == []
    assert len(started) == 6
    assert max(ahead) <= 1
    assert len(names(tmp_path / "out")) == 6


def test_running_out_of_memory_names_the_picture(tmp_path, monkeypatch):
    def full(*arguments, **keywords):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 GB")

    monkeypatch.setattr(folders, "restore_pixels", full)
    jobs = [Job(write_photo(tmp_path / "a.png"), tmp_path / "b.png")]
    (line,) = folders.restore_all(jobs, random_restorer())
    assert "a.png: out of memory; try a smaller `tile`" in line


def test_small_pictures_side_by_side_give_what_they_give_in_turn(tmp_path, monkeypatch):
    for number, side in enumerate([(40, 30), (33, 47), (64, 64), (90, 20), (21, 22)]):
        write_photo(tmp_path / "in" / f"{number}.png", *side)
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    restorer, threads = random_restorer(), torch.get_num_threads()
    shown = []

    def run(name):
        jobs = plan(tmp_path / "in", tmp_path / name)
        done = lambda pixels, expected: shown.append((pixels, expected))  # noqa: E731
        (line,) = folders.restore_all(jobs, restorer, precision="fp32", progress=done)
        assert "broken.png" in line
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    together = run("together")
    assert sum(pixels for pixels, _ in shown) == shown[0][1] == 9109
    monkeypatch.setattr(folders, "SMALL_PIXELS", 0)
    assert run("in_turn") == together
    assert len(together) == 5
    assert torch.get_num_threads() == threads


def test_an_interrupt_among_small_pictures_leaves_the_rest_undone(tmp_path, monkeypatch):
    jobs = [
        Job(write_photo(tmp_path / f"{i}.png"), tmp_path / "out" / f"{i}.png") for i in range(40)
    ]
    threads = torch.get_num_threads()

    def interrupted(pixels, expected):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folders.restore_all(jobs, random_restorer(), precision="fp32", progress=interrupted)
    assert 1 <= len(names(tmp_path / "out")) < 40
    assert torch.get_num_threads() == threads
