"""What was behind the rain: medians in time of cameras that stand, that move, and that are cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from moving import frames as moving_frames
from rainy_clips import folder, rained, rainy_clip, scene

from ssl_restore.calibration import background
from ssl_restore.errors import UserError
from ssl_restore.io import images, video
from ssl_restore.training import checkpoint, clips
from ssl_restore.training.request import Request
from ssl_restore_cli.main import main


def test_median_shows_what_was_behind_the_rain(tmp_path):
    source, clean = rainy_clip(tmp_path / "rainy")
    found = background.find(video.find(source), 4)
    assert found.fixed
    assert [place.number for place in found.places] == [3, 7, 11, 15]
    for place in found.places:
        error = np.abs(place.background.astype(int) - clean)[place.mask]
        assert error.mean() < 1
        assert place.mask.mean() > 0.8
        assert np.abs(place.frame.astype(int) - clean).mean() > 1
        assert background.rain_light(place) > 1


def test_the_median_is_that_of_the_neighbours_without_the_frame():
    draws = np.random.default_rng(0)
    frames = list(draws.integers(0, 255, (9, 5, 6, 3)).astype(np.uint8))
    place = background._still(background._Window(5, 4, frames))
    near = np.stack(frames[:4] + frames[5:])
    assert (place.background == np.median(near, axis=0).round()).all()
    assert (place.frame == frames[4]).all()


def test_a_thing_that_moves_through_is_not_counted(tmp_path):
    clean, frames = scene(0, (96, 160)), []
    for number in range(17):
        frame = rained(clean, number)
        frame[20:32, 8 * number : 8 * number + 12] = 5  # darker than what it hides, by 35
        frames.append(frame)
    found = background.find(video.find(folder(tmp_path / "walk", frames)), 3)
    assert found.fixed
    for place in found.places:
        left = 8 * (place.number - 1)
        assert place.mask[22:30, left + 2 : left + 10].mean() < 0.1
        assert place.mask[:18].mean() > 0.8


@pytest.mark.parametrize("contrast", [0.25, 0.02])
def test_a_thing_in_all_frames_is_not_taken_for_a_moving_camera(tmp_path, contrast):
    clean, frames = scene(0, (144, 240)), []
    smooth = (128 + contrast * (clean.astype(float) - 128)).round().astype(np.uint8)
    thing = scene(3, (32, 40))
    for number in range(24):
        frame = rained(smooth, number)
        frame[38:70, 6 * number : 6 * number + 40] = thing
        frames.append(frame)
    found = background.find(video.find(folder(tmp_path / "walk", frames)), 3)
    assert found.fixed
    assert not found.skipped


def test_a_moving_camera_is_noticed_and_followed_by_flow(tmp_path):
    frames = moving_frames(15, step=3)
    found = background.find(video.find(folder(tmp_path / "walk", frames)), 2)
    assert not found.fixed
    for place in found.places:
        error = np.abs(place.background.astype(int) - place.frame)[place.mask]
        assert place.mask.mean() > 0.3
        assert error.mean() < 6


def test_windows_across_a_cut_are_left_out_and_named(tmp_path):
    frames = [rained(scene(0), n) for n in range(30)] + [rained(scene(9), n) for n in range(30)]
    clip = video.find(folder(tmp_path / "cut", frames))
    found = background.find(clip, 8, reach=5)
    assert found.fixed
    assert found.skipped
    assert all("a cut near frame" in line for line in found.skipped)
    numbers = [place.number for place in found.places]
    assert all(not 28 <= number <= 32 for number in numbers)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (lambda: [scene()] * 5, "5 frames; what is behind the rain takes at least 7"),
        (
            lambda: [scene()] * 8 + [scene(0, (64, 81))] * 8,
            "81 x 64 pixels, but the shot's first frame has 80 x 64",
        ),
        (lambda: [scene(n) for n in range(20)], "the scene changes from frame to frame"),
    ],
)
def test_what_is_no_clip_of_a_camera_is_refused_in_one_line(tmp_path, frames, message):
    source = folder(tmp_path / "f", frames())
    with pytest.raises(UserError, match=message):
        background.find(video.find(source), 6)
    assert not clips.are_one_scene(source)


def test_a_moving_camera_is_said_in_a_line(tmp_path):
    frames = [rained(frame, n) for n, frame in enumerate(moving_frames(12, step=4))]
    loaded = clips.load(folder(tmp_path / "walk", frames), patch=32)
    assert loaded.skipped == ()
    assert "the camera moves" in loaded.notes[0]


def test_a_clip_without_rain_is_refused(tmp_path):
    source = folder(tmp_path / "dry", [scene()] * 12)
    with pytest.raises(UserError, match="no rain to be seen"):
        clips.load(source, patch=32)


def test_frames_of_one_camera_choose_the_recipe_for_them(tmp_path):
    source, _ = rainy_clip(tmp_path / "rainy")
    other = folder(tmp_path / "album", [scene(n) for n in range(9)])
    assert Request(images=source).chosen_recipe() == "fixed_camera"
    assert Request(images=other).chosen_recipe() == "derain_unpaired"
    assert Request(images=source, recipe="rrcl").chosen_recipe() == "rrcl"
    assert Request(images=source, task="denoise").chosen_recipe() != "fixed_camera"


def test_held_frames_are_those_of_one_window(tmp_path):
    source, _ = rainy_clip(tmp_path / "rainy", count=40)
    clip, most = video.find(source), 0
    for window in background._windows(clip, list(range(40)), 3):
        most = max(most, len(window.frames))
        assert len(window.near) == 6
        assert np.array_equal(
            window.frame, images.read(source / f"{window.number - 1:03}.png").pixels
        )
    assert most == 7


def test_fit_learns_from_frames_and_their_backgrounds(tmp_path):
    source, clean = rainy_clip(tmp_path / "rainy", count=25)
    words = [
        "fit", "--images", str(source), "-o", str(tmp_path / "run"), "--steps", "200",
        "--from-scratch", "--set", "width=8", "--set", "patch=32", "--set", "lr=3e-3",
        "--set", "decay=0.9", "--set", "batch=4",
    ]  # fmt: skip
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "taken for frames of one scene, of a camera that stands still" in result.stderr
    restorer, header = checkpoint.load(tmp_path / "run" / "restorer.safetensors", task="derain")
    assert header.recipe == "fixed_camera"
    rainy = rained(clean, 99)  # a frame that it has not seen
    image = torch.from_numpy(rainy).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        restored = restorer(image)[0].permute(1, 2, 0).numpy() * 255
    before, after = (np.square(p - clean.astype(float)).mean() for p in (rainy, restored))
    assert after < 0.7 * before
