"""Settings, tasks and folders that a recipe cannot take: one line, and no run folder is left."""

from __future__ import annotations

import typing

import pytest
from click.testing import CliRunner
from tiny import write_photo

from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.synthesis import presets
from ssl_restore_cli.main import main

OUT_OF_RANGE = {
    "width": 0, "lr": -1.0, "weight_decay": -1.0, "decay": 2.0, "critic_width": 0, "embedding": 0,
    "blocks": 0, "alpha": -1.0, "rehearsal": -1.0, "lambda_c": -1.0, "label": -1.0,
}  # fmt: skip
BEYOND = [
    (name, key, value)
    for name in discover.names("recipes")
    for key, value in OUT_OF_RANGE.items()
    if key in discover.settings(discover.builder("recipes", name))
]


def refused(tmp_path, *arguments):
    for seed in range(2):
        write_photo(tmp_path / "photos" / f"{seed}.png", 64, 64, seed=seed)
    given = ["fit", "--steps", "1", "-o", str(tmp_path / "run"), *map(str, arguments)]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
    return result.stderr


@pytest.mark.parametrize(("name", "key", "value"), BEYOND)
def test_a_setting_out_of_range_is_refused(name, key, value):
    known = discover.settings(discover.builder("recipes", name))
    given = {"contrast": "pcl"} if key in ("critic_width", "alpha") and "contrast" in known else {}
    with pytest.raises(UserError):
        discover.recipe(name, {**given, key: (value,) if isinstance(known[key], tuple) else value})


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "1e999,2", "(1e999, 1e999)"])
@pytest.mark.parametrize("kind", ["recipes", "adapters"])
def test_no_setting_is_nan_or_infinite(kind, value):
    for name in discover.names(kind):
        build = discover.builder(kind, name)
        hints = typing.get_type_hints(build)
        for key in discover.settings(build):
            if hints[key] is not str:
                with pytest.raises(UserError, match="expected a value of type"):
                    discover.parse_settings(build, [f"{key}={value}"])


@pytest.mark.parametrize("value", ["nan", "1e999", "0,1e999"])
def test_no_range_of_a_degradation_is_nan_or_infinite(value):
    with pytest.raises(UserError, match="expected a value of type"):
        presets.degradation(["haze"], changes=[f"visibility_m={value}"])


def test_it_is_refused_in_one_line_before_anything_is_written(tmp_path):
    said = refused(tmp_path, "--images", tmp_path / "photos", "--set", "width=0")
    assert "--set: recipe derain_unpaired cannot take these: width must be at least 1" in said


def test_a_task_that_is_not_that_of_the_recipe_is_refused(tmp_path):
    said = refused(
        tmp_path, "--task", "upscale", "--recipe", "rrcl", "--images", tmp_path / "photos"
    )
    assert "--task: recipe rrcl learns to derain, not to upscale; leave one of them out" in said


@pytest.mark.parametrize(
    ("recipe", "pairs"), [("pcl", True), ("aecr", True), ("rendered", False)]
)  # fmt: skip
def test_degraded_pictures_that_nothing_would_be_learned_from_are_refused(tmp_path, recipe, pairs):
    photos = tmp_path / "photos"
    said = refused(tmp_path, "--recipe", recipe, "--images", photos, "--clean", photos)
    assert f"--images: recipe {recipe} learns from clean photographs alone; leave these out" in said
    assert ("or add --paired" in said) == pairs
