"""Scores without a truth: NIQE, blur, change, and `evaluate` on one folder."""

from __future__ import annotations

import csv
import math

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.special import gamma
from tiny import write_photo

import ssl_restore
from ssl_restore.errors import UserError
from ssl_restore.evaluation import niqe, no_reference
from ssl_restore.io import images
from ssl_restore.training.material import bundled_photographs
from ssl_restore_cli.main import main


@pytest.fixture(scope="module")
def photograph():
    return images.read(images.find(bundled_photographs())[0]).pixels[:480, :480]


def worse(kind, picture):
    if kind == "noise":
        grain = np.random.default_rng(0).normal(0, 20, picture.shape)
        return np.clip(picture + grain, 0, 255).astype(np.uint8)
    if kind == "blur":
        return cv2.GaussianBlur(picture, (0, 0), 2)
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 8])[1], 1)


@pytest.mark.parametrize("kind", ["noise", "blur", "jpeg"])
def test_niqe_is_higher_for_a_worse_picture(photograph, kind):
    assert niqe.niqe(worse(kind, photograph)) > niqe.niqe(photograph) + 0.3


@pytest.mark.parametrize(("shape", "left", "right"), [(2.0, 1.0, 1.0), (0.8, 0.5, 2.0)])
def test_an_asymmetric_generalised_gaussian_is_found_again(shape, left, right):
    """Drawn by its definition: |x| / scale to the power of the shape is gamma distributed."""
    generator = np.random.default_rng(1)
    size = generator.gamma(1 / shape, size=(2, 200_000)) ** (1 / shape)
    below = generator.random(size.shape) < left / (left + right)
    values = np.where(below, -left, right) * size
    found = niqe._fitted(values)
    mean = (right - left) * gamma(2 / shape) / gamma(1 / shape)
    for expected, value in zip((shape, mean, left, right), found, strict=True):
        assert value == pytest.approx(expected, rel=0.03, abs=0.02)


def test_blocks_are_cut_in_order():
    values = np.arange(6 * 9).reshape(6, 9)
    naive = [values[y : y + 3, x : x + 3].ravel() for y in (0, 3) for x in (0, 3, 6)]
    assert np.array_equal(niqe._blocks(values, 3), naive)


@pytest.mark.parametrize("side", [8, 95, 120])
def test_niqe_of_less_than_two_blocks_is_nan(side):
    assert math.isnan(niqe.niqe(np.full((side, side, 3), 9, np.uint8)))


def test_blur_rises_with_the_kernel(photograph):
    shares = [
        no_reference.blur(cv2.GaussianBlur(photograph, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4)
    ]
    assert 0 < no_reference.blur(photograph) < shares[0]
    assert [*shares, 1] == sorted([*shares, 1])


def test_blur_is_that_of_the_softer_direction():
    lines = np.zeros((64, 64, 3), np.uint8)
    lines[:, ::2] = 150  # differs along the rows alone: nothing of it survives a mean of 11
    assert no_reference.blur(lines + np.arange(64, dtype=np.uint8)[:, None, None]) > 0.9


def test_change_is_the_root_mean_square():
    before = np.zeros((40, 40, 3), np.uint8)
    after = before.copy()
    after[:20] = 10
    found = no_reference.scores(before, after, lambda degraded, restored: {"own": 1.0})
    assert found["own"] == 1
    assert found["change"] == pytest.approx(math.sqrt(50))
    with pytest.raises(UserError, match="40 x 40 and 40 x 39"):
        no_reference.scores(before, after[1:], lambda degraded, restored: {})


def test_evaluate_without_truths(tmp_path):
    for index, name in enumerate("ab"):
        write_photo(tmp_path / "rainy" / f"{name}.png", seed=index)
    call = ["evaluate", str(tmp_path / "rainy"), "--csv", str(tmp_path / "s.csv")]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    heading, *lines = result.stdout.splitlines()[1:]
    assert heading.split()[:2] == ["rain", "left"]
    assert "niqe" in heading
    assert [line[:14].strip() for line in lines] == ["input", "opening 1x5", "restorer"]
    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    untouched = [row for row in rows if row["method"] == "input"]
    assert {float(row["change"]) for row in untouched} == {0.0}


def test_evaluate_without_truths_from_python(tmp_path):
    write_photo(tmp_path / "rainy" / "a.png", seed=3)
    scores = ssl_restore.evaluate(tmp_path / "rainy")
    assert [score.method for score in scores] == ["input", "opening 1x5", "restorer"]
    assert set(scores[0].scores) == {"rain_left", "texture_left", "change", "niqe", "blur"}


def test_pictures_restored_before_are_scored_without_truths(tmp_path):
    write_photo(tmp_path / "rainy" / "a.png", seed=3)
    write_photo(tmp_path / "theirs" / "a.png", seed=4)
    call = ["evaluate", str(tmp_path / "rainy"), "--restored", str(tmp_path / "theirs")]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].startswith("restored")
