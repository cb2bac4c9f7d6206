"""Clips on the command line: every task takes them, and mistakes are one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from filmed import VARIABLE, film, packets
from tiny import save_restorer

from ssl_restore.inference.folders import restore_all
from ssl_restore.inference.load import load_restorer
from ssl_restore.io import folders, images, locks
from ssl_restore.io.clips import segments
from ssl_restore.io.clips.encoders import USUAL
from ssl_restore.io.clips.reader import Clip
from ssl_restore.io.locks import only_run
from ssl_restore.networks import upscaler
from ssl_restore.training import checkpoint
from ssl_restore_cli.main import main


@pytest.fixture
def clip(tmp_path):
    return film(tmp_path / "in.mp4")


@pytest.fixture
def weights(tmp_path):
    return save_restorer(tmp_path / "tiny.safetensors", task="denoise")


def run(*arguments, task="denoise"):
    result = CliRunner().invoke(main, [task, *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_clip_becomes_a_clip_with_its_sound(clip, tmp_path, weights):
    result = run(clip, tmp_path / "out.mp4", "--weights", weights, "--json")
    assert result.exit_code == 0, result.stderr
    assert "6 frames (" in result.stderr
    assert json.loads(result.stdout)["target"] == str(tmp_path / "out.mp4")
    found = Clip(tmp_path / "out.mp4")
    times = [1000 * frame.pts * found.time_base for frame in found.frames()]
    assert [float(time) for time in times] == pytest.approx(VARIABLE)
    assert packets(found.path) == packets(clip)


def test_a_clip_becomes_pictures_and_pictures_a_clip(clip, tmp_path, weights):
    options = ("--weights", weights, "--strength", 0)
    assert run(clip, f"{tmp_path}/frames/", *options).exit_code == 0
    pictures = images.find(tmp_path / "frames")
    assert [path.name for path in pictures[:2]] == ["in-0001.png", "in-0002.png"]
    for path, frame in zip(pictures, Clip(clip).frames(), strict=True):
        assert np.array_equal(images.read(path).pixels, frame.pixels())
    assert run(tmp_path / "frames", tmp_path / "again.mkv", *options).exit_code == 0
    for path, frame in zip(pictures, Clip(tmp_path / "again.mkv").frames(), strict=True):
        assert np.array_equal(images.read(path).pixels, frame.pixels())


def test_clips_of_a_folder_go_to_clips_beside_its_pictures(clip, tmp_path, weights):
    (tmp_path / "mixed").mkdir()
    clip.rename(tmp_path / "mixed" / "walk.mp4")
    images.write(tmp_path / "mixed" / "a.png", images.Picture(np.zeros((48, 64, 3), np.uint8)))
    (tmp_path / "mixed" / "bad.mkv").write_bytes(b"no clip")
    result = run(tmp_path / "mixed", tmp_path / "out", "--weights", weights)
    assert result.exit_code == 1
    assert "bad.mkv: not a clip" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".ssl-restore.jsonl", "a.png", "walk.mp4",
    ]  # fmt: skip
    again = run(tmp_path / "mixed", tmp_path / "out", "--weights", weights, "--skip-existing")
    assert "2 exist already" in again.stderr


def test_a_run_that_was_stopped_goes_on(clip, tmp_path, weights, monkeypatch):
    monkeypatch.setattr(segments, "frames_each", lambda samples: 2)
    call = (clip, tmp_path / "out.mkv", "--weights", weights)
    assert run(*call).exit_code == 0
    whole = (tmp_path / "out.mkv").read_bytes()
    (tmp_path / "out.mkv").unlink()
    write = segments.Pieces.write

    def failing(self, number, encoder, frames):
        if number == 2:
            raise KeyboardInterrupt
        write(self, number, encoder, frames)

    monkeypatch.setattr(segments.Pieces, "write", failing)
    assert run(*call).exit_code != 0
    monkeypatch.setattr(segments.Pieces, "write", write)
    assert "--skip-existing goes on with them" in run(*call).stderr
    result = run(*call, "--skip-existing")
    assert "2 frames (" in result.stderr
    assert (tmp_path / "out.mkv").read_bytes() == whole


def test_a_solver_restores_frame_by_frame(clip, tmp_path):
    result = run(clip, tmp_path / "out.mkv", "--method", "dark_channel", task="dehaze")
    assert result.exit_code == 0, result.stderr
    assert len(list(Clip(tmp_path / "out.mkv").frames())) == len(VARIABLE)


@pytest.mark.parametrize("options", [("--zero-shot",), ()])
def test_frames_of_a_clip_that_is_too_large_all_fail_in_one_line(clip, tmp_path, weights, options):
    options = options or ("--weights", weights)
    result = run(clip, f"{tmp_path}/out/", "--max-pixels", 1000, "--json", *options)
    assert result.exit_code == 1
    assert "6 of 6 pictures could not be restored" in result.stderr
    assert result.stderr.count("64 x 48 is over the limit") == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["status"] for line in lines] == ["failed"] * len(VARIABLE)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="lists of open files are of Linux")
def test_clips_of_a_folder_are_open_one_at_a_time_and_their_times_read_once(
    tmp_path, weights, monkeypatch
):
    (tmp_path / "in").mkdir()
    for name in "abcd":
        film(tmp_path / "in" / f"{name}.mp4", times=(0, 40), sound=None)
    read_timing, read, most = Clip._read_timing, [], []
    monkeypatch.setattr(Clip, "_read_timing", lambda c: (read.append(c.path), read_timing(c))[1])
    restorer = load_restorer(weights, torch.device("cpu"), task="denoise")

    def open_clips():
        links = [Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
        files = [os.readlink(link) for link in links if link.is_symlink()]
        most.append(len({file for file in files if file.startswith(f"{tmp_path / 'in'}")}))

    jobs = folders.plan(tmp_path / "in", tmp_path / "out", clips=USUAL)
    assert restore_all(jobs, restorer, frame_done=open_clips) == []
    assert max(most) == 1
    assert sorted(path.stem for path in read) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("command", "output", "said"),
    [
        ("denoise", "out", "another run is writing into it"),
        ("adapt", "out", "another run is writing into it"),
        ("denoise", "out.mkv", "another run is making it"),
    ],
)
def test_a_second_run_on_a_clip_is_refused(clip, tmp_path, weights, command, output, said):
    target = tmp_path / output
    folder = segments.folder_of(target) if target.suffix else target
    with only_run(folder):
        result = run(clip, target, "--weights", weights, "--overwrite", task=command)
        assert [path.name for path in folder.iterdir()] == [locks.NAME]
    assert (result.exit_code, result.stderr.count(f"{target}: {said}")) == (1, 1)


def test_larger_frames_keep_time_and_sound(clip, tmp_path):
    tiny, keywords = tmp_path / "up.safetensors", {"width": 4, "blocks": 1}
    header = checkpoint.Header("upscale", "upscaler", keywords)
    checkpoint.save(tiny, upscaler.build(**keywords), header)
    assert run(clip, tmp_path / "out.mp4", "--weights", tiny, task="upscale").exit_code == 0
    assert Clip(tmp_path / "out.mp4").size == (96, 128)
    assert packets(tmp_path / "out.mp4") == packets(clip)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("out.mkv", "--codec", "h266"), "--codec: 'h266' is unknown"),
        (("out.mkv", "--codec", "ffv1", "--crf", "3"), "--crf: ffv1 loses nothing"),
        (("out.png",), "unknown suffix '.png'"),
        (("in.mp4", "--overwrite"), "is the input itself"),
    ],
)
def test_mistakes_are_one_line(clip, tmp_path, weights, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    result = run(clip, *arguments, "--weights", weights)
    assert result.exit_code == (1 if "in.mp4" in arguments else 2)
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "tiny.safetensors"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    clip = film(tmp_path / "in.mp4", sound=None, size=(320, 240))
    code = f"""
import resource, sys
from pathlib import Path
from ssl_restore.errors import UserError
from ssl_restore.io.clips import writer
from ssl_restore.io.clips.reader import Clip
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    writer.write(Clip(Path({str(clip)!r})), Path({str(tmp_path / "out.mkv")!r}),
                 lambda frames: ((f.pts, f.planes) for f in frames))
except UserError as error:
    sys.exit(str(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"{tmp_path / 'out.mkv'}: could not be saved (File too large); kept as it was\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
