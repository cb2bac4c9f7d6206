"""Standard input and output as pictures, and JSON for scripts."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from deraining import derain, names
from PIL import Image
from tiny import save_restorer, write_photo

from ssl_restore.io import images
from ssl_restore.io.images import Picture
from ssl_restore_cli.errors import Failed
from ssl_restore_cli.main import main
from ssl_restore_cli.streams import Streams


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


def piped(tiny, *arguments, given=b""):
    call = ["derain", *map(str, arguments), "--weights", str(tiny), "--precision", "fp32"]
    result = CliRunner().invoke(main, call, input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_picture_comes_from_standard_input_and_goes_to_standard_output(tiny, tmp_path, suffix):
    source = write_photo(tmp_path / f"a{suffix}")
    assert derain(source, tmp_path / f"b{suffix}", "--weights", tiny).exit_code == 0
    result = piped(tiny, "-", "-", given=source.read_bytes())
    assert result.exit_code == 0
    assert result.stdout_bytes == (tmp_path / f"b{suffix}").read_bytes()
    assert "1 restored" in result.stderr


def test_one_of_both_may_be_a_file(tiny, tmp_path):
    source = write_photo(tmp_path / "a.png")
    result = piped(tiny, "-", tmp_path / "b.png", given=source.read_bytes())
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'b.png'}\n")
    out = piped(tiny, source, "-")
    assert out.stdout_bytes == (tmp_path / "b.png").read_bytes()
    assert names(tmp_path) == ["a.png", "b.png"]


def test_the_format_of_standard_output_can_be_chosen(tiny, tmp_path):
    given = write_photo(tmp_path / "a.png").read_bytes()
    result = piped(tiny, "-", "-", "--format", "jpg", given=given)
    assert Image.open(io.BytesIO(result.stdout_bytes)).format == "JPEG"
    gif = io.BytesIO()
    Image.open(tmp_path / "a.png").save(gif, "GIF")
    result = piped(tiny, "-", "-", given=gif.getvalue())  # which is not written
    assert Image.open(io.BytesIO(result.stdout_bytes)).format == "PNG"


@pytest.mark.parametrize(
    ("given", "words"),
    [(b"", "standard input: is empty"), (b"rain", "standard input: not a PNG"),
     (b"\x89PNG\r\n\x1a\n12", "standard input: damaged")],
)  # fmt: skip
def test_faults_name_standard_input(tiny, given, words):
    result = piped(tiny, "-", "-", given=given)
    assert result.exit_code == 1
    assert result.stdout_bytes == b""
    assert result.stderr.startswith(f"Error: {words}")
    assert result.stderr.count("\n") == 1


def test_what_does_not_go_through_a_pipe_is_refused(tiny, tmp_path):
    source = write_photo(tmp_path / "in" / "a.png")
    assert "leave the other inputs out" in piped(tiny, "-", source, tmp_path / "out").stderr
    result = piped(tiny, tmp_path / "in", "-")
    assert result.exit_code == 2
    assert "one picture goes to standard output" in result.stderr
    assert "give one" in piped(tiny, source, "-", "--json").stderr


def test_alpha_that_the_format_lacks_is_one_line(tiny, tmp_path):
    picture = Picture(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8))
    images.write(tmp_path / "a.png", picture)
    result = piped(tiny, "-", "-", "--format", "jpg", given=(tmp_path / "a.png").read_bytes())
    assert result.exit_code == 1
    assert "standard output.jpg: JPEG cannot store the alpha" in result.stderr


def test_inpaint_takes_streams_too(tmp_path):
    source = write_photo(tmp_path / "a.png", 32, 32)
    mask = np.zeros((32, 32, 3), np.uint8)
    mask[4:8, 4:8] = 255
    images.write(tmp_path / "mask.png", Picture(mask))
    call = ["inpaint", "-", "-", "--mask", str(tmp_path / "mask.png"), "--steps", "1"]
    result = CliRunner().invoke(main, call, input=source.read_bytes())
    assert result.exit_code == 0, result.stderr
    assert Image.open(io.BytesIO(result.stdout_bytes)).size == (32, 32)


# --- JSON ----------------------------------------------------------------------------------------


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_line_of_json_for_each_picture(tiny, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        write_photo(tmp_path / "in" / name)
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    call = (tmp_path / "in", tmp_path / "out", "--weights", tiny, "--json")
    result = derain(*call)
    assert result.exit_code == 1
    found = {line["source"]: line for line in lines(result)}
    assert len(found) == 3
    good, bad = (found[str(tmp_path / "in" / name)] for name in ("a.png", "b.png"))
    target = str(tmp_path / "out" / "a.png")
    assert good == {"source": good["source"], "target": target, "status": "restored"}
    assert bad["status"] == "failed"
    assert bad["error"].startswith(bad["source"])
    (tmp_path / "in" / "b.png").unlink()
    again = derain(*call, "--skip-existing", "--layers", tmp_path / "taken")
    assert {line["status"] for line in lines(again)} == {"restored"}
    assert "layer" in lines(again)[0]
    again = derain(*call, "--skip-existing", "--layers", tmp_path / "taken")
    assert [line["status"] for line in lines(again)] == ["exists", "exists"]


def test_json_names_standard_input(tiny, tmp_path):
    given = write_photo(tmp_path / "a.png").read_bytes()
    result = piped(tiny, "-", tmp_path / "b.png", "--json", given=given)
    assert lines(result) == [
        {"source": "standard input", "target": str(tmp_path / "b.png"), "status": "restored"}
    ]


def test_scores_as_json(tiny, tmp_path):
    for folder in ("rainy", "clean"):
        write_photo(tmp_path / folder / "a.png")
    call = ["evaluate", tmp_path / "rainy", tmp_path / "clean", "--weights", tiny, "--json"]
    result = CliRunner().invoke(main, list(map(str, call)))
    found = lines(result)
    assert [line["method"] for line in found] == ["input", "opening 1x5", "restorer"]
    assert found[0]["psnr_rgb"] is None  # infinite, which JSON does not have
    assert found[2]["name"] == "a"
    assert found[2]["degraded"] == str(tmp_path / "rainy" / "a.png")
    assert isinstance(found[2]["ssim_y"], float)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is the full disk")
def test_standard_output_on_a_full_disk_is_one_line(tiny, tmp_path):
    write_photo(tmp_path / "a.png")
    call = [sys.executable, "-m", "ssl_restore", "derain", "a.png", "b.png", "--weights", tiny]
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            call, check=False, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("Error: output: No space left on device")
    assert "Traceback" not in result.stderr
    assert (tmp_path / "b.png").exists()


@pytest.mark.parametrize(("source", "target"), [("-", "b.png"), ("a.png", "-")])
def test_a_closed_stream_is_named(tmp_path, monkeypatch, source, target):
    write_photo(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin" if source == "-" else "stdout", None)
    with pytest.raises(Failed, match=r"standard (in|out)put is closed"):
        Streams([source], target, None).__enter__()


def test_without_standard_error_it_works(tiny, tmp_path):
    write_photo(tmp_path / "a.png")
    call = [sys.executable, "-m", "ssl_restore", "derain", "a.png", "b.png", "--weights", tiny]
    result = subprocess.run(call, check=False, cwd=tmp_path, preexec_fn=lambda: os.close(2))
    assert result.returncode == 0
    assert (tmp_path / "b.png").exists()
