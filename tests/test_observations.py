"""Several observations of a scene: how a folder is read, and what does not fit together."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import pixels

import ssl_restore_samples
from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.images import Picture
from ssl_restore.training import data, observations
from ssl_restore_cli.main import main


def scene(height=64, width=96, seed=0):
    """A photograph to crop: smooth shapes of several sizes, (H, W, 3) float."""
    draws = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    light = np.full((height, width), 120.0)
    for _ in range(40):
        row, column = draws.uniform(0, height), draws.uniform(0, width)
        size, step = draws.uniform(2, 12), draws.uniform(-60, 60)
        light += step * (np.hypot(rows - row, columns - column) < size)
    return np.repeat(light[..., None], 3, axis=2).clip(20, 235)


def noisy(light, seed, sigma=10.0):
    draws = np.random.default_rng(1000 + seed)
    return (light + draws.normal(0, sigma, light.shape)).round().clip(0, 255).astype(np.uint8)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, Picture(array))
    return path


def pair(folder, name="cat", light=None):
    light = scene() if light is None else light
    return [write(folder / f"{name}_{tag}.png", noisy(light, i)) for i, tag in enumerate("ab")]


def names(found):
    return {name: [path.name for path in paths] for name, paths in found.items()}


def test_pictures_belong_together_by_name_or_by_folder(tmp_path):
    for file in ("cat_a.png", "cat_b.png", "my_dog_2.png", "my_dog_10.png", "one.png",
                 "bird/3.png", "bird/x.png", "fish/7.png"):  # fmt: skip
        write(tmp_path / file, noisy(scene(), 0))
    found, alone = observations.scenes(tmp_path)
    assert names(found) == {
        "cat": ["cat_a.png", "cat_b.png"],
        "my_dog": ["my_dog_2.png", "my_dog_10.png"],
        "bird/": ["3.png", "x.png"],
    }
    assert sorted(line.split(":")[0].split("/")[-1] for line in alone) == ["7.png", "one.png"]


def test_observations_are_stacked_as_they_are(tmp_path):
    paths = pair(tmp_path)
    found = observations.load(tmp_path, patch=16)
    (stack,) = found.pixels
    assert np.array_equal(stack, np.concatenate([images.read(p).pixels for p in paths], axis=2))
    assert not found.skipped


def test_patches_show_one_place_in_two_observations_and_every_pair_is_drawn():
    """Three observations whose values tell which they are and where."""
    place = np.arange(40 * 50).reshape(40, 50, 1) / 10_000
    stack = np.concatenate([np.repeat(place + n, 3, axis=2) for n in range(3)], axis=2)
    scenes = data.Pictures((stack.astype(np.float32),), (), "")
    drawn = data.observations(scenes, 200, 16, rng.derive(0, "x"), upright=False)
    assert drawn.shape == (200, 2, 3, 16, 16)
    number = drawn.floor()
    torch.testing.assert_close((drawn - number)[:, 0], (drawn - number)[:, 1], atol=1e-6, rtol=0)
    pairs = {(int(a), int(b)) for a, b in number[:, :, 0, 0, 0]}
    assert pairs == {(a, b) for a in range(3) for b in range(3)} - {(0, 0), (1, 1), (2, 2)}


def test_float_pictures_keep_what_is_beyond_black_and_white():
    whole = np.linspace(-0.5, 1.5, 32 * 32 * 3, dtype=np.float32).reshape(32, 32, 3)
    found = data.patches(data.Pictures((whole,), (), ""), 8, 32, rng.derive(0, "x"), upright=True)
    assert (found.min(), found.max()) == (-0.5, 1.5)


def test_recipe_that_sees_one_size_gets_no_shrunk_patches():
    board = np.repeat((np.indices((720, 720)).sum(0) % 2 * 255)[..., None], 3, axis=2)
    pictures = data.Pictures((board.astype(np.uint8),), (), "")
    drawn = data.patches(pictures, 40, 16, rng.derive(0, "x"), upright=True, shrink=1)
    assert (drawn.amax(dim=(1, 2, 3)) - drawn.amin(dim=(1, 2, 3)) == 1).all()


# What does not fit


@pytest.mark.parametrize(("rows", "columns"), [(0, 2), (3, -1), (-6, 5), (0, 0)])
@pytest.mark.parametrize("sigma", [2.0, 40.0])
def test_shift_is_told_to_a_part_of_a_pixel_through_noise(rows, columns, sigma):
    light = scene(160, 180)
    one = noisy(light[20:140, 20:160], 1, sigma)
    other = noisy(light[20 - rows : 140 - rows, 20 - columns : 160 - columns], 2, sigma)
    down, right, likeness = observations.shift(one, other)
    assert (down, right) == pytest.approx((rows, columns), abs=0.3)
    assert likeness > 0.3


def test_half_a_pixel_is_told(tmp_path):
    light = scene(240, 280)
    halves = [light[a : a + 200, 20:260].reshape(100, 2, 120, 2, 3).mean(axis=(1, 3))
              for a in (20, 19)]  # fmt: skip
    down, right, _ = observations.shift(*(noisy(half, i, 5) for i, half in enumerate(halves)))
    assert down == pytest.approx(0.5, abs=0.15)
    assert right == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize("sigma", [0.0, 40.0])
def test_flat_scene_tells_no_shift(sigma):
    flat = np.full((90, 120, 3), 130.0)
    assert observations.shift(noisy(flat, 1, sigma), noisy(flat, 2, sigma)) == (0, 0, 1)


def test_observations_that_do_not_fit_are_named_with_the_reason(tmp_path):
    folder = ssl_restore_samples.photographs()
    light, other = (
        images.read(folder / name).pixels[:100, :140] for name in ("petra.jpg", "cow.jpg")
    )
    pair(tmp_path, light=light[8:72, 8:104])
    write(tmp_path / "cat_c.png", noisy(light[8:72, 5:101], 3))
    write(tmp_path / "cat_d.png", noisy(light[8:72, 8:100], 4))
    write(tmp_path / "cat_e.png", noisy(other[8:72, 8:104], 5))
    (tmp_path / "cat_f.png").write_bytes(b"no picture")
    found = observations.load(tmp_path, patch=16)
    assert found.pixels[0].shape == (64, 96, 6)
    said = "\n".join(found.skipped)
    told = re.search(r"cat_c.png: is shifted against cat_a.png by ([\d.]+) px across and", said)
    assert float(told[1]) == pytest.approx(3, abs=0.3)
    assert "cat_d.png: 92x64, but cat_a.png of the same scene is 96x64" in said
    assert "cat_e.png: does not show what cat_a.png shows" in said
    assert "cat_f.png: not a PNG" in said
    assert len(found.skipped) == 4


def test_scene_of_which_one_observation_is_left_is_left_out(tmp_path):
    pair(tmp_path, "cat")
    pair(tmp_path, "dog")
    (tmp_path / "dog_a.png").write_bytes(b"no picture")
    found = observations.load(tmp_path, patch=16)
    assert len(found.pixels) == 1
    assert any("dog_a.png: its scene has no second observation" in line for line in found.skipped)


def test_folder_without_pairs_is_refused_with_the_names_that_it_needs(tmp_path):
    write(tmp_path / "a.png", noisy(scene(), 0))
    write(tmp_path / "b.png", noisy(scene(), 1))
    with pytest.raises(UserError, match=r"NAME_a.png and NAME_b.png, or give each scene a sub-f"):
        observations.load(tmp_path, patch=16)


def test_budget_keeps_one_window_of_all_observations(tmp_path):
    place = np.arange(64 * 96).reshape(64, 96, 1) % 251
    light = np.repeat(place, 3, axis=2).astype(np.uint8)
    for tag in "abc":
        write(tmp_path / f"x_{tag}.png", light)
    (stack,) = observations.load(tmp_path, patch=16, budget_bytes=9 * 1000).pixels
    assert stack.shape[2] == 9
    assert 16 * 16 <= stack.shape[0] * stack.shape[1] <= 1000
    assert np.array_equal(stack[..., :3], stack[..., 3:6])


def test_fit_learns_from_pairs_and_denoise_takes_the_result(tmp_path):
    pair(tmp_path / "in", "cat")
    pair(tmp_path / "in", "dog", scene(seed=4))
    write(tmp_path / "in" / "alone.png", noisy(scene(), 0))
    tiny = [f"--set={k}" for k in ("width=4", "batch=2", "patch=16")]
    call = ["fit", "--images", tmp_path / "in", "--recipe", "noise2noise", "--steps", 3, *tiny]
    result = CliRunner().invoke(main, [*map(str, call), "-o", str(tmp_path / "run")])
    assert result.exit_code == 1  # a picture was left out
    assert "alone.png: the only observation" in result.stderr
    weights = tmp_path / "run" / "restorer.safetensors"
    assert result.stdout == f"{weights}\n"
    assert (tmp_path / "run" / "sample.png").is_file()
    photo = write(tmp_path / "p.png", pixels(24, 40))
    call = ["denoise", photo, tmp_path / "q.png", "--weights", weights]
    assert CliRunner().invoke(main, [*map(str, call)]).exit_code == 0
