"""Pairs of a degraded and a clean picture: what belongs together, patches of the same places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from moving import scene
from PIL import Image
from torch.nn import functional as F

from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.recipes import pcl
from ssl_restore.training import pairs
from ssl_restore.types import Batch
from ssl_restore_cli.main import main

TINY = ("width=4", "blocks=1", "critic_width=4", "batch=2", "patch=24")


def written(folder, name, pixels):
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / name)


def pair(path, name, scale=2, sides=(26, 40), seed=0):
    """A small picture, and a large one that has a block of pixels for each of its own."""
    draws = np.random.default_rng(seed)
    small = draws.integers(0, 256, (*sides, 3), dtype=np.uint8)
    large = np.repeat(np.repeat(small, scale, 0), scale, 1)
    written(path / "small", f"{name}.png", small)
    written(path / "large", f"{name}.png", large)


def loaded(path, scale=2, **how):
    return pairs.load(path / "small", path / "large", patch=24, scale=scale, **how)


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("upright", [True, False])
def test_patches_are_of_the_same_places(tmp_path, scale, upright):
    for number in range(3):
        pair(tmp_path, f"{number}", scale, sides=(25 + number, 30), seed=number)
    small, large = pairs.draw(*loaded(tmp_path, scale), 40, 24, rng.derive(0, "d"), upright=upright)
    assert large.shape == (40, 3, 24, 24)
    assert (F.interpolate(small, scale_factor=scale, mode="nearest") == large).all()
    assert len(small.flatten(1).unique(dim=0)) > 30  # of many places


def test_over_the_budget_the_same_window_is_kept_of_both(tmp_path):
    pair(tmp_path, "one", sides=(60, 80))
    small, large = loaded(tmp_path, budget_bytes=20_000)
    (few,), (many,) = small.pixels, large.pixels
    assert few.nbytes + many.nbytes <= 20_000
    assert (np.repeat(np.repeat(few, 2, 0), 2, 1) == many).all()


def test_a_small_picture_may_say_how_much_smaller_it_is(tmp_path):
    pair(tmp_path, "0801")
    (tmp_path / "small" / "0801.png").rename(tmp_path / "small" / "0801x2.png")
    small, _ = loaded(tmp_path)
    assert len(small.pixels) == 1


def test_what_has_no_partner_or_does_not_fit_it_is_named(tmp_path):
    pair(tmp_path, "good")
    pair(tmp_path, "alone")
    (tmp_path / "large" / "alone.png").unlink()
    pair(tmp_path, "unequal", scale=3)
    pair(tmp_path, "tiny", sides=(5, 40))
    written(tmp_path / "small", "torn.png", scene(30, 30, seed=1).astype(np.uint8))
    (tmp_path / "large" / "torn.png").write_bytes(b"torn")
    small, large = loaded(tmp_path)
    assert len(small.pixels) == len(large.pixels) == 1
    said = "\n".join(small.skipped)
    assert "alone.png: there is no picture of that name in" in said
    assert "unequal.png: 40x26, but" in said
    assert "is 120x78; 80x52 is expected" in said
    assert "tiny.png: 80x10 is smaller than the patch of 24" in said
    assert "torn.png" in said
    assert len(small.skipped) == 4


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def fit(tmp_path, *more, recipe="pcl"):
    settings = [part for setting in TINY for part in ("--set", setting)] if recipe == "pcl" else []
    return run(
        "fit", "--task", "upscale" if recipe == "pcl" else "derain", "--images", tmp_path / "small",
        "--paired", "--from-scratch", "--steps", 3, "-o", tmp_path / "run", *settings, *more,
    )  # fmt: skip


def test_pairs_are_learned_from_and_what_is_learned_enlarges(tmp_path):
    for number in range(3):
        pair(tmp_path, f"{number}", seed=number)
    result = fit(tmp_path, "--clean", tmp_path / "large")
    assert result.exit_code == 0, result.output
    weights = tmp_path / "run" / "restorer.safetensors"
    source = tmp_path / "small" / "0.png"
    result = run("upscale", source, tmp_path / "out.png", "--weights", weights)
    assert result.exit_code == 0, result.output
    assert images.read(tmp_path / "out.png").pixels.shape == (52, 80, 3)
    again = run("fit", "--resume", tmp_path / "run", "--steps", 5)
    assert again.exit_code == 0, again.output


def test_the_same_name_in_no_other_folder_is_refused(tmp_path):
    pair(tmp_path, "one")
    (tmp_path / "large" / "one.png").rename(tmp_path / "large" / "other.png")
    result = fit(tmp_path, "--clean", tmp_path / "large")
    assert result.exit_code == 1
    assert "no picture there can be used" in result.output
    assert "one.png: there is no picture of that name" in result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("clean", "recipe", "message"),
    [
        (None, "pcl", "--clean: give the folder of the pairs' clean pictures"),
        ("small", "pcl", "give that of the clean pictures of the same names"),
        ("large", "derain_unpaired", "--paired: recipe derain_unpaired learns without pairs"),
    ],
)
def test_what_is_no_set_of_pairs_is_refused(tmp_path, clean, recipe, message):
    pair(tmp_path, "one")
    more = [] if clean is None else ["--clean", tmp_path / clean]
    result = fit(tmp_path, *more, recipe=recipe)
    assert result.exit_code in (1, 2)  # which: test_cli.py
    assert message in result.output
    assert not (tmp_path / "run").exists()


def test_pairs_are_not_made_smaller_again():
    with pytest.raises(UserError, match="a multiple of 8 is expected, got 20"):
        pcl.build(patch=20, paired=True)
    recipe = pcl.build(width=4, blocks=1, paired=True)
    assert recipe.needs == {"clean", "degraded"}
    batch = Batch(clean=torch.rand(1, 3, 16, 16), degraded=torch.rand(1, 3, 8, 8))
    for player in recipe.players:
        made = player.objective.prepare(batch, torch.Generator())
        assert made.picture is batch.degraded
        assert made.truth is batch.clean
