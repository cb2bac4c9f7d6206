"""Whether a run keeps what it learned or what it started from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning import plan_for
from rainy_clips import rainy_clip

from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.restorer import Restorer
from ssl_restore.training import checkpoint, session
from ssl_restore.training.kept import farther_than, worse_than

CPU = torch.device("cpu")


class Says:
    """A verdict on each picture in turn; "unmeasurable" for one that shows nothing to restore."""

    def __init__(self, *verdicts):
        self.verdicts = iter(verdicts)

    def __call__(self, start):
        self.now = next(self.verdicts)
        return self

    def measure(self, name, frame):
        if self.now == "unmeasurable":
            raise UserError(f"{name}: nothing found")

    def rejected_reason(self, frame, before, after):
        assert before.shape == after.shape == frame.shape
        return self.now


@pytest.fixture
def unet():
    return discover.builder("networks", "unet")(width=4).eval()


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((None, None, "more rain"), None),
        ((None, "more rain"), None),
        (("lost", "more rain", "more rain", None), "more rain"),
        (("unmeasurable", "unmeasurable", "lost"), "lost"),
        (("unmeasurable",), None),
        ((), None),
    ],
)
def test_most_of_the_pictures_that_show_something_decide(unet, verdicts, expected):
    pictures = [np.zeros((16, 16, 3), np.uint8)] * len(verdicts)
    assert worse_than(unet, unet, pictures, Says(*verdicts)) == expected


class Darker(Restorer):
    """Takes so much light of every pixel."""

    stride, reach = 1, 0

    def __init__(self, light):
        super().__init__()
        self.light = torch.nn.Parameter(torch.tensor(light / 255))

    def forward(self, image):
        return image - self.light


def test_of_frames_the_distance_to_a_known_background_decides():
    place = np.zeros((16, 16, 9), np.uint8)
    place[..., :3], place[..., 3:6], place[:8, :, 6:] = 90, 60, 255
    place[8:, :, 3:6] = 90  # where nothing is known
    for lights, expected in (((20, 25), None), ((25, 20), "farther"), ((25, 40), "farther")):
        reason = farther_than(*map(Darker, lights), [place] * 3)
        assert reason is None if expected is None else expected in reason
    opposite = place.copy()
    opposite[..., 3:6] = 90
    assert farther_than(Darker(25), Darker(20), [place, opposite]) is None
    assert farther_than(Darker(25), Darker(20), [place, place, opposite]) is not None


@pytest.mark.parametrize("reason", [None, "farther from what was behind the rain"])
def test_a_run_on_a_clip_is_judged_by_its_backgrounds(pictures, tmp_path, monkeypatch, reason):
    clip, _ = rainy_clip(tmp_path / "clip", count=25)
    plan = plan_for(clip, pictures("clean"), recipe="fixed_camera")
    first = session.prepare(plan, tmp_path / "first", CPU)
    list(session.train(first))
    plan = type(plan)(**{**vars(plan), "start": str(first.run.weights)})
    second, said = session.prepare(plan, tmp_path / "second", CPU), []

    def judged(start, learned, places, *, precision):
        assert [place.shape[2] for place in places] == [9] * 12
        return reason

    monkeypatch.setattr(session, "farther_than", judged)
    list(session.train(second, judge=Says(), notify=said.append))
    assert (second.run.folder / "learned.safetensors").is_file() == (reason is not None)
    assert len(said) == (reason is not None)


def started(pictures, tmp_path, size=(24, 32)):
    rainy, clean = pictures("rainy", 10, size=size), pictures("clean")
    first = session.prepare(plan_for(rainy, clean), tmp_path / "first", CPU)
    list(session.train(first))
    plan = plan_for(rainy, clean)
    plan = type(plan)(**{**vars(plan), "start": str(first.run.weights)})
    return first, session.prepare(plan, tmp_path / "second", CPU)


@pytest.mark.parametrize("worse", [True, False])
def test_the_start_is_kept_where_the_result_is_worse(pictures, tmp_path, worse):
    first, second = started(pictures, tmp_path)
    said = []
    verdict = "more rain" if worse else None
    list(session.train(second, judge=Says(*[verdict] * 20), notify=said.append))
    aside = second.run.folder / "learned.safetensors"
    same = second.run.weights.read_bytes() == first.run.weights.read_bytes()
    assert (same, aside.is_file(), len(said)) == (worse, worse, int(worse))
    if worse:
        assert "more rain" in said[0]
        assert str(aside) in said[0]
        _, header = checkpoint.load(aside)
        assert header.step == 4
        resumed = session.prepare(second.run.plan(), second.run.folder, CPU, resume=True)
        list(session.train(resumed, resume=True))  # goes on from what was learned
        assert second.run.weights.read_bytes() != first.run.weights.read_bytes()


def test_the_mean_of_both_is_kept_where_it_is_not_worse(pictures, tmp_path):
    first, second = started(pictures, tmp_path)
    said, shown = [], len(second.shown)
    list(session.train(second, judge=Says(*["lost"] * shown, *[None] * shown), notify=said.append))
    assert len(said) == 1
    assert "the mean of both" in said[0]
    aside = second.run.folder / "learned.safetensors"
    (start, _), (learned, _), (kept, header) = map(
        checkpoint.load, (first.run.weights, aside, second.run.weights)
    )
    assert header.step == 4
    moved = 0.0
    for name, value in kept.state_dict().items():
        one, other = (net.state_dict()[name].float() for net in (start, learned))
        torch.testing.assert_close(value.float(), (one + other) / 2, atol=2e-3, rtol=2e-3)
        moved += float((one - other).abs().sum())
    assert moved > 0


def test_pictures_are_compared_whole_where_they_are_not_very_large(pictures, tmp_path):
    """Of rain that is sparse, the middle of a picture may show hardly any."""
    _, second = started(pictures, tmp_path, size=(40, 700))
    sizes = []

    class Seen(Says):
        def measure(self, name, frame):
            sizes.append(frame.shape)

    list(session.train(second, judge=Seen(None)))
    assert sizes == [(40, 700, 3)]


def test_a_start_that_is_gone_by_then_is_said(pictures, tmp_path):
    first, second = started(pictures, tmp_path)
    first.run.weights.unlink()
    said = []
    list(session.train(second, judge=Says(*["more rain"] * 20), notify=said.append))
    assert f"{first.run.weights} is gone" in said[0]
    assert second.run.weights.is_file()
    assert not (second.run.folder / "learned.safetensors").exists()


def test_a_run_from_scratch_has_nothing_to_be_worse_than(pictures, tmp_path):
    rainy, clean = pictures("rainy", 10), pictures("clean")
    job = session.prepare(plan_for(rainy, clean), tmp_path / "run", CPU)
    list(session.train(job, judge=Says(), notify=pytest.fail))
    assert not (job.run.folder / "learned.safetensors").exists()
