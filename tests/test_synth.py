"""`ssl-restore synth-rain`: one result whatever the workers; an interrupted run goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import write_photo

from degradations import MeasuredRain, Rain, to_linear
from degradations.description import describe_streaks
from degradations.rain_kinds import RAIN_KINDS
from ssl_restore import rng
from ssl_restore.calibration import rain_file
from ssl_restore.io import images, shots
from ssl_restore.synthesis import dataset, presets
from ssl_restore_cli.main import main


def synth_rain(*arguments):
    result = CliRunner().invoke(main, ["synth-rain", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(*arguments):
    result = synth_rain(*arguments)
    assert result.exit_code in (1, 2)  # which: test_cli.py
    assert result.stderr.count("\n") == 1
    return result.stderr


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def lines(folder):
    return [json.loads(line) for line in (folder / "meta.jsonl").read_text().splitlines()]


@pytest.fixture
def photos(tmp_path):
    for index in range(3):
        write_photo(tmp_path / "photos" / f"p{index}.png", 40, 56, seed=index)
    return tmp_path / "photos"


def test_every_photograph_gives_a_rainy_a_clean_a_rain_and_a_line(photos, tmp_path):
    assert synth_rain(photos, tmp_path / "set").exit_code == 0
    for kind, channels in (("rainy", 3), ("clean", 3), ("rain", 1)):
        for index in range(3):
            found = images.read(tmp_path / "set" / kind / f"p{index}.png").pixels
            assert found.shape == (40, 56, channels)
            assert found.dtype == np.uint8
    assert [line["name"] for line in lines(tmp_path / "set")] == ["p0", "p1", "p2"]


def test_clean_is_the_photograph_and_rainy_is_it_plus_the_rain(photos, tmp_path):
    synth_rain(photos, tmp_path / "set")  # no veil in the default preset
    for path in sorted(photos.iterdir()):
        rainy, clean, rain = (
            images.read(tmp_path / "set" / kind / path.name).pixels.astype(int)
            for kind in ("rainy", "clean", "rain")
        )
        assert np.array_equal(clean, images.read(path).pixels)
        assert rain.max() > 0
        unclipped = (rain < 255)[:, :, 0]
        difference = rainy - np.minimum(clean + rain, 255)
        assert np.abs(difference[unclipped]).max() <= 1


ALL = ("--haze", "--drops", "--noise", "--preset", "drizzle", "--frames", 2)


@pytest.mark.parametrize(("workers", "options"), [(2, ("--variants", 2)), (3, ALL)])
def test_the_worker_count_changes_nothing(photos, tmp_path, workers, options):
    assert synth_rain(photos, tmp_path / "one", "--workers", 1, *options).exit_code == 0
    synth_rain(photos, tmp_path / "more", "--workers", workers, *options)
    assert contents(tmp_path / "one") == contents(tmp_path / "more")
    assert len(contents(tmp_path / "one")) == 19


def test_seeds_and_variants_differ(photos, tmp_path):
    synth_rain(photos, tmp_path / "a", "--variants", 2)
    synth_rain(photos, tmp_path / "b", "--seed", 1)
    first = (tmp_path / "a" / "rain" / "p0.png").read_bytes()
    assert first != (tmp_path / "a" / "rain" / "p0-2.png").read_bytes()
    assert first != (tmp_path / "b" / "rain" / "p0.png").read_bytes()


SAME = {"haze": True, "drops": True, "noise": True, "preset": "drizzle", "fps": 25.0}


@pytest.mark.parametrize(("options", "settings", "frames"), [((), {}, None), (ALL, SAME, 2)])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    photos, tmp_path, options, settings, frames
):
    synth_rain(photos, tmp_path / "whole", *options)
    plan = dataset.plan(photos, tmp_path / "cut", presets.rain(**settings), frames=frames)
    running = dataset.make(plan)
    next(running)
    running.close()  # what Ctrl-C does
    with (tmp_path / "cut" / "meta.jsonl").open("a") as meta:
        meta.write('{"name": "p1", "rai')  # what a kill in the middle of a line leaves
    assert synth_rain(photos, tmp_path / "cut", *options).exit_code == 0
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_complete_entries_are_not_made_again(photos, tmp_path):
    synth_rain(photos, tmp_path / "set")
    (tmp_path / "set" / "rain" / "p1.png").unlink()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "set" / "rainy").iterdir()}
    result = synth_rain(photos, tmp_path / "set")
    assert "2 pictures exist already" in result.stderr
    changed = [p.stem for p, then in before.items() if p.stat().st_mtime_ns != then]
    assert changed == ["p1"]
    assert sorted(line["name"] for line in lines(tmp_path / "set")) == ["p0", "p1", "p2"]


def test_more_photographs_and_variants_keep_the_pictures_made(photos, tmp_path):
    synth_rain(photos, tmp_path / "set")
    before = contents(tmp_path / "set" / "rainy")
    write_photo(photos / "a_first.png")
    assert synth_rain(photos, tmp_path / "set", "--variants", 2).exit_code == 0
    after = contents(tmp_path / "set" / "rainy")
    assert len(after) == 8
    assert before.items() <= after.items()


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [("--seed", 1, "seed 0, not 1"), ("--preset", "storm", "preset mixed, not storm"),
     ("--veil", 0.5, "veil none, not 0.5"), ("--haze", None, "haze False, not True"),
     ("--rate", 25, "preset mixed, not rainfall"), ("--frames", 2, "fps none, not 25"),
     ("--set", "width_px=2", "set {}, not {'width_px': [2.0, 2.0]}")],
)  # fmt: skip
def test_other_settings_in_the_same_folder_are_refused(photos, tmp_path, option, value, named):
    synth_rain(photos, tmp_path / "set")
    before = contents(tmp_path / "set")
    options = [option] if value is None else [option, value]
    assert named in refused(photos, tmp_path / "set", *options)
    assert contents(tmp_path / "set") == before


def test_another_photograph_of_the_same_name_is_refused(photos, tmp_path):
    synth_rain(photos, tmp_path / "set")
    write_photo(photos / "p1.png", 30, 30)
    assert "p1 was made from another photograph" in refused(photos, tmp_path / "set")


def test_a_truncated_photograph_is_named_skipped_and_counted(photos, tmp_path):
    (photos / "p1.png").write_bytes((photos / "p1.png").read_bytes()[:200])
    result = synth_rain(photos, tmp_path / "set")
    assert result.exit_code == 1
    assert "p1.png: damaged or cut short" in result.stderr
    assert "1 of 3 pictures could not be made" in result.stderr
    assert [line["name"] for line in lines(tmp_path / "set")] == ["p0", "p2"]


def test_the_photographs_are_never_written_over(photos, tmp_path):
    (tmp_path / "set").mkdir()
    photos.rename(tmp_path / "set" / "clean")
    before = contents(tmp_path / "set")
    assert "is the folder of photographs" in refused(tmp_path / "set" / "clean", tmp_path / "set")
    assert contents(tmp_path / "set") == before


def test_frames_of_a_compressed_photograph_are_counted_in_the_room_they_take(tmp_path, monkeypatch):
    source = write_photo(tmp_path / "in" / "a.jpg")
    usage, free = shutil.disk_usage(tmp_path), 10 * source.stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    line = refused(tmp_path / "in", tmp_path / "set", "--frames", "50")
    assert "will be written" in line
    assert "make room" in line


def test_pictures_of_others_are_never_written_over(photos, tmp_path):
    mine = write_photo(tmp_path / "set" / "rainy" / "p0.png").read_bytes()
    assert "was not made for this data set" in refused(photos, tmp_path / "set")
    assert (tmp_path / "set" / "rainy" / "p0.png").read_bytes() == mine


def test_two_photographs_that_would_get_one_name_are_refused(photos, tmp_path):
    write_photo(photos / "p1.bmp")
    assert "would both become p1.png" in refused(photos, tmp_path / "set")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--preset", "strom"], "did you mean 'storm'?"),
     (["--veil", 0.5, "--rate", 5], "leave it out"), (["--set", "angel_rad=1"], "'angle_rad'?"),
     (["--set", "angle_rad=2,1"], "low <= high"),
     (["--rate", 5, "--exposure", "1/10", "--frames", 2], "lower exposure_s or fps"),
     (["--like", "none.json", "--preset", "heavy"], "exclude each other"),
     (["--like", "none.json"], "none.json: ")],
)  # fmt: skip
def test_bad_settings_are_refused(photos, tmp_path, arguments, named):
    assert named in refused(photos, tmp_path / "set", *arguments)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    "options",
    [["--rate", "fast"], ["--rate", "1,2,3"], ["--rate", 5, "--preset", "heavy"],
     ["--wind", 5, "--like", "rain.json"], ["--video"], ["--fps", 30],
     ["--frames", 2, "--fps", 0], ["--veil", 1.5], ["--rate", 0], ["--variants", 0],
     ["--frames", 0]],
)  # fmt: skip
def test_options_out_of_range_or_that_contradict_each_other_exit_with_2(photos, tmp_path, options):
    assert synth_rain(photos, tmp_path / "set", *options).exit_code == 2
    assert not (tmp_path / "set").exists()


def test_an_empty_folder_and_a_missing_parent_are_refused(photos, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no picture in it" in refused(tmp_path / "empty", tmp_path / "set")
    assert "does not exist; create it first" in refused(photos, tmp_path / "no" / "set")


def test_a_veil_for_all_is_in_every_line(photos, tmp_path):
    assert synth_rain(photos, tmp_path / "set", "--veil", 1).exit_code == 0
    assert all(line["drawn"]["rain"]["transmission"] < 1 for line in lines(tmp_path / "set"))


def test_night_darkens_the_photograph_and_the_clean_picture_with_it(photos, tmp_path):
    assert synth_rain(photos, tmp_path / "set", "--preset", "night").exit_code == 0
    for line in lines(tmp_path / "set"):
        photo, clean = (
            to_linear(images.to_tensor(images.read(folder / f"{line['name']}.png").pixels))
            for folder in (photos, tmp_path / "set" / "clean")
        )
        light = line["drawn"]["light"]
        assert 0.06 <= light <= 0.25
        assert abs(clean.mean() / photo.mean() - light) < 0.02 * light
        assert "noise" in line["drawn"]


def test_windy_rain_slants_to_either_side():
    draws = [
        describe_streaks(
            presets.PRESETS["windy"].sample((1, 3, 40, 60), rng.derive(i, "test")), 40, 60
        )
        for i in range(8)
    ]
    angles = [draw["angle_rad"] for draw in draws]
    assert min(angles) < -0.3
    assert max(angles) > 0.3
    assert all(abs(angle) > 0.3 for angle in angles)


def test_the_stated_weather_is_that_of_every_line(photos, tmp_path):
    stated = ("--rate", "20,30", "--wind", -4, "--exposure", "1/250", "--focal-px", 90)
    assert synth_rain(photos, tmp_path / "set", *stated).exit_code == 0
    rates = []
    for line in lines(tmp_path / "set"):
        assert line["preset"] == "rainfall"
        rain = line["drawn"]["rain"]
        rates.append(rain["rate_mm_per_h"])
        assert (rain["wind_m_per_s"], rain["exposure_s"], rain["focal_px"]) == (-4, 0.004, 90)
    assert len(set(rates)) == 3
    assert all(20 <= rate <= 30 for rate in rates)


def test_without_a_focal_length_it_goes_with_the_size_of_the_picture(photos, tmp_path):
    assert synth_rain(photos, tmp_path / "set", "--rate", 25).exit_code == 0
    for line in lines(tmp_path / "set"):
        assert 0.8 * 56 <= line["drawn"]["rain"]["focal_px"] <= 2 * 56


def calibrated(path, length_px):
    rain = MeasuredRain(length_px=length_px)
    row = rain_file.PictureRain("a.png", 1.0, rain, 1.0, 0.1, 0.3, 0.2)
    rain_file.RainCalibration((row,)).write(path)
    return path


def test_the_lengths_told_are_means_weighted_by_light():
    params = Rain(rain_free=0, coverage=(0.1, 0.1)).sample(
        (1, 3, 90, 80), torch.Generator().manual_seed(0)
    )
    total = light = 0.0
    for streak in range(params.x_px.shape[1]):
        x, y = params.x_px[0, streak].item(), params.y_px[0, streak].item()
        if params.present[0, streak] and 0 <= x < 80 and 0 <= y < 90:
            length = params.length_px[0, streak].item()
            own = length * (params.width_px * params.brightness)[0, streak].item()
            total, light = total + own * length, light + own
    assert describe_streaks(params, 90, 80)["length_px"] == pytest.approx(total / light, rel=1e-4)


def test_rain_like_that_of_a_calibration_and_of_no_other(photos, tmp_path):
    like = calibrated(tmp_path / "rain.json", 12.0)
    assert synth_rain(photos, tmp_path / "set", "--like", like).exit_code == 0
    before = contents(tmp_path / "set")
    for line in lines(tmp_path / "set"):
        assert line["like"].startswith("rain.json ")
        assert line["preset"] is None
        assert 6 < line["drawn"]["rain"]["length_px"] < 24
    assert synth_rain(photos, tmp_path / "set", "--like", like).exit_code == 0
    calibrated(like, 50.0)
    assert "like rain.json" in refused(photos, tmp_path / "set", "--like", like)
    assert contents(tmp_path / "set") == before


@pytest.mark.parametrize("preset", presets.PRESETS)
def test_the_summary_stays_near_the_ranges_of_the_preset(preset):
    rain = presets.PRESETS[preset]
    for index in range(4):
        params = rain.sample((1, 3, 320, 480), rng.derive(index, "test"))
        found = describe_streaks(params, 320, 480)
        assert found["streaks"] > 0
        kinds = [RAIN_KINDS[kind] for kind in rain.kinds]
        widths, lengths, lights = rain.width_px, rain.length_px, rain.ceiling
        if kinds:
            widths = min(k.width_px[0] for k in kinds), max(k.width_px[1] for k in kinds)
            lights = min(k.light[0] for k in kinds), max(k.light[1] for k in kinds)
            aspects = min(k.aspect[0] for k in kinds), max(k.aspect[1] for k in kinds)
            lengths = widths[0] * aspects[0], widths[1] * aspects[1]
        assert lengths[0] * 0.7 < found["length_px"] < lengths[1] * 1.5
        assert widths[0] * 0.7 < found["width_px"] < widths[1] * 1.5
        most = max((k.coverage[1] for k in kinds), default=rain.coverage[1])
        assert 0 < found["coverage"] < 1.5 * rain.populations[1] * most
        assert lights[0] <= found["ceiling"] * 1.001
        assert found["ceiling"] <= lights[1] * 1.001


def test_harder_presets_cover_more():
    def cover(preset):
        draws = [
            describe_streaks(
                presets.PRESETS[preset].sample((1, 3, 160, 240), rng.derive(i, "test")), 160, 240
            )["coverage"]
            for i in range(24)
        ]
        return np.mean(draws)

    covers = [cover(preset) for preset in ("drizzle", "moderate", "heavy", "storm")]
    assert covers == sorted(covers)


@pytest.mark.parametrize(("changes", "longer"), [((), 4.0), (("length_px=10,12",), 1.0)])
def test_streaks_of_a_preset_grow_with_the_picture_unless_set(changes, longer):
    made = presets.rain(preset="moderate", changes=changes)

    def drawn(scale):
        photo = torch.full((1, 3, 320 * scale, 480 * scale), 0.3)
        return [
            made.layers(photo, shots.Frame(Path("a.png"), "a", "a", v))[1]["rain"] for v in range(6)
        ]

    small, large = drawn(1), drawn(4)
    for name, scale in (("length_px", longer), ("width_px", 4.0), ("coverage", 1.0)):
        means = [np.exp(np.mean(np.log([row[name] for row in rows]))) for rows in (small, large)]
        assert means[1] / means[0] == pytest.approx(scale, rel=0.3), name
