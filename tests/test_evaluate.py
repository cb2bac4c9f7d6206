"""`ssl-restore evaluate`: pairs by name, the floor to beat, and the figures of the table."""

from __future__ import annotations

import csv
import os

import numpy as np
import pytest
from click.testing import CliRunner
from tiny import pixels, save_restorer, write_photo

from ssl_restore import weights
from ssl_restore.errors import UserError
from ssl_restore.evaluation import baselines, metrics, pairing, scoring
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.training import checkpoint
from ssl_restore_cli.main import main


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


@pytest.fixture
def pair(tmp_path):
    """Folders `rainy` and `clean` with pictures a and b."""
    for index, name in enumerate("ab"):
        write_photo(tmp_path / "rainy" / f"{name}.png", seed=index)
        write_photo(tmp_path / "clean" / f"{name}.png", seed=index + 10)
    return tmp_path / "rainy", tmp_path / "clean"


def run(*arguments):
    call = ["evaluate", *map(str, arguments), "--precision", "fp32"]
    result = CliRunner().invoke(main, call)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_opening_is_the_greatest_picture_below_made_of_runs_of_five():
    picture = pixels(9, 21)
    spread = np.pad(picture, ((0, 0), (4, 4), (0, 0)), mode="edge")
    runs = np.lib.stride_tricks.sliding_window_view(spread, 5, axis=1).min(axis=-1)
    slow = np.lib.stride_tricks.sliding_window_view(runs, 5, axis=1).max(axis=-1)
    found = baselines.opening_1x5(picture)
    assert np.array_equal(found[:, 4:-4], slow[:, 4:-4])
    assert (found <= picture).all()


def test_opening_removes_a_line_four_wide_and_keeps_one_five_wide():
    picture = np.full((8, 40, 3), 50, np.uint8)
    picture[:, 10:14] = 200
    picture[:, 25:30] = 200
    found = baselines.opening_1x5(picture)
    assert (found[:, 10:14] == 50).all()
    assert (found[:, 25:30] == 200).all()


def test_the_table_has_input_opening_and_restorer(pair, tiny):
    result = run(*pair, "--weights", tiny)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "2 pictures"
    assert [line[:14].strip() for line in lines[2:]] == ["input", "opening 1x5", "restorer"]


def test_the_csv_holds_the_scores_of_each_picture(pair, tiny, tmp_path):
    assert run(*pair, "--weights", tiny, "--csv", tmp_path / "s.csv").exit_code == 0
    restorer, _ = checkpoint.load(tiny)
    found = {(row["name"], row["method"]): row for row in rows(tmp_path / "s.csv")}
    assert len(found) == 6
    for name in "ab":
        rainy, clean = (images.read(folder / f"{name}.png").pixels for folder in pair)
        results = {
            "input": rainy,
            "opening 1x5": baselines.opening_1x5(rainy),
            "restorer": restore(restorer, rainy, precision="fp32"),
        }
        for method, result in results.items():
            for key, value in metrics.scores(result, clean).items():
                assert float(found[name, method][key]) == pytest.approx(value, abs=1e-4)


def test_the_table_is_the_mean_over_pictures(pair, tiny, tmp_path):
    lines = run(*pair, "--weights", tiny, "--csv", tmp_path / "s.csv").stdout.splitlines()
    for line in lines[2:]:
        own = [row for row in rows(tmp_path / "s.csv") if row["method"] == line[:14].strip()]
        figures = [float(text) for text in line[14:].split()[:4]]
        means = [np.mean([float(row[key]) for row in own]) for key in scoring.SCORES]
        np.testing.assert_allclose(figures, means, atol=0.0051)


def test_pictures_restored_before_are_scored(pair, tmp_path):
    result = run(*pair, "--restored", pair[1], "--csv", tmp_path / "s.csv")
    assert result.exit_code == 0
    found = [row for row in rows(tmp_path / "s.csv") if row["method"] == "restored"]
    assert [row["psnr_rgb"] for row in found] == ["inf", "inf"]
    assert [row["ssim_y"] for row in found] == ["1.0000", "1.0000"]
    assert [row["seconds"] for row in found] == ["", ""]


def test_partners_may_have_another_format(pair, tiny):
    write_photo(pair[0] / "c.png", seed=5)
    write_photo(pair[1] / "c.bmp", seed=5)
    assert run(*pair, "--weights", tiny).stdout.startswith("3 pictures")


def test_limit_takes_the_first(pair, tiny, tmp_path):
    run(*pair, "--weights", tiny, "--limit", 1, "--csv", tmp_path / "s.csv")
    assert {row["name"] for row in rows(tmp_path / "s.csv")} == {"a"}


def test_deep_and_grey_pictures_are_scored_as_8_bit_colour(tmp_path):
    grey = pixels(20, 20, channels=1)
    images.write(tmp_path / "a.png", images.Picture(grey))
    images.write(tmp_path / "b.png", images.Picture(grey.astype(np.uint16) * 257))
    both = scoring.Pair("a", tmp_path / "a.png", tmp_path / "b.png")
    (row,) = scoring.measure(both, {"input": lambda picture: picture})
    assert row.scores["psnr_rgb"] == float("inf")


def test_a_missing_partner_is_named_skipped_and_counted(pair, tiny):
    write_photo(pair[0] / "c.png")
    result = run(*pair, "--weights", tiny)
    assert result.exit_code == 1
    assert "c.png: no picture of that name" in result.stderr
    assert "1 picture skipped" in result.stderr
    assert result.stdout.startswith("2 pictures")


def test_a_missing_result_is_named_and_skipped(pair, tmp_path):
    write_photo(tmp_path / "theirs" / "a.png")
    result = run(*pair, "--restored", tmp_path / "theirs")
    assert result.exit_code == 1
    assert "b.png: no picture of that name" in result.stderr
    assert result.stdout.startswith("1 pictures")


def test_a_partner_of_another_size_is_named_and_skipped(pair, tiny):
    write_photo(pair[1] / "b.png", 24, 41)
    result = run(*pair, "--weights", tiny)
    assert result.exit_code == 1
    assert "b.png: 40 x 24, but" in result.stderr
    assert "41 x 24" in result.stderr


def test_a_truncated_picture_is_named_and_skipped(pair, tiny):
    (pair[0] / "a.png").write_bytes((pair[0] / "a.png").read_bytes()[:150])
    result = run(*pair, "--weights", tiny)
    assert result.exit_code == 1
    assert "a.png: damaged or cut short" in result.stderr
    assert result.stdout.startswith("1 pictures")


def test_a_picture_too_small_for_ssim_is_named_and_skipped(pair, tiny):
    write_photo(pair[0] / "s.png", 8, 8)
    write_photo(pair[1] / "s.png", 8, 8)
    result = run(*pair, "--weights", tiny)
    assert result.exit_code == 1
    assert "s.png: SSIM needs" in result.stderr


def test_folders_without_a_common_name_are_refused(tmp_path):
    write_photo(tmp_path / "rainy" / "a.png")
    write_photo(tmp_path / "clean" / "b.png")
    with pytest.raises(UserError, match=r"none of its pictures has a partner.*a\.png"):
        scoring.pairs(tmp_path / "rainy", tmp_path / "clean")


def test_two_pictures_of_one_name_are_refused(pair, tiny):
    write_photo(pair[1] / "a.bmp")
    result = run(*pair, "--weights", tiny)
    assert result.exit_code == 1
    assert "have one name" in result.stderr


@pytest.mark.parametrize("missing", ["rainy", "clean"])
def test_an_empty_folder_is_refused(pair, tiny, tmp_path, missing):
    (tmp_path / "empty").mkdir()
    folders = [tmp_path / "empty" if folder.name == missing else folder for folder in pair]
    result = run(*folders, "--weights", tiny)
    assert result.exit_code == 1
    assert "empty: no picture in it" in result.stderr


def test_a_table_replaces_nothing_unless_it_may(pair, tiny, tmp_path):
    call = [*pair, "--weights", tiny, "--limit", 1, "--csv"]
    picture = pair[0] / "a.png"
    before = picture.read_bytes()
    assert "ends in .csv" in run(*call, picture, "--overwrite").stderr
    assert picture.read_bytes() == before
    (tmp_path / "s.csv").write_text("mine")
    result = run(*call, tmp_path / "s.csv")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "--overwrite" in result.stderr
    assert (tmp_path / "s.csv").read_text() == "mine"
    assert run(*call, tmp_path / "s.csv", "--overwrite").exit_code == 0
    assert {row["name"] for row in rows(tmp_path / "s.csv")} == {"a"}
    os.mkfifo(tmp_path / "pipe.csv")
    result = run(*call, tmp_path / "pipe.csv", "--overwrite")
    assert "no regular file" in result.stderr
    assert (tmp_path / "pipe.csv").is_fifo()


def test_a_missing_folder_for_the_csv_is_refused_before_computing(pair, tiny, tmp_path):
    result = run(*pair, "--weights", tiny, "--csv", tmp_path / "no" / "s.csv")
    assert result.exit_code == 1
    assert "does not exist; create it first" in result.stderr
    assert result.stdout == ""


def test_a_bad_tile_is_refused_once(pair, tiny):
    result = run(*pair, "--weights", tiny, "--tile", 1)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "--tile: 1 is too small" in result.stderr


def test_an_installation_without_the_built_in_restorer_says_so(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    result = run(*pair)
    assert result.exit_code == 1
    assert "lacks the built-in restorer" in result.stderr


# --- names of pairs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "partner"),
    [
        ("rain-{}=norain-{}", "rain-001", "norain-001"),
        ("rain-{}.png=norain-{}.jpg", "rain-001", "norain-001"),
        ("rain-{}=norain-{}", "night/rain-1", "night/norain-1"),
        ("rain-{}=norain-{}", "snow-001", None),
        ("{}_*={}", "12_7", "12"),
        ("{}_{}={}", "1_14", "1"),
        ("{}x2={}", "0801x2", "0801"),
        ("{}-{}=clean_{}_{}", "a-b", "clean_a_b"),
        ("({})={}", "(a.b)", "a.b"),
    ],
)
def test_a_pattern_gives_the_name_of_the_partner(pattern, name, partner):
    assert pairing.partner_by(pattern)(name) == partner


@pytest.mark.parametrize("pattern", ["rain", "a-{}=b", "{}={}-{}", "{}={}={}", ""])
def test_a_pattern_that_is_none_is_refused(pattern):
    with pytest.raises(UserError, match=r"^pair: .*write how two names belong together"):
        pairing.partner_by(pattern)


def test_pairs_by_a_pattern_are_scored(tmp_path, tiny):
    for number in (1, 2):
        write_photo(tmp_path / "rainy" / f"rain-{number}.png", seed=number)
        write_photo(tmp_path / "clean" / f"norain-{number}.png", seed=number)
    write_photo(tmp_path / "rainy" / "other.png")
    folders = tmp_path / "rainy", tmp_path / "clean"
    result = run(*folders, "--weights", tiny, "--pair", "rain-{}=norain-{}")
    assert result.exit_code == 1  # of the picture without a partner
    assert result.stdout.startswith("2 pictures")
    assert "other.png: its name is not as --pair says, rain-{}=norain-{}" in result.stderr
    assert "partner of the same name, or of one that --pair says" in run(*folders).stderr
    result = run(*folders, "--pair", "rain-{}")
    assert "--pair: 'rain-{}': write how" in result.stderr


def test_many_degraded_pictures_may_have_one_truth(tmp_path, tiny):
    for number in range(3):
        write_photo(tmp_path / "rainy" / f"7_{number}.jpg", seed=number)
    write_photo(tmp_path / "clean" / "7.jpg")
    result = run(tmp_path / "rainy", tmp_path / "clean", "--weights", tiny, "--pair", "{}_*={}")
    assert result.stdout.startswith("3 pictures")


def test_sub_folders_are_paired_with_those_of_their_names(tmp_path, tiny):
    for folder in ("rainy", "clean"):
        for name in ("a.png", "night/a.png"):
            write_photo(tmp_path / folder / name)
    folders = tmp_path / "rainy", tmp_path / "clean"
    result = run(*folders, "--weights", tiny, "--recursive", "--csv", tmp_path / "s.csv")
    assert result.exit_code == 0
    assert {row["name"] for row in rows(tmp_path / "s.csv")} == {"a", "night/a"}
    assert "1 folder (--recursive searches them)" in run(*folders, "--weights", tiny).stderr


def test_the_task_is_told_where_nobody_chose_it(pair):
    assert "for the task derain (--task chooses another)" in run(*pair).stderr
    assert "--task" not in run(*pair, "--task", "denoise").stderr
