"""benchmarks/compare_checkouts.py: what counts as a difference of two results, and how large."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import checkout_cases
import compare_checkouts as benchmark
import differences

SPEAKER = """
import sys
from pathlib import Path
print(f"{Path.cwd()}: {' '.join(sys.argv[1:])}, 3 pictures in 0.5 s")
sys.exit("too bad" if "bad" in sys.argv else 0)
"""


@pytest.fixture
def sides(tmp_path):
    for side in ("old", "new"):
        (tmp_path / side / "run").mkdir(parents=True)
    return tmp_path / "old", tmp_path / "new"


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose ssl-restore says where it is and what it was given."""
    programs = tmp_path / "checkout" / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "ssl-restore").write_text(SPEAKER)
    return tmp_path / "checkout"


def write(sides, name, old, new):
    for folder, text in zip(sides, (old, new), strict=True):
        (folder / name).write_text(text if isinstance(text, str) else json.dumps(text))


def save(sides, name, old, new, **keywords):
    for folder, pixels in zip(sides, (old, new), strict=True):
        Image.fromarray(pixels).save(folder / name, **keywords)


def judged(sides):
    return differences.verdict(differences.compare_folders(*sides))


def test_times_versions_and_the_places_of_files_are_left_out(sides):
    plan = {"seconds": 1.5, "version": "1", "start": "/a/b/derain.safetensors", "lr": float("nan")}
    other = {"seconds": 2, "version": "2", "start": "/a/c/d/derain.safetensors", "lr": float("nan")}
    write(sides, "run.json", plan, other)
    write(sides, "meta.jsonl", json.dumps(plan) + "\n", json.dumps(other) + "\n")
    write(sides, "log.csv", "step,seconds\n1,0.5\n", "step,seconds\n1,0.7\n")
    assert judged(sides) == (True, "same")


def test_the_largest_difference_of_values_is_told(sides):
    old = {"drawn": {"angle": [0.1, 0.2], "preset": "storm", "gone": 1}}
    new = {"drawn": {"angle": [0.1, 0.5], "preset": "night"}}
    write(sides, "meta.json", old, new)
    found = differences.compare_files(*(folder / "meta.json" for folder in sides))
    whats = [difference.what for difference in found]
    assert whats == ["drawn.angle[1]", "drawn.preset: 'storm' against 'night'",
                     "drawn.gone is only in OLD"]  # fmt: skip
    assert found[0].size == pytest.approx(0.3)
    assert not differences.verdict([("meta.json", found[0])])[0]
    assert list(differences.differences([1, 2], [1]))
    assert next(differences.differences(1.0, float("nan"))).size == float("inf")


def test_keys_may_have_new_names_and_not_new_values(sides):
    write(sides, "a.json", {"doubt": {"x": 1}, "y": 2}, {"y": 2, "uncertainty": {"x": 1}})
    same, line = judged(sides)
    assert (same, line) == (True, "same  (not counted: a.json: doubt is uncertainty in NEW)")
    write(sides, "a.json", {"doubt": {"x": 1}, "y": 2}, {"y": 2.5, "uncertainty": {"x": 2}})
    same, line = judged(sides)
    assert not same
    wanted = "differs: a.json: doubt.x, largest difference 1 and y, largest difference 0.5  ("
    assert line.startswith(wanted)


def test_columns_are_compared_by_heading_or_else_by_place(sides):
    write(sides, "log.csv", "step,seconds,loss\n1,0.1,0.5\n", "loss,step,seconds\n0.5,1,0.9\n")
    assert judged(sides) == (True, "same")
    write(sides, "log.csv", "step,seconds,loss\n1,0.1,0.5\n", "step,time,restore\n1,0.9,0.5\n")
    same, line = judged(sides)
    assert same
    assert "headings differ: seconds is time, loss is restore" in line
    write(sides, "log.csv", "step,seconds,loss\n1,0.1,0.5\n", "step,time,restore\n1,0.1,0.75\n")
    same, line = judged(sides)
    assert not same
    assert "loss in row 1, largest difference 0.25" in line
    write(sides, "log.csv", "step\n1\n", "step\n1\n2\n")
    assert "1 rows against 2" in judged(sides)[1]


def test_pictures_are_compared_by_pixels_alpha_and_profile(sides):
    pixels = np.random.default_rng(0).integers(0, 250, (8, 10, 4), np.uint8)
    save(sides, "a.png", pixels, pixels)
    for folder, level in zip(sides, (0, 9), strict=True):  # other bytes, the same picture
        Image.fromarray(pixels).save(folder / "a.png", compress_level=level)
    assert judged(sides) == (True, "same")
    for place, what in ((0, "pixels, 0.42%"), (3, "alpha, 1.25%")):
        changed = pixels.copy()
        changed[2, 3, place] += 5
        save(sides, "a.png", pixels, changed)
        same, line = judged(sides)
        assert not same
        assert what in line
        assert line.endswith("largest difference 5")
    save(sides, "a.png", pixels, pixels[:, :, :3])
    assert "alpha is only in OLD" in judged(sides)[1]
    save(sides, "a.png", pixels, pixels)
    Image.fromarray(pixels).save(sides[1] / "a.png", icc_profile=b"a profile")
    assert "another ICC profile" in judged(sides)[1]


def test_a_picture_of_another_depth_or_size_differs(sides):
    grey = np.arange(80, dtype=np.uint8).reshape(8, 10)
    save(sides, "a.png", grey, grey.astype(np.uint16))
    assert "uint8 against (8, 10) uint16" in judged(sides)[1]
    save(sides, "a.png", grey, grey[1:])
    assert "(8, 10) uint8 against (7, 10)" in judged(sides)[1]
    (sides[1] / "a.png").write_bytes(b"no picture")
    assert "cannot be compared" in judged(sides)[1]


def test_the_largest_difference_of_weights_is_told_first(sides):
    weights = {"a": torch.zeros(2, 3), "b": torch.ones(4, dtype=torch.float16)}
    changed = {"a": weights["a"] + 1e-3, "b": weights["b"] + 0.25}
    for folder, held in zip(sides, (weights, changed), strict=True):
        header = {"ssl_restore": json.dumps({"network": folder.name})}
        save_file(held, folder / "restorer.safetensors", header)
        torch.save({"seconds": len(folder.name), "net": held}, folder / "state.pt")
    write(sides, "a.json", {"n": 1}, {"n": 2})
    same, line = judged(sides)
    assert not same
    wanted = "differs: restorer.safetensors: b, 100.00% of the values, largest difference 0.25 and "
    assert line.startswith(f"{wanted}a, 100.00% of the values, largest difference 0.001; a.json: n")
    assert "state.pt: net.b, 100.00% of the values" in line
    assert "(not counted: restorer.safetensors: header: ssl_restore.network" in line
    save_file(weights, sides[1] / "restorer.safetensors", {"ssl_restore": '{"network": "new"}'})
    found = differences.compare_files(*(folder / "restorer.safetensors" for folder in sides))
    assert [difference.counts for difference in found] == [False]


def test_files_are_paired_by_name_and_a_lone_one_of_its_suffix_by_that(sides):
    old = {"a.png", "run/log.csv", "run/x.png", "run/y.png"}
    new = {"a.png", "run/history.csv", "run/z.png", "log.csv"}
    assert list(differences.paired(old, new)) == [
        ("a.png", "a.png"), (None, "log.csv"), ("run/log.csv", "run/history.csv"),
        ("run/x.png", None), ("run/y.png", None), (None, "run/z.png"),
    ]  # fmt: skip
    (sides[0] / "run" / "log.csv").write_text("step\n1\n")
    (sides[1] / "run" / "history.csv").write_text("step\n1\n")
    same, line = judged(sides)
    assert (same, line) == (True, "same  (not counted: run/log.csv: is run/history.csv in NEW)")
    (sides[1] / "out.png").touch()
    assert judged(sides)[1].startswith("differs: out.png: only in NEW")


def test_times_in_texts_and_below_their_headings_are_masked():
    said = "1 restored, 0.2 Mpixel in 1.5 s (0.13 Mpixel/s); 3 sizes, 26 dB"
    masked = "1 restored, 0.2 Mpixel in # s (# Mpixel/s); 3 sizes, 26 dB"
    assert differences.without_times(said) == masked
    table = ["             PSNR Y   seconds  Mpixel/s",
             "input         27.23         -         -",
             "restorer      34.89      0.08      2.26",
             "out.png"]  # fmt: skip
    masked = differences.without_times("\n".join(table)).splitlines()
    assert masked[0] == table[0]
    assert masked[2].split() == ["restorer", "34.89", "#", "#"]
    assert masked[1][:20] == table[1][:20]
    assert masked[3] == "out.png"
    slower = "\n".join(table).replace("0.08      2.26", "10.80      0.02").replace("  10", " 10")
    assert differences.without_times(slower).splitlines() == masked
    worse = "\n".join(table).replace("34.89", "34.88")
    assert differences.without_times(worse).splitlines() != masked


def test_what_commands_say_is_compared_without_the_place_and_failures_are_told(checkout, tmp_path):
    commands = (("derain", "in.png"), ("fit", "--steps", "3"))
    folders = [tmp_path / name / "case" for name in ("one", "two", "three")]
    cases = [checkout_cases.Case("case", commands)] * 2 + [
        checkout_cases.Case("case", commands[:1])
    ]
    failures = [benchmark.run_case(checkout, case, folder)
                for case, folder in zip(cases, folders, strict=True)]  # fmt: skip
    assert failures == [None] * 3
    assert "FOLDER: fit --steps 3" in (folders[0] / "stdout.txt").read_text()
    assert benchmark.judge(failures[:2], *folders[:2]) == (True, "same")
    assert "stdout.txt: line" in benchmark.judge(failures[1:], *folders[1:])[1]
    bad = benchmark.run_case(
        checkout, checkout_cases.Case("bad", (("bad",), ("fit",))), tmp_path / "b"
    )
    assert bad == "ssl-restore bad: exit code 1: too bad"
    assert benchmark.judge([bad, None], *folders[:2]) == (
        False, f"differs: a command fails, OLD: {bad}",
    )  # fmt: skip
    assert not benchmark.judge([bad, bad], *folders[:2])[0]


def test_messages_on_stderr_are_told_and_do_not_count(sides):
    said = "a long line of text: noise measured 0.06"
    write(sides, "stderr.txt", f"{said}5 in 3 s\n", f"{said}6 in 4 s\n")
    same, line = judged(sides)
    assert same
    assert "line 1: ' noise measured 0.065 in # s' against ' noise measured 0.066 in # s'" in line


def test_the_scratch_folder_is_new_and_lies_in_no_checkout(tmp_path):
    (tmp_path / "old").mkdir()
    with pytest.raises(SystemExit, match="lies in"):
        benchmark.scratch(tmp_path / "old" / "deeper", [tmp_path / "old"])
    assert benchmark.scratch(tmp_path / "older", [tmp_path / "old"]).is_dir()
    (tmp_path / "older" / "file").touch()
    with pytest.raises(SystemExit, match="exists"):
        benchmark.scratch(tmp_path / "older", [tmp_path / "old"])


def test_inputs_are_the_same_each_time_and_cases_have_names_of_their_own(tmp_path):
    samples = tmp_path / "samples"
    (samples / "photos").mkdir(parents=True)
    draws = np.random.default_rng(0)
    for name in ("rainy_example.png", "photos/a.jpg", "photos/b.jpg", "photos/c.jpg"):
        pixels = draws.integers(0, 256, (32, 48, 3), np.uint8)
        Image.fromarray(pixels).resize((480, 320)).save(samples / name)
    for name in ("one", "two"):
        checkout_cases.write_inputs(samples, tmp_path / name)
    found = differences.compare_folders(tmp_path / "one", tmp_path / "two")
    assert differences.verdict(found) == (True, "same")
    kinds = {path.name: differences.read(path) for path in (tmp_path / "one" / "kinds").iterdir()}
    assert kinds["deep_alpha.png"]["alpha"].dtype == np.uint16
    assert kinds["grey.png"]["pixels"].ndim == 2
    assert kinds["profile.png"]["ICC profile"]
    assert kinds["turned.jpg"]["EXIF"]
    cases = checkout_cases.cases(tmp_path, ["derain_unpaired", "mine"], ["haze"])
    names = [case.name for case in cases]
    assert {"fit/derain_unpaired", "fit/mine", "synth/haze"} <= set(names)
    assert len(set(names)) == len(names)
