"""`ssl-restore synth`: every degradation by name, chains, settings, and shots."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from every_degradation import EVERY
from tiny import write_photo

from degradations import Chain, HarvestedRain, PoissonNoise
from ssl_restore import discover
from ssl_restore.io import images, shots
from ssl_restore_cli.main import main


def run(*arguments, command="synth"):
    result = CliRunner().invoke(main, [command, *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(*arguments):
    result = run(*arguments)
    assert result.exit_code in (1, 2)  # which: test_cli.py
    assert result.stderr.count("\n") == 1
    return result.stderr


def lines(folder):
    return [json.loads(line) for line in (folder / "meta.jsonl").read_text().splitlines()]


def pixels(path):
    return images.read(path).pixels.astype(int)


@pytest.fixture
def photos(tmp_path):
    for index in range(2):
        write_photo(tmp_path / "photos" / f"p{index}.png", 24, 40, seed=index)
    return tmp_path / "photos"


def test_the_degradations_are_those_of_the_contract():
    kinds = {type(param.values[0]) for param in EVERY} - {Chain, HarvestedRain}
    expected = {kind for kind in kinds if kinds.isdisjoint(kind.__mro__[1:])}
    assert set(discover.degradations().values()) == expected
    assert discover.degradation("poisson_noise") is PoissonNoise


def test_the_list_names_every_degradation_with_what_it_is():
    said = run().stdout.splitlines()
    assert [line.split()[0] for line in said] == list(discover.degradations())
    assert all(len(line.split()) > 4 for line in said)


def test_the_settings_that_are_listed_are_taken(photos, tmp_path):
    said = run("haze,resample").stdout.splitlines()
    assert "--set haze.visibility_m=30,1000" in said
    options = [word for line in said for word in line.split(" ", 1)]
    assert run("haze,resample", photos, tmp_path / "set", *options).exit_code == 0


@pytest.mark.parametrize("name", discover.degradations())
def test_every_degradation_makes_a_data_set(name, photos, tmp_path):
    write_photo(photos / "p0.png", 17, 23)
    (photos / "p1.png").unlink()
    assert run(name, photos, tmp_path / "set", "--seed", 4).exit_code == 0
    (line,) = lines(tmp_path / "set")
    assert line["degradations"] == [name]
    assert line["drawn"][name]
    assert np.array_equal(pixels(tmp_path / "set" / "clean" / "p0.png"), pixels(photos / "p0.png"))
    degraded = pixels(tmp_path / "set" / "degraded" / "p0.png")
    assert degraded.shape == ((8, 11, 3) if name == "resample" else (17, 23, 3))


def test_a_chain_is_applied_in_the_order_of_its_names(photos, tmp_path):
    run("sensor,resample", photos, tmp_path / "a", "--set", "sensor.gain=0.5")
    run("resample,sensor", photos, tmp_path / "b", "--set", "sensor.gain=0.5")
    first, second = (lines(tmp_path / name)[0] for name in "ab")
    assert list(first["drawn"]) == list(reversed(second["drawn"]))
    assert first["set"] == {"sensor.gain": [0.5, 0.5]}
    ratio = pixels(tmp_path / "a" / "degraded" / "p0.png").mean()
    assert ratio == pytest.approx(pixels(photos / "p0.png").mean() / 2, rel=0.05)


def test_one_named_twice_draws_twice(photos, tmp_path):
    changes = ("--set", "noise.sigma=0.01", "--set", "noise-2.sigma=0.05")
    assert run("noise,noise", photos, tmp_path / "set", *changes).exit_code == 0
    drawn = lines(tmp_path / "set")[0]["drawn"]
    assert (drawn["noise"]["sigma"], drawn["noise-2"]["sigma"]) == (0.01, 0.05)
    assert drawn["noise"]["gain"] != drawn["noise-2"]["gain"]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_seed_gives_the_same_pictures_whatever_the_workers(photos, tmp_path, workers):
    options = ("--workers", workers, "--seed", 7, "--variants", 2)
    run("blur,poisson_noise,jpeg", photos, tmp_path / "set", *options)
    run("blur,poisson-noise,jpeg", photos, tmp_path / "again", "--seed", 7, "--variants", 2)
    for path in (tmp_path / "set").rglob("*.*"):
        again = tmp_path / "again" / path.relative_to(tmp_path / "set")
        assert path.read_bytes() == again.read_bytes()
    assert len(list((tmp_path / "set" / "degraded").iterdir())) == 4


@pytest.mark.parametrize(
    ("names", "options", "named"),
    [
        ("hase", [], "did you mean 'haze'?"),
        ("haze", ["--set", "visibility=3"], "did you mean 'visibility_m'?"),
        ("haze", ["--set", "visibility_m"], "write it as name=value"),
        ("haze", ["--set", "visibility_m=far"], "expected a value of type"),
        ("haze", ["--set", "visibility_m=9,3"], "low <= high"),
        ("haze", ["--set", "fog.visibility_m=3"], "unknown degradation 'fog'"),
        ("resample", ["--set", "factor=0"], "factor must be at least 1"),
        ("sensor", ["--set", "bits=0"], "bits must be at least 1"),
        ("haze,noise", ["--set", "sigma=0.1"], "as haze.sigma=0.1"),
        ("rain-like", ["--set", "rows=()"], "unknown setting 'rows'"),
    ],
)
def test_a_name_or_setting_that_is_wrong_is_answered_with_what_is_right(
    photos, tmp_path, names, options, named
):
    assert named in refused(names, photos, tmp_path / "set", *options)
    assert not (tmp_path / "set").exists()


def test_a_call_without_an_output_or_a_name_is_wrong(photos):
    assert run("haze", photos).exit_code == 2
    assert run(",", photos, "out").exit_code == 2


def test_a_folder_holds_the_set_of_one_command(photos, tmp_path):
    assert run("haze", photos, tmp_path / "set").exit_code == 0
    assert "holds a data set of degradations" in refused("noise", photos, tmp_path / "set")
    assert "holds a data set of" in run(photos, tmp_path / "set", command="synth-rain").stderr


def test_a_shot_is_degraded_frame_by_frame_and_written_as_a_clip(photos, tmp_path):
    options = ("--sequence", "--video", "--fps", 10)
    assert run("haze,noise", photos, tmp_path / "set", *options).exit_code == 0
    first, second = lines(tmp_path / "set")
    assert [first["name"], second["name"]] == ["photos-0001", "photos-0002"]
    assert first["drawn"]["haze"] == second["drawn"]["haze"]
    clip = tmp_path / "set" / "video" / "photos.mp4"
    assert len(shots.frames(clip)) == 2
    assert shots.rate_of(clip) == 10
    made = pixels(tmp_path / "set" / "degraded" / "photos-0001.png").mean()
    ((_, read),) = shots.pictures(shots.frames(clip, count=1), 10_000)
    assert read().pixels.mean() == pytest.approx(made, abs=6)


def test_a_clip_is_written_again_only_when_a_frame_is_new(photos, tmp_path):
    call = (photos / "p0.png", tmp_path / "set", "--frames", 2, "--video")
    run("noise", *call)
    clip = tmp_path / "set" / "video" / "p0.mp4"
    before = clip.stat().st_mtime_ns
    assert str(clip) not in run("noise", *call).stderr
    assert clip.stat().st_mtime_ns == before
    (tmp_path / "set" / "degraded" / "p0-0002.png").unlink()
    assert str(clip) in run("noise", *call).stderr


def test_a_clip_as_input_is_a_shot_and_is_never_written_over(photos, tmp_path):
    folder = tmp_path / "set" / "video"
    folder.mkdir(parents=True)
    shots.write_clip(sorted(photos.iterdir()), folder / "walk.mp4", 12)
    before = (folder / "walk.mp4").read_bytes()
    assert "is the folder of photographs" in refused("noise", folder / "walk.mp4", tmp_path / "set")
    assert (folder / "walk.mp4").read_bytes() == before
    assert run("noise", folder / "walk.mp4", tmp_path / "other").exit_code == 0
    assert [(line["frame"], line["fps"]) for line in lines(tmp_path / "other")] == [
        (1, 12),
        (2, 12),
    ]
