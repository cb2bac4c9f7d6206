"""Calibration: what it finds on rain that is known, its file, its command, and `fit` with it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from conftest import save_pictures

import ssl_restore_samples
from degradations.populations import draw_streaks
from degradations.rain import add_rain
from degradations.rain_like import MeasuredRain, RainLike, Uncertainty
from degradations.sensor import quantise
from ssl_restore.calibration import rain as rain_calibration
from ssl_restore.calibration import rain_file
from ssl_restore.calibration.rain_file import PictureRain, RainCalibration
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.training.run import Run
from ssl_restore_cli.main import main

CPU = torch.device("cpu")
RAIN = MeasuredRain(
    angle_rad=0.3, angle_spread_rad=0.02, length_px=35, length_spread=0.2, width_px=1.6,
    width_spread=0.2, brightness=0.25, brightness_spread=0.3, coverage=0.2, ripple=0,
    ceiling=5,
)  # fmt: skip
MEASURED = PictureRain("a.png", 0.9, RAIN, populations=1.0, mean=0.04, tail=0.3, visible_share=0.2)


def photographs(count):
    return images.find(ssl_restore_samples.photographs())[:count]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four photographs as they are and with the same kind of rain."""
    rain_free, wet = (tmp_path_factory.mktemp(name) for name in ("rain_free", "wet"))
    prior = RainLike((RAIN,), Uncertainty(0, 0, 0, 0, 0), rain_free=0)
    for index, path in enumerate(photographs(48)[::12]):
        pixels = images.read(path).pixels[:320, :320]
        clean = images.to_tensor(pixels)
        generator = torch.Generator().manual_seed(index)
        params = draw_streaks(prior.populate(1, generator), tuple(clean.shape), generator)
        rainy = images.to_pixels(quantise(add_rain(clean, params)), pixels)
        for folder, kept in ((rain_free, pixels), (wet, rainy)):
            images.write(folder / f"{index}.png", images.Picture(kept))
    return rain_free, wet


@pytest.fixture(scope="module")
def small(folders, tmp_path_factory):
    """Their middles, as small as rain can be measured in."""
    made = []
    for folder in folders:
        made.append(tmp_path_factory.mktemp(folder.name))
        for path in images.find(folder):
            middle = images.read(path).pixels[80:240, 80:240]
            images.write(made[-1] / path.name, images.Picture(middle))
    return made


@pytest.fixture(scope="module")
def measured(folders):
    return rain_calibration.calibrate(images.find(folders[1]), CPU).calibration


def test_known_rain_is_found(measured):
    """Wide bounds: four small pictures; benchmarks/calibration.py measures the errors."""
    assert len(measured.pictures) == 4
    middle = {name: three[1] for name, three in measured.summary().items()}
    assert middle["angle_rad"] == pytest.approx(RAIN.angle_rad, abs=math.radians(3))
    for name, factor in (("length_px", 1.5), ("width_px", 1.5), ("coverage", 1.6)):
        assert 1 / factor < middle[name] / getattr(RAIN, name) < factor, name


def test_more_light_is_told_from_less(folders, measured):
    """Half of the rain's light, by mixing the rainy picture with the dry one."""
    restorer = rain_calibration.load_restorer(rain_calibration.weights.rain_layer(), CPU)
    estimator = rain_calibration.rain_estimator.load(rain_calibration.weights.rain_estimator())
    for index in range(4):
        rain_free, wet = (
            images.to_tensor(images.read(f / f"{index}.png").pixels)[0] for f in folders
        )
        half = rain_calibration.measure("half", (rain_free + wet) / 2, restorer, estimator)
        assert 0.3 < half.mean / measured.pictures[index].mean < 0.75


def test_a_folder_without_rain_is_named_as_such(folders):
    with pytest.raises(UserError, match=r"no rain found in 4 pictures: 0 look rainy.* \d\.png"):
        rain_calibration.calibrate(images.find(folders[0]), CPU)


def test_a_limit_takes_pictures_from_all_over_the_folder(folders):
    seen = []
    rain_calibration.calibrate(images.find(folders[1]), CPU, limit=2, on_read=seen.append)
    assert [path.name for path in seen] == ["0.png", "2.png"]


def test_a_calibration_comes_back_from_its_file(tmp_path):
    made = RainCalibration(
        (MEASURED,), ("dry.png",), Uncertainty(length=0.1), {"rate_mm_per_h": 5.0}
    )
    made.write(tmp_path / "rain.json")
    assert rain_file.read(tmp_path / "rain.json") == made
    assert json.loads((tmp_path / "rain.json").read_text())["folder"]["length_px"]["median"] == 35


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "{", "no calibration"),
        (lambda text: "[]", "no calibration"),
        (
            lambda text: text.replace('"format": 3', '"format": 1'),
            "of format 1, this version reads 3",
        ),
        (lambda text: text.replace('"length_px"', '"size"'), "damaged"),
        (lambda text: text.replace('"rain_free"', '"wet"'), "damaged"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused_by_name(tmp_path, change, message):
    path = tmp_path / "rain.json"
    RainCalibration((MEASURED,)).write(path)
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=rf"rain\.json: .*{message}"):
        rain_file.read(path)


def test_a_calibration_of_format_2_is_read_as_ever(tmp_path):
    made = RainCalibration((MEASURED,), ("clear.png",), Uncertainty(length=0.1))
    path = tmp_path / "rain.json"
    made.write(path)
    content = json.loads(path.read_text())
    content["format"], content["doubt"] = 2, content.pop("uncertainty")
    content["dry"] = content.pop("rain_free")
    path.write_text(json.dumps(content))
    assert rain_file.read(path) == made


def test_no_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.json: could not be read"):
        rain_file.read(tmp_path / "none.json")


def test_the_prior_draws_rain_like_the_pictures():
    other = replace(MEASURED, rain=replace(RAIN, angle_rad=-0.5))
    prior = RainCalibration((MEASURED, other), uncertainty=Uncertainty(0, 0, 0, 0, 0)).prior()
    rows = prior.populate(50, torch.Generator().manual_seed(0))
    assert set(rows.angle_rad.abs().flatten().mul(10).round().tolist()) == {3.0, 5.0}


def command(*arguments):
    return CliRunner().invoke(main, [str(a) for a in ("calibrate", *arguments)])


def test_the_command_writes_a_calibration_and_a_sheet(small, tmp_path):
    result = command(small[1], "-o", tmp_path / "rain.json", "--focal-px", 800,
                     "--exposure-s", 0.005)  # fmt: skip
    assert result.exit_code == 0, result.output
    found = rain_file.read(tmp_path / "rain.json")
    assert len(found.pictures) == 4
    assert found.camera["rate_mm_per_h"] > 0
    assert "length_px" in result.output
    assert min(images.read(tmp_path / "rain.png").pixels.shape[:2]) > 500


def test_the_command_replaces_nothing(small, tmp_path):
    (tmp_path / "rain.json").write_text("mine")
    result = command(small[1], "-o", tmp_path / "rain.json")
    assert result.exit_code == 1
    assert "rain.json: exists; --overwrite" in result.output
    assert (tmp_path / "rain.json").read_text() == "mine"


@pytest.mark.parametrize("kind", [(), ("--noise",), ("--haze",)])
def test_the_command_never_replaces_a_picture(small, tmp_path, kind):
    folder = small[1]
    picture = sorted(folder.glob("*.png"))[0]
    before = picture.read_bytes()
    result = command(folder, "-o", picture, "--overwrite", *kind)
    assert result.exit_code == 2
    assert f"ends in .json; got {picture.name}" in result.stderr
    sheets = [
        ("-o", tmp_path / "rain.json", "--sheet", picture),
        ("-o", picture.with_suffix(".json")),
    ]
    for words in () if kind else sheets:
        result = command(folder, "--overwrite", *words)
        assert result.exit_code == 1
        assert f"{picture}: is one of the inputs; give another name" in result.stderr
    assert picture.read_bytes() == before
    assert not [*tmp_path.rglob("*.json")]


def test_the_command_says_that_there_is_no_rain(small, tmp_path):
    result = command(small[0], "-o", tmp_path / "rain.json")
    assert result.exit_code == 1
    assert "no rain found" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_small_picture_is_skipped_by_name(small, tmp_path):
    wet = tmp_path / "wet"
    save_pictures(wet, 1, size=(100, 200))
    (wet / "0.png").rename(wet / "small.png")
    images.write(wet / "rainy.png", images.read(small[1] / "0.png"))
    result = command(wet, "-o", tmp_path / "rain.json")
    assert result.exit_code == 1
    assert "small.png: 200x100 is too small; 160 pixels are needed" in result.output
    assert len(rain_file.read(tmp_path / "rain.json").pictures) == 1


def test_a_camera_is_given_whole_or_not_at_all(small, tmp_path):
    result = command(small[1], "-o", tmp_path / "rain.json", "--focal-px", 800)
    assert result.exit_code == 2
    assert "--focal-px and --exposure-s together" in result.output


def fit(folder, output, *arguments):
    tiny = ("--steps", 2, "--set", "width=4", "--set", "batch=2", "--set", "patch=16")
    return CliRunner().invoke(
        main, [str(a) for a in ("fit", "--images", folder, "-o", output, *tiny, *arguments)]
    )


def test_fit_calibrates_by_itself_and_goes_on_where_its_folder_is_moved(small, tmp_path):
    result = fit(small[1], tmp_path / "run")
    assert result.exit_code == 0, result.output
    run = Run(tmp_path / "run")
    assert run.plan().settings["calibration"] == "rain.json"
    assert len(rain_file.read(run.folder / "rain.json").pictures) == 4
    (tmp_path / "run").rename(tmp_path / "moved")
    result = CliRunner().invoke(main, ["fit", "--resume", str(tmp_path / "moved")])
    assert result.exit_code == 0, result.output


def test_fit_without_calibration(small, tmp_path):
    result = fit(small[1], tmp_path / "run", "--no-calibrate")
    assert result.exit_code == 0, result.output
    assert Run(tmp_path / "run").plan().settings["calibration"] == ""
    assert not (tmp_path / "run" / "rain.json").exists()


def test_fit_with_a_calibration_of_the_user(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    RainCalibration((MEASURED,)).write(Path("mine.json"))
    result = fit(small[1], tmp_path / "run", "--set", "calibration=mine.json")
    assert result.exit_code == 0, result.output
    assert Run(tmp_path / "run").plan().settings["calibration"] == str(tmp_path / "mine.json")


def test_fit_where_no_rain_is_found_says_so_and_learns(small, tmp_path):
    result = fit(small[0], tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "not calibrated, learning with rain of all kinds: no rain found" in result.output
    assert Run(tmp_path / "run").plan().settings["calibration"] == ""


def test_fit_calibrates_nothing_into_a_run_that_exists(small, tmp_path):
    fit(small[1], tmp_path / "run", "--no-calibrate")
    result = fit(small[1], tmp_path / "run")
    assert result.exit_code == 1
    assert "holds a run already" in result.output
    assert not (tmp_path / "run" / "rain.json").exists()


@pytest.mark.parametrize(("rainy", "accepted"), [(1, False), (2, True)])
def test_as_few_rainy_pictures_as_come_by_mistake_are_no_rain(
    folders, monkeypatch, rainy, accepted
):
    drawn = iter([0.9] * rainy + [0.1] * 10)
    monkeypatch.setattr(
        rain_calibration, "measure", lambda name, *_: replace(MEASURED, probability=next(drawn))
    )
    paths = images.find(folders[0])[:1] * 10
    if accepted:
        assert len(rain_calibration.calibrate(paths, CPU).calibration.pictures) == rainy
    else:
        with pytest.raises(UserError, match="no rain found in 10 pictures: 1 look rainy"):
            rain_calibration.calibrate(paths, CPU)
