"""What every adapter promises.  A new file in adapters/ is tested the moment it exists."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from moving import Blur, frames, save_photographs, with_noise
from tiny import random_restorer

from ssl_restore import discover
from ssl_restore.adapters import stream
from ssl_restore.adapters.noise_of_frames import NOISE
from ssl_restore.adapters.stream import Course
from ssl_restore.calibration import rain as rain_calibration
from ssl_restore.errors import UserError
from ssl_restore.evaluation import metrics
from ssl_restore.inference.tiles import restore
from ssl_restore.networks import denoiser
from ssl_restore.training import material

NAMES = discover.names("adapters")
TINY = {"batch": 2, "patch": 16}
each = pytest.mark.parametrize("name", NAMES)
both = pytest.mark.parametrize("online", [False, True], ids=["offline", "online"])


@pytest.fixture(autouse=True)
def few_photographs(tmp_path, monkeypatch):
    """Loading all those installed takes longer than the rest of a test."""
    folder = save_photographs(tmp_path / "photographs")
    monkeypatch.setattr(material, "bundled_photographs", lambda: folder)


def run(name, restorer, given, *, online=False, steps=2, **settings):
    model = discover.task(restorer.task or "denoise").stream
    adapt = discover.builder("adapters", name)(model, **{**TINY, **settings})
    course = Course(online=online, steps=steps, precision="fp32")
    return list(adapt(restorer, given, course))


def tiny_denoiser():
    """Of width 4, some draws have no feature alive, and nothing to learn; seed 1 has."""
    torch.manual_seed(1)
    net = denoiser.build(width=4, blocks=(1,)).eval()
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=draws))
    return net


def test_the_adapters_are_found():
    assert {"frame2frame", "restore_from_restored"} <= set(NAMES)


@each
def test_it_builds_without_settings_and_says_what_it_is(name):
    for task in discover.names("tasks", "task"):
        assert callable(discover.builder("adapters", name)(discover.task(task).stream))
    assert len(discover.summary("adapters", name)) > 20


@each
@both
def test_the_restorer_gets_better_on_noise_it_did_not_know(name, online):
    clean = frames(6)
    given = with_noise(clean)
    plain = restore(Blur(), given[-1], precision="fp32")
    found = run(name, Blur(), given, online=online, steps=15 if online else 60, lr=0.1)
    gain = metrics.psnr(found[-1], clean[-1]) - metrics.psnr(plain, clean[-1])
    assert gain > 0.7


@each
@both
@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (1, np.uint16), (3, np.uint16)])
def test_every_frame_comes_back_in_its_size_and_type(name, online, channels, dtype):
    scale = np.iinfo(dtype).max // 255
    given = [frame[:70, :90, :channels].astype(dtype) * scale for frame in with_noise(frames(3))]
    found = run(name, Blur(), given, online=online)
    assert [f.shape for f in found] == [(70, 90, channels)] * 3
    assert {f.dtype for f in found} == {np.dtype(dtype)}
    near = [np.abs(f.astype(float) - g).mean() / np.iinfo(dtype).max for f, g in
            zip(found, given, strict=True)]  # fmt: skip
    assert max(near) < 0.05


@each
@both
def test_the_restorer_itself_stays_and_the_same_seed_gives_the_same_frames(name, online):
    restorer = tiny_denoiser()
    weights = {key: value.clone() for key, value in restorer.state_dict().items()}
    given = with_noise(frames(3))
    one, again = (run(name, restorer, given, online=online, lr=0.01) for _ in range(2))
    assert all(torch.equal(value, weights[key]) for key, value in restorer.state_dict().items())
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[-1], restore(restorer, given[-1], precision="fp32"))


@each
def test_statistics_of_norms_rest(name, monkeypatch):
    learned = []
    fit = stream.fit
    monkeypatch.setattr(stream, "fit", lambda r, *a, **k: learned.append(r) or fit(r, *a, **k))
    restorer = tiny_denoiser()
    run(name, restorer, with_noise(frames(3)))
    before, after = restorer.state_dict(), learned[0].restorer.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before if "running" in key)
    assert not all(torch.equal(before[key], after[key]) for key in before if "conv" in key)


@each
def test_online_a_frame_does_not_depend_on_those_to_come(name):
    given = with_noise(frames(5))
    other = [*given[:3], *with_noise(frames(2, seed=7), seed=9)]
    one, two = (run(name, Blur(), iter(video), online=True, lr=0.1) for video in (given, other))
    assert all(np.array_equal(a, b) for a, b in zip(one[:3], two[:3], strict=True))
    assert not np.array_equal(one[3], two[3])


@each
def test_online_each_frame_is_given_back_before_the_next_is_asked_for(name):
    asked = []

    def coming():
        for number, frame in enumerate(with_noise(frames(3))):
            asked.append(number)
            yield frame

    adapt = discover.builder("adapters", name)(NOISE, **TINY)
    results = adapt(Blur(), coming(), Course(online=True, steps=1))
    for number in range(3):
        next(results)
        assert asked == list(range(number + 1))


@each
def test_offline_frames_that_can_be_read_once_only_are_refused(name):
    with pytest.raises(TypeError, match="read twice"):
        run(name, Blur(), iter(with_noise(frames(3))))


@each
@both
def test_it_works_for_a_derainer(name, online, monkeypatch):
    monkeypatch.setattr(
        rain_calibration, "RAINY_FROM", 0.0
    )  # whatever the frames show is rain enough
    given = with_noise(frames(2, 160, 168), 3)
    restorer = random_restorer(strength=0.05).eval()
    found = run(name, restorer, given, online=online, steps=1)
    assert [f.shape for f in found] == [g.shape for g in given]


@each
@both
def test_an_empty_video_and_a_change_of_size_are_named(name, online):
    with pytest.raises(UserError, match="has no frame"):
        run(name, Blur(), [], online=online)
    given = [*with_noise(frames(2)), *with_noise(frames(1, 80, 64))]
    with pytest.raises(UserError, match="64 x 80 pixels after one of 96 x 80"):
        run(name, Blur(), given, online=online)
