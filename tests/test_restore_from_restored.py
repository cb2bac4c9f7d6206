"""Restore from restored: what is degraded anew, and with what."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from moving import Blur, frames, save_photographs, with_noise
from tiny import random_restorer

from degradations.noise import CorrelatedNoise, Noise
from ssl_restore import discover
from ssl_restore.adapters import restore_from_restored
from ssl_restore.adapters.noise_like import NoiseLike
from ssl_restore.adapters.rain_of_frames import RAIN
from ssl_restore.adapters.stream import Course
from ssl_restore.calibration import noise as noise_calibration
from ssl_restore.calibration import rain as rain_calibration
from ssl_restore.calibration.noise import PictureNoise
from ssl_restore.calibration.noise_width import neighbouring, width_of
from ssl_restore.errors import UserError
from ssl_restore.evaluation import rain_left
from ssl_restore.inference.tiles import restore
from ssl_restore.training import material


@pytest.fixture(autouse=True)
def few_photographs(tmp_path, monkeypatch):
    folder = save_photographs(tmp_path / "photographs")
    monkeypatch.setattr(material, "bundled_photographs", lambda: folder)


def run(restorer, given, **keywords):
    model = discover.task(restorer.task or "denoise").stream
    adapt = restore_from_restored.build(model, batch=2, patch=16, lr=0.1)
    return list(adapt(restorer, given, Course(steps=1, precision="fp32", **keywords)))


def row(gain=0.0, sigma=0.1, correlation=0.0):
    return PictureNoise("", gain, sigma, 0.1, correlation, 1.0, 0.0)


def drawn(noise, clean):
    return noise.apply(clean, noise.sample(tuple(clean.shape), torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("width", [0.4, 0.8, 1.5])
def test_width_is_the_one_with_this_correlation(width):
    assert width_of(neighbouring(width)) == pytest.approx(width, rel=1e-3)
    noise = drawn(CorrelatedNoise((1, 1), (width, width)), torch.zeros(1, 3, 256, 256))
    found = float((noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean())
    assert found == pytest.approx(neighbouring(width), abs=0.02)


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_noise_has_the_measured_variance_and_correlation(correlation):
    measured = row(gain=0.01, sigma=0.05, correlation=correlation)
    noise = drawn(NoiseLike((measured,)), torch.full((64, 3, 48, 48), 0.5)) - 0.5
    assert noise.mean() == pytest.approx(0, abs=2e-3)
    assert noise.square().mean() == pytest.approx(0.01 * 0.5 + 0.05**2, rel=0.05)
    next_to = (noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean()
    assert next_to == pytest.approx(correlation, abs=0.03)


def test_noise_that_was_measured_is_measured_again():
    clean = torch.from_numpy(np.stack(frames(4, 256, 256))).permute(0, 3, 1, 2) / 255
    picture = drawn(Noise((0, 0), (0.1, 0.1)), clean)[0].permute(1, 2, 0).numpy()
    first = noise_calibration.measure("", picture)
    again = drawn(NoiseLike((first,)), clean)[1].permute(1, 2, 0).numpy()
    assert noise_calibration.measure("", again).level == pytest.approx(first.level, rel=0.15)


def test_noise_like_that_of_no_frame_is_an_error():
    with pytest.raises(ValueError, match="no frame at all"):
        NoiseLike(()).sample((1, 3, 8, 8), torch.Generator())


def test_one_frame_is_enough_and_a_black_one_before_it_does_not_matter():
    given = with_noise(frames(1))
    assert not np.array_equal(run(Blur(), given)[0], restore(Blur(), given[0], precision="fp32"))
    black = np.zeros_like(given[0])
    found = run(Blur(), [black, *given])
    assert not found[0].any()


def test_a_video_whose_noise_cannot_be_measured_is_named_with_the_reason():
    black = [np.zeros((80, 96, 3), np.uint8)] * 2
    with pytest.raises(UserError, match=r"^a\.mp4: black or white pixels nearly everywhere"):
        run(Blur(), black, name="a.mp4")
    with pytest.raises(UserError, match=r"^a\.mp4: 96x40 is too small"):
        run(Blur(), with_noise([frame[:40] for frame in frames(2)]), name="a.mp4")


@pytest.mark.parametrize("online", [False, True])
def test_a_dry_video_teaches_a_derainer_nothing(monkeypatch, online):
    monkeypatch.setattr(rain_calibration, "RAINY_FROM", 1.1)  # nothing is rain enough
    restorer, notes = random_restorer(strength=0.05).eval(), []
    given = with_noise(frames(1, 160, 160), 3)
    course = {"name": "a.mp4", "online": online, "notify": notes.append}
    if not online:
        with pytest.raises(UserError, match=r"^a\.mp4: no rain found to learn from$"):
            run(restorer, given, **course)
        return
    (found,) = run(restorer, given, **course)
    assert np.array_equal(found, restore(restorer, given[0], precision="fp32"))
    assert notes == ["a.mp4: restored without learning: no rain found to learn from"]


def test_pseudo_clean_frames_of_a_derainer_lie_across_the_rain():
    restorer = random_restorer(strength=0.05).eval()
    student = restore_from_restored._Student(restorer, RAIN, Course(), 1e-3, 2, 16, 0.5)
    (frame,) = frames(1, 160, 192)
    student.take(frame, frame)
    assert np.array_equal(student.memory.kept[0].clean, np.rot90(frame))


@pytest.mark.parametrize("online", [False, True])
def test_what_leaves_more_rain_than_the_start_is_not_used(monkeypatch, online):
    monkeypatch.setattr(
        rain_calibration, "RAINY_FROM", 0.0
    )  # whatever the frames show is rain enough
    monkeypatch.setattr(rain_left, "LEAST_LOST", -1.0)  # no texture is ever enough
    restorer, notes = random_restorer(strength=0.05).eval(), []
    given = with_noise(frames(2, 160, 168), 3)
    found = run(restorer, given, name="a.mp4", online=online, notify=notes.append)
    plain = [restore(restorer, frame, precision="fp32") for frame in given]
    off = [np.abs(a.astype(int) - b).max() for a, b in zip(found, plain, strict=True)]
    assert max(off) <= 1  # norms are folded
    many = "2 frames restored" if online else "restored"
    assert notes == [f"a.mp4: {many} without what was learned: texture was lost"]
