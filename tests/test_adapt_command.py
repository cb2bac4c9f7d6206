"""`ssl-restore adapt`: a clip or a folder in, the same out, and mistakes in one line."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from moving import frames, save_photographs, with_noise
from tiny import save_restorer

from ssl_restore import weights
from ssl_restore.io import images, locks, manifest, shots
from ssl_restore.io.clips import segments
from ssl_restore.io.files import PREFIX
from ssl_restore.networks import denoiser
from ssl_restore.training import checkpoint, material
from ssl_restore_cli.main import main

QUICK = ("--steps", 1, "--set", "batch=2", "--set", "patch=16", "--precision", "fp32")


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """A small denoiser and few photographs, in place of those built in."""
    header = checkpoint.Header("denoise", "denoiser", {"width": 4})
    path = tmp_path / "denoiser.safetensors"
    checkpoint.save(path, denoiser.build(width=4), header)
    monkeypatch.setattr(weights, "built_in", lambda task, quality="good": path)
    folder = save_photographs(tmp_path / "photographs")
    monkeypatch.setattr(material, "bundled_photographs", lambda: folder)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for number, frame in enumerate(with_noise(frames(3, 64, 80))):
        images.write(tmp_path / "in" / f"{number}.png", images.Picture(frame))
    return tmp_path / "in"


@pytest.fixture
def clip(folder, tmp_path):
    shots.write_clip(images.find(folder), tmp_path / "in.mp4", 25)
    return tmp_path / "in.mp4"


def adapt(*arguments):
    result = CliRunner().invoke(main, ["adapt", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize("method", ["frame2frame", "restore_from_restored"])
@pytest.mark.parametrize("mode", [(), ("--online",)])
def test_a_clip_becomes_a_clip(clip, tmp_path, method, mode):
    result = adapt(clip, tmp_path / "out.mp4", "--method", method, *mode, *QUICK)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'out.mp4'}\n"
    assert "3 frames restored" in result.stderr
    assert len(shots.frames(tmp_path / "out.mp4")) == 3


def test_a_folder_becomes_a_folder_and_the_same_steps_give_the_same_frames(folder, tmp_path):
    for output in ("one", "two"):
        assert adapt(folder, tmp_path / output, *QUICK).exit_code == 0
    one, two = (images.find(tmp_path / output) for output in ("one", "two"))
    assert [path.name for path in one] == [path.name for path in images.find(folder)]
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(images.read(a).pixels, images.read(b).pixels)


def test_any_checkpoint_is_adapted(folder, tmp_path):
    tiny = save_restorer(tmp_path / "tiny.safetensors")
    result = adapt(folder, tmp_path / "out", "--weights", tiny, "--seconds", 0.1, *QUICK[2:])
    assert result.exit_code == 0, result.stderr


def test_one_frame_is_one_line_that_names_the_file_and_the_other_method(folder, tmp_path):
    for name in ("1.png", "2.png"):
        (folder / name).unlink()
    result = adapt(folder, tmp_path / "out", *QUICK)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {folder}: one frame")
    assert "restore_from_restored" in result.stderr
    assert not (tmp_path / "out").exists()
    result = adapt(folder, tmp_path / "out", "--online", *QUICK)
    assert result.exit_code == 0
    assert f"{folder}: restored without learning: one frame" in result.stderr


def test_a_damaged_frame_is_named(folder, tmp_path):
    (folder / "1.png").write_bytes(b"no picture")
    result = adapt(folder, tmp_path / "out", *QUICK)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "1.png: not a PNG" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (("--method", "frame2frames"), "did you mean 'frame2frame'", 2),
        (("--set", "rate=1"), "unknown setting 'rate'", 2),
        (("--steps", 2, "--seconds", 2), "not both", 2),
        (("--steps", 0), "--steps", 2),
        (("--task", "denoised"), "did you mean 'denoise'", 2),
        (("--tile", 1), "--tile: 1 is too small", 2),
    ],
)
def test_mistakes_are_said_and_nothing_is_written(folder, tmp_path, arguments, said, code):
    result = adapt(folder, tmp_path / "out", *arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_clip_of_a_killed_run_is_begun_anew_which_is_said(clip, tmp_path):
    target = tmp_path / "out.mp4"
    left = segments.folder_of(target)
    left.mkdir()
    for name in ("000000.nut", f"{PREFIX}a1b2c3d4.nut", manifest.NAME, locks.NAME):
        (left / name).write_bytes(b"cut")
    result = adapt(clip, target, *QUICK)
    assert f"{target}: an earlier run was not finished; begins anew\n" in result.stderr
    assert not left.exists()
    result = adapt(clip, tmp_path / "whole.mp4", *QUICK)
    assert "begins anew" not in result.stderr
    assert target.read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_the_input_is_never_overwritten(folder, clip):
    for path in (folder, clip):
        result = adapt(path, path, "--overwrite", *QUICK)
        assert result.exit_code == 1
        assert "input" in result.stderr
