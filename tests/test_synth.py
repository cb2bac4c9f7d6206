"""`ssl-restore synth-rain`: one result whatever the workers; an interrupted run goes on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import write_photo

from degradations.rain import add_rain, streak_layer
from ssl_restore import images, rng, synth
from ssl_restore_cli.main import main


def synth_rain(*arguments):
    result = CliRunner().invoke(main, ["synth-rain", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(*arguments):
    result = synth_rain(*arguments)
    assert result.exit_code == 1
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
            for kind in synth.KINDS
        )
        assert np.array_equal(clean, images.read(path).pixels)
        assert rain.max() > 0
        unclipped = (rain < 255)[:, :, 0]
        difference = rainy - np.minimum(clean + rain, 255)
        assert np.abs(difference[unclipped]).max() <= 1


@pytest.mark.parametrize("workers", [2, 3])
def test_the_worker_count_changes_nothing(photos, tmp_path, workers):
    synth_rain(photos, tmp_path / "one", "--variants", 2, "--workers", 1)
    synth_rain(photos, tmp_path / "more", "--variants", 2, "--workers", workers)
    assert contents(tmp_path / "one") == contents(tmp_path / "more")


def test_seeds_and_variants_differ(photos, tmp_path):
    synth_rain(photos, tmp_path / "a", "--variants", 2)
    synth_rain(photos, tmp_path / "b", "--seed", 1)
    first = (tmp_path / "a" / "rain" / "p0.png").read_bytes()
    assert first != (tmp_path / "a" / "rain" / "p0-2.png").read_bytes()
    assert first != (tmp_path / "b" / "rain" / "p0.png").read_bytes()


def test_an_interrupted_run_ends_as_an_uninterrupted_one(photos, tmp_path):
    synth_rain(photos, tmp_path / "whole")
    plan = synth.plan(photos, tmp_path / "cut", synth.Settings())
    running = synth.make(plan)
    next(running)
    running.close()  # what Ctrl-C does
    with (tmp_path / "cut" / "meta.jsonl").open("a") as meta:
        meta.write('{"name": "p1", "rai')  # what a kill in the middle of a line leaves
    assert synth_rain(photos, tmp_path / "cut").exit_code == 0
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
     ("--veil", 0.5, "veil None, not 0.5")],
)  # fmt: skip
def test_other_settings_in_the_same_folder_are_refused(photos, tmp_path, option, value, named):
    synth_rain(photos, tmp_path / "set")
    before = contents(tmp_path / "set")
    assert named in refused(photos, tmp_path / "set", option, value)
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


def test_pictures_of_others_are_never_written_over(photos, tmp_path):
    mine = write_photo(tmp_path / "set" / "rainy" / "p0.png").read_bytes()
    assert "was not made by synth-rain" in refused(photos, tmp_path / "set")
    assert (tmp_path / "set" / "rainy" / "p0.png").read_bytes() == mine


def test_two_photographs_that_would_get_one_name_are_refused(photos, tmp_path):
    write_photo(photos / "p1.bmp")
    assert "would both become p1.png" in refused(photos, tmp_path / "set")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--preset", "strom"], "did you mean 'storm'?"), (["--veil", 1.5], "a share from 0 to 1"),
     (["--variants", 0], "at least 1")],
)  # fmt: skip
def test_bad_settings_are_refused(photos, tmp_path, arguments, named):
    assert named in refused(photos, tmp_path / "set", *arguments)
    assert not (tmp_path / "set").exists()


def test_an_empty_folder_and_a_missing_parent_are_refused(photos, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no picture in it" in refused(tmp_path / "empty", tmp_path / "set")
    assert "does not exist; create it first" in refused(photos, tmp_path / "no" / "set")


def test_a_veil_for_all_is_in_every_line(photos, tmp_path):
    synth_rain(photos, tmp_path / "set", "--veil", 1)
    assert all(line["transmission"] < 1 for line in lines(tmp_path / "set"))


def test_bands_render_what_the_whole_picture_renders(monkeypatch):
    shape = (1, 3, 90, 70)
    params = synth.PRESETS["storm"].sample(shape, rng.derive(3, "test"))
    clean = torch.rand(shape, generator=rng.derive(4, "test"))
    monkeypatch.setattr(synth, "BAND_PIXELS", 70 * 13)
    rainy, streaks = synth.render(clean, params)
    torch.testing.assert_close(rainy, add_rain(clean, params), rtol=0, atol=1e-4)
    torch.testing.assert_close(streaks, streak_layer(params, 90, 70), rtol=0, atol=1e-4)
    assert streaks.max() > 0.05


@pytest.mark.parametrize("preset", synth.PRESETS)
def test_the_summary_stays_near_the_ranges_of_the_preset(preset):
    rain = synth.PRESETS[preset]
    for index in range(4):
        params = rain.sample((1, 3, 320, 480), rng.derive(index, "test"))
        found = synth.summary(params, 320, 480)
        assert found["streaks"] > 0
        assert rain.length_px[0] * 0.7 < found["length_px"] < rain.length_px[1] * 1.5
        assert rain.width_px[0] * 0.7 < found["width_px"] < rain.width_px[1] * 1.5
        assert 0 < found["coverage"] < 1.5 * rain.populations[1] * rain.coverage[1]
        assert rain.ceiling[0] <= found["ceiling"] * 1.001
        assert found["ceiling"] <= rain.ceiling[1] * 1.001


def test_harder_presets_cover_more():
    def cover(preset):
        draws = [
            synth.summary(
                synth.PRESETS[preset].sample((1, 3, 160, 240), rng.derive(i, "test")), 160, 240
            )["coverage"]
            for i in range(24)
        ]
        return np.mean(draws)

    covers = [cover(preset) for preset in ("drizzle", "moderate", "heavy", "storm")]
    assert covers == sorted(covers)
