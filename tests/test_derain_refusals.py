"""`ssl-restore derain`: what it refuses, in one line."""

from __future__ import annotations

import struct
import zlib

import pytest
import torch
from deraining import derain, names, refused
from safetensors.torch import save_file
from tiny import KEYWORDS, save_restorer, write_photo

from ssl_restore import weights
from ssl_restore.io import images


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


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
    assert "is one of the inputs" in message


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
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    message = refused(write_photo(tmp_path / "a.png"), tmp_path / "b.png")
    assert "lacks the built-in restorer derain" in message
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
