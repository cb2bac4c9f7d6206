"""The user's hand on `derain`: how much, how thorough, and what was taken."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from tiny import KEYWORDS, random_restorer, save_restorer

from ssl_restore import weights
from ssl_restore.io import images
from ssl_restore.training import checkpoint
from ssl_restore_cli.main import main


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    path = tmp_path_factory.mktemp("told") / "restorer.safetensors"
    keywords = {**KEYWORDS, "thorough": True, "colours": True}
    restorer = random_restorer(thorough=True, colours=True)
    checkpoint.save(path, restorer, checkpoint.Header("derain", "unet", keywords))
    return path


def derain(*words):
    return CliRunner().invoke(main, ["derain", *map(str, words), "--precision", "fp32"])


def values(path):
    return images.read(path).pixels.astype(int)


@pytest.mark.parametrize("count", [1, 3])
def test_layers_are_what_is_darker_now(tiny, pictures, tmp_path, count):
    rainy = pictures("rainy", count)
    layers = tmp_path / "layers"
    result = derain(rainy, tmp_path / "out", "--weights", tiny, "--layers", layers)
    assert result.exit_code == 0, result.output
    for path in images.find(rainy):
        before, after = values(path), values(tmp_path / "out" / path.name)
        assert np.array_equal(values(layers / path.name), np.clip(before - after, 0, None))
    assert any(values(path).any() for path in images.find(layers))


def test_layer_of_one_picture_has_its_name(tiny, pictures, tmp_path):
    rainy = pictures("rainy", 1)
    words = (rainy / "0.png", tmp_path / "clean.jpg", "--weights", tiny)
    assert derain(*words, "--layers", tmp_path / "layers").exit_code == 0
    assert (tmp_path / "layers" / "0.png").is_file()


def test_strength_is_the_share_that_is_taken(tiny, pictures, tmp_path):
    rainy = pictures("rainy", 1) / "0.png"
    made = {}
    for strength in (0, 0.5, 1):
        target = tmp_path / f"{strength}.png"
        assert derain(rainy, target, "--weights", tiny, "--strength", strength).exit_code == 0
        made[strength] = values(target)
    assert np.array_equal(made[0], values(rainy))
    assert np.abs(made[0.5] - (made[0] + made[1]) / 2).max() <= 1


def test_thorough_changes_what_is_taken(told, pictures, tmp_path):
    rainy = pictures("rainy", 1) / "0.png"
    for thorough in (0, 1):
        target = tmp_path / f"{thorough}.png"
        assert derain(rainy, target, "--weights", told, "--thorough", thorough).exit_code == 0
    assert not np.array_equal(values(tmp_path / "0.png"), values(tmp_path / "1.png"))


def test_a_result_and_a_folder_of_layers_of_one_name_are_refused(tiny, pictures, tmp_path):
    rainy, target = pictures("rainy", 1) / "0.png", tmp_path / "both.png"
    result = derain(rainy, target, "--weights", tiny, "--layers", target)
    assert result.exit_code == 1
    assert f"{target}: would be a result and a folder; give another folder" in result.stderr
    assert not target.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--thorough", "1.5"], "1.5 is not in the range 0<=x<=1"),
        (["--scale", "0"], "0 is not in the range 1<=x<=16"),
        (["--scale", "2", "--adapt"], "--adapt or --scale, not both"),
        (["--strength", "-1"], "-1.0 is not in the range 0<=x<=2"),
        (["--thorough", "0.5"], "--thorough: these weights cannot be told"),
        (["--thorough", "0.5", "--adapt"], "--adapt or --thorough, not both"),
        (["--seconds", "5"], "--seconds belongs to --adapt"),
        (["--layers", "x", "--adapt"], "--adapt or --layers, not both"),
        (["--layers", "{out}"], "the results go there; give another folder"),
        (["--layers", "{rainy}/0.png"], "is a file; give a folder"),
        (["--layers", "{rainy}", "--overwrite"], "is one of the inputs"),
        (["--layers", "{rainy}/a/b"], "does not exist; create it first"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(tiny, pictures, tmp_path, words, message):
    rainy, out = pictures("rainy", 2), tmp_path / "out"
    words = [word.format(rainy=rainy, out=out) for word in words]
    result = derain(rainy, out, "--weights", tiny, *words)
    assert result.exit_code in {1, 2}
    assert message in result.stderr
    assert not out.exists()
    assert len(list(rainy.rglob("*"))) == 2


def test_veil_is_removed_from_what_is_derained(tiny, pictures, tmp_path):
    rainy = pictures("rainy", 1) / "0.png"
    words = ("--weights", tiny)
    assert derain(rainy, tmp_path / "derained.png", *words).exit_code == 0
    assert derain(rainy, tmp_path / "both.png", *words, "--veil").exit_code == 0
    call = ["dehaze", str(tmp_path / "derained.png"), str(tmp_path / "then.png"), "--weights"]
    result = CliRunner().invoke(main, [*call, str(weights.veil()), "--precision", "fp32"])
    assert result.exit_code == 0
    assert np.array_equal(values(tmp_path / "both.png"), values(tmp_path / "then.png"))


def test_strength_zero_leaves_streaks_and_veil(tiny, pictures, tmp_path):
    rainy = pictures("rainy", 1) / "0.png"
    given = ("--weights", tiny, "--veil", "--strength", 0)
    assert derain(rainy, tmp_path / "same.png", *given).exit_code == 0
    assert np.array_equal(values(tmp_path / "same.png"), values(rainy))
