"""`ssl-restore report` of a run of `fit`: what the page has of it, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pages import NOTHING, copied, error, evaluated, folder_of, page_of, refused, report
from tiny import pixels, write_photo

from ssl_restore.evaluation import scoring
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.networks import denoiser
from ssl_restore.training import checkpoint
from ssl_restore_cli.main import main


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run of two steps, with its pictures."""
    folder = tmp_path_factory.mktemp("learned")
    for index in range(3):
        write_photo(folder / "noisy" / f"{index}.png", 64, 80, seed=index)
    tiny = ["--from-scratch", "--set", "width=8", "--set", "batch=2", "--set", "patch=16"]
    call = ["fit", "--task", "denoise", "--images", folder / "noisy", "--steps", 2, *tiny,
            "-o", folder / "mine"]  # fmt: skip
    result = CliRunner().invoke(main, list(map(str, call)))
    assert result.exit_code == 0, result.output
    return folder / "mine"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "report.html"


def test_a_run_has_its_pictures_curves_noise_and_settings(run_folder, out):
    page = page_of(run_folder, out)
    assert page.texts("h1") == ["mine"]
    assert page.texts("p")[0] == "Run of fit: neighbor2neighbor, 2 steps"
    assert len(page.all("article")) == 3
    heading = (run_folder / "log.csv").read_text().splitlines()[0].split(",")
    curves = [name.replace("_", " ") for name in heading if name not in ("step", "seconds", "lr")]
    assert page.texts("figcaption") == curves
    assert len(page.all("img", class_="sample")) == 1
    assert "Measured noise" in page.texts("h2")
    assert "level" in page.table("Over the pictures of the folder")
    assert page.table("Training")["images"] == ["noisy"]
    assert page.table("Settings of the recipe")["batch"] == ["2"]
    assert str(run_folder.parent) not in out.read_text(encoding="utf-8")


def test_a_run_is_scored_as_evaluate_scores_its_weights(run_folder, out):
    weights = run_folder / "restorer.safetensors"
    page = page_of(run_folder, out)
    noisy = run_folder.parent / "noisy"
    means = page.table("Without a truth")
    expected = evaluated(noisy, "--weights", weights)
    assert list(expected) == ["input", "median 3x3", "restorer"]
    for method, values in expected.items():
        assert means[method] == [NOTHING.get(value, value) for value in values]


def test_a_run_restores_ten_bits_as_evaluate_does(run_folder, tmp_path, out):
    ten = folder_of(tmp_path / "ten", pixels(64, 80, dtype=np.uint16) // 64)
    clean = folder_of(tmp_path / "clean", pixels(64, 80, dtype=np.uint16, seed=1) // 64)
    page = page_of(run_folder, out, "--degraded", ten, "--clean", clean)
    expected = evaluated(ten, clean, "--weights", run_folder / "restorer.safetensors")
    assert page.table("Against the truth")["restorer"] == expected["restorer"]
    assert float(expected["restorer"][0]) > 10
    assert page.picture("a, after").mean() > 100


def test_the_restorers_of_a_run_restore_a_picture_once(run_folder, tmp_path, out, monkeypatch):
    areas = []
    forward = scoring.restore_pixels

    def counted(restorer, picture, **keywords):
        areas.append(picture.shape[:2])
        return forward(restorer, picture, **keywords)

    monkeypatch.setattr(scoring, "restore_pixels", counted)
    noisy = run_folder.parent / "noisy"
    page_of(run_folder, out, "--clean", noisy, "--limit", 2)
    assert areas == 2 * [(64, 80)]


def test_the_calibration_of_a_run_is_that_of_its_plan(run_folder, tmp_path, out):
    other = copied(run_folder, tmp_path)
    (other / "noise.json").rename(tmp_path / "given.json")
    plan = json.loads((other / "run.json").read_text())
    plan["settings"]["noise_calibration"] = str(tmp_path / "given.json")
    (other / "run.json").write_text(json.dumps(plan))
    (other / "rain.json").write_text("{")  # of no run
    assert "Measured noise" in page_of(other, out, "--limit", 1).texts("h2")
    (tmp_path / "given.json").unlink()
    result = report(other, "-o", out, "--overwrite", "--limit", 1)
    assert result.exit_code == 0
    assert "given.json: the calibration of the run is gone" in result.stderr


def test_a_run_is_compared_with_its_start(run_folder, tmp_path, out):
    started = copied(run_folder, tmp_path)
    weights = started / "restorer.safetensors"
    plan = json.loads((started / "run.json").read_text())
    (started / "run.json").write_text(json.dumps({**plan, "start": str(weights)}))
    page = page_of(started, out)
    assert any("start and restorer are one" in note for note in page.texts("li"))
    start = tmp_path / "start.safetensors"
    torch.manual_seed(0)
    other = denoiser.build(width=8).eval()
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    checkpoint.save(start, other, checkpoint.Header("denoise", "denoiser", {"width": 8}))
    (started / "run.json").write_text(json.dumps({**plan, "start": str(start)}))
    page = page_of(started, out, "--overwrite", "--limit", 1)
    assert "start" in page.texts("label")
    noisy = images.read(run_folder.parent / "noisy" / "0.png").pixels
    restored = restore(load_restorer(start, torch.device("cpu")), noisy)
    assert error(page.picture("0, start"), restored) < 5 < error(restored, noisy)
    expected = evaluated(run_folder.parent / "noisy", "--weights", start, "--limit", 1)
    legible = [NOTHING.get(value, value) for value in expected["restorer"]]
    assert page.table("Without a truth")["start"] == legible


def test_a_run_whose_pictures_are_gone_shows_the_rest(run_folder, tmp_path, out):
    moved = copied(run_folder, tmp_path)
    plan = (moved / "run.json").read_text().replace(str(run_folder.parent), str(tmp_path / "no"))
    (moved / "run.json").write_text(plan)
    result = report(moved, "-o", out)
    assert result.exit_code == 0
    assert "no pictures of the run are shown" in result.stderr
    assert "<article" not in out.read_text()
    assert "<figcaption" in out.read_text()


def test_a_run_that_has_not_begun(run_folder, tmp_path, out):
    begun = copied(run_folder, tmp_path)
    (begun / "restorer.safetensors").unlink()
    line = refused(begun, "-o", out)
    assert "saved nothing yet" in line
    assert "--resume" in line


@pytest.mark.parametrize(
    "log", [b"step,seconds,lr,restore\n1,2,3,four\n", b"\xff\xfe\x00\n\x00", b"a,b\n1,2\n", b""]
)
def test_a_damaged_log(run_folder, tmp_path, out, log):
    damaged = copied(run_folder, tmp_path)
    (damaged / "log.csv").write_bytes(log)
    assert "log.csv: damaged" in refused(damaged, "-o", out)


def test_a_row_that_a_kill_has_cut_is_left_out(run_folder, tmp_path, out):
    cut = copied(run_folder, tmp_path)
    with (cut / "log.csv").open("a") as file:
        file.write("3,4.5,0.0")
    assert page_of(cut, out).texts("p")[0].endswith("2 steps")


def test_a_damaged_calibration(run_folder, tmp_path, out):
    damaged = copied(run_folder, tmp_path)
    (damaged / "noise.json").write_text("{")
    assert "noise.json: no calibration" in refused(damaged, "-o", out)
