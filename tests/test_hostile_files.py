"""Files that are made to do harm: one line, and nothing is written outside the folder."""

from __future__ import annotations

import json
import math
import struct

import pytest
import torch
from calls import fit, ssl_restore
from conftest import save_pictures
from deraining import derain, names, refused
from learning import plan_for
from tiny import save_restorer, write_photo

from ssl_restore.calibration import haze, noise, rain_file
from ssl_restore.errors import UserError
from ssl_restore.evaluation import scoring
from ssl_restore.io import manifest
from ssl_restore.io.fields import checked
from ssl_restore.io.manifest import Manifest, State
from ssl_restore.training import checkpoint, request
from ssl_restore.training.run import Run, RunPlan

CPU = torch.device("cpu")
DEEP = "[" * 100_000


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# --- checkpoints --------------------------------------------------------------------------------


def with_header(path, target, change):
    """A copy of a checkpoint whose header (text) was changed."""
    data = path.read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    text = change(data[8:end].decode()).encode()
    target.write_bytes(struct.pack("<Q", len(text)) + text + data[end:])
    return target


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_a_length_that_lies_is_one_line(weights, tmp_path, length):
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", length) + weights.read_bytes()[8:])
    with pytest.raises(UserError, match=r"a\.safetensors: not a safetensors file") as error:
        checkpoint.load(tmp_path / "a.safetensors")
    one_line(error)


@pytest.mark.parametrize(
    "keywords",
    [{"width": 10**9}, {"width": 10**5}, {"width": 1e300}, {"blocks": (10**9, 1)}, {"width": -4},
     {"blocks": (4,) * 4000}, {"width": "4"}, {"blocks": None}, {"width": [[[]]]}, {"evil": 1}],
)  # fmt: skip
def test_a_network_that_takes_more_than_its_weights_is_never_built(weights, tmp_path, keywords):
    text = json.dumps({"width": 4, "blocks": [1, 1], **keywords}).replace('"', '\\"')
    path = with_header(
        weights, tmp_path / "a.safetensors",
        lambda header: header.replace('{\\"width\\": 4, \\"blocks\\": [1, 1]}', text),
    )  # fmt: skip
    assert path.read_bytes() != weights.read_bytes()
    with pytest.raises(UserError, match=r"damaged|not those of its network") as error:
        checkpoint.load(path)
    one_line(error)


@pytest.mark.parametrize(
    ("key", "value"),
    [("task", 3), ("task", None), ("step", "x"), ("seed", [1]), ("data", {"a": 1}), ("data", 7),
     ("settings", "x"), ("recipe", {}), ("coarse_from", 0.5), ("coarse_from", True),
     ("keywords", []), ("format", "2"), ("evil", 1)],
)  # fmt: skip
def test_a_header_of_wrong_types_is_one_line(weights, tmp_path, key, value):
    def change(header):
        whole = json.loads(header)
        own = json.loads(whole["__metadata__"]["ssl_restore"]) | {key: value}
        whole["__metadata__"]["ssl_restore"] = json.dumps(own)
        return json.dumps(whole)

    with pytest.raises(UserError, match="checkpoint") as error:
        checkpoint.load(with_header(weights, tmp_path / "a.safetensors", change))
    one_line(error)


def test_a_header_without_end_is_one_line(weights, tmp_path):
    def change(header):
        whole = json.loads(header)
        whole["__metadata__"]["ssl_restore"] = DEEP
        return json.dumps(whole)

    with pytest.raises(UserError, match="not a checkpoint") as error:
        checkpoint.load(with_header(weights, tmp_path / "a.safetensors", change))
    one_line(error)


def test_names_of_weights_lead_to_no_file(weights, tmp_path):
    (tmp_path / "in").mkdir()
    path = with_header(
        weights, tmp_path / "in" / "a.safetensors",
        lambda header: header.replace('"decoder', '"../../decoder'),
    )  # fmt: skip
    with pytest.raises(UserError, match="not those of its network"):
        checkpoint.load(path)
    assert names(tmp_path) == ["in/a.safetensors"]


# --- what runs go on with -----------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """A run folder that `request.resume` accepts, but for its data."""
    rainy, clean = (save_pictures(tmp_path / kind, 2) for kind in ("rainy", "clean"))
    Run(tmp_path / "run").create(plan_for(rainy, clean))
    return tmp_path / "run"


@pytest.mark.parametrize(
    "change",
    [{"steps": "4"}, {"steps": -1}, {"seconds": 5.0, "steps": None, "parts": 0}, {"seed": None},
     {"steps": None}, {"images": 3}, {"data": []}, {"settings": 3}, {"settings": {"widu": 4}},
     {"settings": {"width": "x"}}, {"settings": {"lr": math.nan}}, {"recipe": "../evil"},
     {"recipe": ["a"]}, {"recipe": "no.py"}, {"format": {}}, {"evil": 1}, {"recursive": 1}],
)  # fmt: skip
def test_a_run_json_of_wrong_values_is_one_line(run, change):
    plan = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**plan, **change}))
    with pytest.raises(UserError) as error:
        request.resume(run, CPU)
    one_line(error)


@pytest.mark.parametrize("text", ["", "[]", "3", "null", DEEP, '{"format": 2}', "\udcff"])
def test_a_run_json_that_is_none_is_one_line(run, text):
    (run / "run.json").write_text(text, errors="surrogateescape")
    with pytest.raises(UserError, match=r"run\.json: damaged") as error:
        request.resume(run, CPU)
    one_line(error)


def test_a_damaged_log_is_named(run):
    (run / "log.csv").write_text("step,seconds\nmany,1\n")
    with pytest.raises(UserError, match=r"log\.csv: damaged"):
        Run(run).trim_log(5)


def test_fields_are_of_the_annotated_types():
    plan = {"recipe": "a", "settings": {}, "seed": 0, "steps": 1, "seconds": None, "images": None,
            "clean": None, "start": None}  # fmt: skip
    assert checked(RunPlan, plan).steps == 1
    for wrong in ({"steps": True}, {"seed": 1.5}, {"data": {"a": None}}, {"images": 1}):
        with pytest.raises(TypeError):
            checked(RunPlan, {**plan, **wrong})


# --- calibrations -------------------------------------------------------------------------------


def calibration(kind, path):
    if kind == "rain":
        row = rain_file.PictureRain("0.png", 1.0, rain_file.MeasuredRain(), 1.0, 0.1, 0.2, 0.3)
        rain_file.RainCalibration((row,), ("1.png",)).write(path)
        return rain_file.read
    if kind == "noise":
        row = noise.PictureNoise("0.png", 0.0, 0.1, 0.1, 0.0, 1.0, 0.0)
        noise.NoiseCalibration((row,)).write(path)
        return noise.NoiseCalibration.read
    haze.HazeCalibration((haze.PictureHaze(file="0.png"),)).write(path)
    return haze.HazeCalibration.read


@pytest.mark.parametrize("kind", ["rain", "noise", "haze"])
def test_a_calibration_of_wrong_values_is_one_line(tmp_path, kind):
    read = calibration(kind, tmp_path / "a.json")
    whole = json.loads((tmp_path / "a.json").read_text())
    assert read(tmp_path / "a.json").pictures
    number = next(name for name, v in whole["pictures"][0].items() if isinstance(v, float))
    texts = ["[]", "3", DEEP, json.dumps({**whole, "format": []})]
    for pictures in ([3], [{}], "x", None, []):
        texts.append(json.dumps({**whole, "pictures": pictures}))
    for value in ("1", None, [1], math.nan, math.inf, True):
        texts.append(json.dumps({**whole, "pictures": [{**whole["pictures"][0], number: value}]}))
    texts.append(json.dumps({**whole, "pictures": [{**whole["pictures"][0], "file": 3}]}))
    texts.append(json.dumps({**whole, "version": []}))
    for text in texts:
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(UserError, match=r"a\.json: ") as error:
            read(tmp_path / "a.json")
        one_line(error)


@pytest.mark.parametrize("change", [{"length_px": 1e9}, {"coverage": 1e6}, {"length_spread": 9}])
def test_rain_that_nobody_could_draw_is_refused(tmp_path, change):
    read = calibration("rain", tmp_path / "a.json")
    whole = json.loads((tmp_path / "a.json").read_text())
    whole["pictures"][0] |= change
    (tmp_path / "a.json").write_text(json.dumps(whole))
    with pytest.raises(UserError, match=f"damaged .{next(iter(change))}"):
        read(tmp_path / "a.json")


# --- manifests and links ------------------------------------------------------------------------


def test_a_manifest_that_leads_out_of_its_folder_writes_nothing_there(weights, tmp_path):
    save_pictures(tmp_path / "in", 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "letter").write_text("dear")
    lines = [{"file": "../letter", "by": "x", "source": [1, 2], "written": [4, 5, "d"]},
             {"file": ["0.png"], "by": {}, "source": "ab", "written": {}},
             {"settings": "../letter", "key": ["../letter"]}]  # fmt: skip
    text = "\n".join(map(json.dumps, lines)) + f"\n{DEEP}\n"
    (tmp_path / "out" / manifest.NAME).write_text(text)
    call = (tmp_path / "in", tmp_path / "out", "--weights", weights, "--skip-existing")
    assert derain(*call).exit_code == 0
    assert "2 exist already" in derain(*call).stderr
    assert Manifest(tmp_path / "out", {}).state(tmp_path / "out" / "2.png", (1, 2)) is State.NONE
    assert (tmp_path / "letter").read_text() == "dear"
    (tmp_path / "out" / manifest.NAME).unlink()
    (tmp_path / "out" / manifest.NAME).symlink_to(tmp_path / "letter")
    result = derain(*call, "--overwrite")
    assert result.exit_code == 1
    assert (tmp_path / "letter").read_text() == "dear"


def test_a_link_out_of_the_folder_of_results_is_refused(weights, tmp_path):
    write_photo(tmp_path / "in" / "deep" / "a.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").symlink_to(tmp_path / "elsewhere")
    line = refused(
        tmp_path / "in", tmp_path / "out", "--weights", weights, "--recursive", "--skip-existing"
    )
    assert f"{tmp_path / 'out' / 'deep'}: is a link that leads out of" in line
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "rainy").symlink_to(tmp_path / "elsewhere")
    code, line = ssl_restore("synth-rain", tmp_path / "in" / "deep", tmp_path / "set")
    assert (code, "is a link that leads out of" in line) == (1, True)
    assert names(tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    "text", ["3\n", '{"name": [1], "photo": "", "photo_bytes": 1}\n', f"{DEEP}\n"]
)
def test_a_damaged_line_of_a_data_set_is_named(tmp_path, text):
    save_pictures(tmp_path / "photos", 1)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "meta.jsonl").write_text(text)
    code, line = ssl_restore("synth-rain", tmp_path / "photos", tmp_path / "set")
    assert code == 1
    assert "meta.jsonl: line 1 is damaged; delete that line" in line


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rainy", "clean"])
def test_a_run_is_not_put_among_the_pictures_it_learns_from(tmp_path, kind):
    for name in ("rainy", "clean"):
        save_pictures(tmp_path / name, 2)
    before = names(tmp_path)
    code, line = fit(tmp_path, tmp_path / kind)
    assert code == 1
    assert "give the run a folder of its own" in line
    assert names(tmp_path) == before


def test_pictures_that_are_their_truths_are_counted_and_no_part_of_the_mean():
    def score(psnr):
        return scoring.Score("a", "input", {"psnr_rgb": psnr, "ssim_rgb": 1.0}, None, 1)

    lines = scoring.table([score(math.inf), score(30.0)])
    assert lines[1].split()[1] == "30.00"
    assert "input: 1 of the pictures the same as the truth" in lines[-1]
    assert scoring.table([score(math.inf)])[1].split()[1] == "same"
