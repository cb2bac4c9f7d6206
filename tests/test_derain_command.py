"""`ssl-restore derain`: what it keeps, what it refuses, and what it skips."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image, ImageCms
from safetensors.torch import save_file
from tiny import KEYWORDS, pixels, random_restorer, save_restorer, write_photo

from ssl_restore import weights
from ssl_restore.inference import folders
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.folders import Job, plan
from ssl_restore.io.images import Picture
from ssl_restore.training import checkpoint
from ssl_restore_cli.main import main


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


def derain(*arguments):
    """Run the command; a traceback, which is anything but an exit, fails the test."""
    call = ["derain", *map(str, arguments), "--precision", "fp32"]
    result = CliRunner().invoke(main, call)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(*arguments):
    """The single error line of a call that failed before it restored anything."""
    result = derain(*arguments)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    return result.stderr


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


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


def test_an_empty_folder_is_refused(tiny, tmp_path):
    (tmp_path / "in").mkdir()
    assert "no picture in it" in refused(tmp_path / "in", tmp_path / "out", "--weights", tiny)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_pictures_is_refused(tiny, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    assert "no picture in it" in refused(tmp_path / "in", tmp_path / "out", "--weights", tiny)


@pytest.mark.parametrize("spelling", ["same", "dotted", "symlink", "hardlink"])
def test_the_input_file_is_never_the_output(tmp_path, monkeypatch, spelling):
    source = write_photo(tmp_path / "a.png")
    before = source.read_bytes()
    target = {
        "same": source, "dotted": tmp_path / "x" / ".." / "a.png",
        "symlink": tmp_path / "s.png", "hardlink": tmp_path / "h.png",
    }[spelling]  # fmt: skip
    (tmp_path / "x").mkdir()
    if spelling == "symlink":
        target.symlink_to(source)
    if spelling == "hardlink":
        target.hardlink_to(source)
    monkeypatch.setattr(images, "read", lambda *a, **k: pytest.fail("read a picture"))
    message = refused(source, target, "--overwrite", "--weights", "unread.safetensors")
    assert "is the input itself" in message
    assert source.read_bytes() == before


@pytest.mark.parametrize("spelling", ["same", "relative", "symlink"])
def test_the_input_folder_is_never_the_output(tmp_path, monkeypatch, spelling):
    write_photo(tmp_path / "in" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    target = {"same": tmp_path / "in", "relative": "in/../in", "symlink": "link"}[spelling]
    assert "is the input itself" in refused(tmp_path / "in", target, "--overwrite")


def test_the_folder_of_the_input_file_is_refused_as_output(tmp_path):
    source = write_photo(tmp_path / "a.png")
    assert "is one of the inputs" in refused(source, tmp_path, "--overwrite")


def test_a_result_never_replaces_another_input(tmp_path):
    write_photo(tmp_path / "in" / "a.png")
    write_photo(tmp_path / "in" / "in" / "a.png")  # its result would be in/in/a.png's neighbour
    message = refused(tmp_path / "in", tmp_path, "--recursive", "--overwrite")
    assert "no picture in it but those in the output folder" in message


def test_an_output_that_links_to_an_input_is_refused(tmp_path):
    source = write_photo(tmp_path / "in" / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(source)
    assert "is one of the inputs" in refused(tmp_path / "in", tmp_path / "out", "--overwrite")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_missing_parent_folder_is_refused(tmp_path, kind):
    source = write_photo(tmp_path / "in" / "a.png")
    target = tmp_path / "no" / "b.png" if kind == "file" else tmp_path / "no" / "out"
    message = refused(source if kind == "file" else source.parent, target)
    assert "does not exist; create it first" in message
    assert not (tmp_path / "no").exists()


def test_an_existing_result_is_replaced_only_with_overwrite(tiny, tmp_path):
    source, target = write_photo(tmp_path / "a.png"), write_photo(tmp_path / "b.png", seed=9)
    before = target.read_bytes()
    assert "b.png: exists; --overwrite replaces it" in refused(source, target, "--weights", tiny)
    assert target.read_bytes() == before
    assert derain(source, target, "--weights", tiny, "--overwrite").exit_code == 0
    assert target.read_bytes() != before


def test_existing_results_of_a_folder_are_counted_before_anything_is_computed(tiny, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        write_photo(tmp_path / "in" / name)
    write_photo(tmp_path / "out" / "b.png")
    message = refused(tmp_path / "in", tmp_path / "out", "--weights", tiny)
    assert "1 of 3 results exist (b.png ...)" in message
    assert names(tmp_path / "out") == ["b.png"]


def test_a_folder_into_a_file_is_refused(tmp_path):
    source, target = write_photo(tmp_path / "in" / "a.png"), write_photo(tmp_path / "b.png")
    assert "is a file; for a folder of pictures" in refused(source.parent, target, "--overwrite")


def test_an_unknown_suffix_is_refused_with_the_list(tmp_path):
    message = refused(write_photo(tmp_path / "a.png"), tmp_path / "b.gif")
    assert "unknown suffix '.gif'; use one of .png" in message


def test_a_checkpoint_of_another_format_is_refused(tmp_path):
    bad = save_restorer(tmp_path / "w.safetensors", format=99)
    message = refused(write_photo(tmp_path / "a.png"), tmp_path / "b.png", "--weights", bad)
    assert "checkpoint format 99" in message


def test_weights_of_another_network_are_refused(tmp_path):
    bad = save_restorer(tmp_path / "w.safetensors", keywords=KEYWORDS | {"width": 6})
    message = refused(write_photo(tmp_path / "a.png"), tmp_path / "b.png", "--weights", bad)
    assert "its weights are not those of its network" in message


@pytest.mark.parametrize("network", ["resnet", "../evil", "torch.nn", "evil.py"])
def test_an_unknown_network_is_refused_and_not_imported(tmp_path, monkeypatch, network):
    (tmp_path / "evil.py").write_text("raise SystemExit('executed')")
    monkeypatch.chdir(tmp_path)
    bad = save_restorer(tmp_path / "w.safetensors", network=network)
    assert f"network {network!r}" in refused(
        write_photo(tmp_path / "a.png"), tmp_path / "b.png", "--weights", bad
    )


def test_weights_that_are_not_ours_are_refused(tmp_path):
    save_file({"w": torch.zeros(3)}, tmp_path / "w.safetensors")
    message = refused(
        write_photo(tmp_path / "a.png"), tmp_path / "b.png", "--weights", tmp_path / "w.safetensors"
    )
    assert "not a checkpoint of ssl-restore" in message


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x04pickle" * 99])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    message = refused(
        write_photo(tmp_path / "a.png"), tmp_path / "b.png", "--weights", tmp_path / "w.safetensors"
    )
    assert "w.safetensors: not a safetensors file" in message


def test_missing_weights_are_named(tmp_path):
    source = write_photo(tmp_path / "a.png")
    assert "w.st: no such file" in refused(source, tmp_path / "b.png", "--weights", "w.st")


def test_an_installation_without_the_built_in_restorer_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "built_in", lambda task: tmp_path / f"{task}.safetensors")
    message = refused(write_photo(tmp_path / "a.png"), tmp_path / "b.png")
    assert "lacks the built-in restorer" in message
    assert "--weights" in message


def test_a_decompression_bomb_is_refused_with_its_size_and_the_option(tiny, tmp_path):
    def chunk(name, body):
        crc = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + crc

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 40_000, 8, 2, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")
    )
    message = refused(tmp_path / "bomb.png", tmp_path / "b.png", "--weights", tiny)
    assert "50000 x 40000" in message
    assert "--max-pixels 2000000000" in message


def test_max_pixels_is_the_limit(tiny, tmp_path):
    source = write_photo(tmp_path / "a.png")  # 960 pixels
    call = (source, tmp_path / "b.png", "--weights", tiny, "--max-pixels")
    assert "a.png" in refused(*call, 959)
    assert derain(*call, 960).exit_code == 0


def test_a_bad_tile_is_refused_once_for_a_whole_folder(tiny, tmp_path):
    for name in ("a.png", "b.png"):
        write_photo(tmp_path / "in" / name)
    message = refused(tmp_path / "in", tmp_path / "out", "--weights", tiny, "--tile", 1)
    assert "--tile: 1 is too small" in message


def test_an_unknown_device_is_refused(tiny, tmp_path):
    source = write_photo(tmp_path / "a.png")
    call = (source, tmp_path / "b.png", "--weights", tiny, "--device", "abacus")
    assert "--device: 'abacus' is unknown" in refused(*call)


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
