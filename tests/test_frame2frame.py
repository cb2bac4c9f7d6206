"""Frame to frame: pairs, masks, cuts, and videos without neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from moving import Blur, frames, with_noise

from ssl_restore.adapters import frame2frame
from ssl_restore.adapters.frame2frame import FrameToFrame, Matched
from ssl_restore.adapters.noise_of_frames import NOISE
from ssl_restore.adapters.stream import Course
from ssl_restore.errors import UserError
from ssl_restore.inference.tiles import restore

ADAPT = frame2frame.build(NOISE, batch=2, patch=16)


def run(given, **keywords):
    return list(ADAPT(Blur(), given, Course(steps=2, precision="fp32", **keywords)))


def taken(given):
    """The pairs that are made of the frames, which are taken for restored, too."""
    student = frame2frame._Pairs(Blur(), Course(online=True), 1e-3, 2, 16)
    for frame in given:
        student.take(frame, frame)
    return student


def test_loss_is_the_distance_where_the_neighbour_is_trusted():
    torch.manual_seed(0)
    frame, target = torch.rand(2, 2, 3, 8, 8)
    mask = torch.rand(2, 1, 8, 8).round()
    objective = FrameToFrame(torch.nn.Identity())
    batch = Matched(clean=target, degraded=frame, trusted=mask)
    found = objective(batch, torch.Generator())["match"]
    distances = [
        abs(float(frame[b, c, y, x] - target[b, c, y, x]))
        for b in range(2) for c in range(3) for y in range(8) for x in range(8) if mask[b, 0, y, x]
    ]  # fmt: skip
    assert float(found) == pytest.approx(np.mean(distances), abs=1e-4)


def test_a_batch_without_any_trust_has_no_gradient():
    net = Blur()
    batch = Matched(clean=torch.rand(1, 3, 8, 8), degraded=torch.rand(1, 3, 8, 8),
                    trusted=torch.zeros(1, 1, 8, 8))  # fmt: skip
    FrameToFrame(net)(batch, torch.Generator())["match"].backward()
    assert net.w.grad == 0


def test_target_is_the_neighbour_moved_onto_the_frame():
    student = taken(frames(2, step=2))
    assert len(student.memory.kept) == 2  # there and back
    for pair in student.memory.kept:
        mask = pair.trusted.expand(3, -1, -1)
        assert mask.float().mean() > 0.6
        assert (pair.frame - pair.target)[mask].abs().max() < 0.06


def test_no_pair_spans_a_cut():
    one, other = frames(3, seed=1), frames(3, seed=2)
    assert len(taken([*one, *other]).memory.kept) == 8  # of the 5 neighbours one is a cut


def test_nothing_is_learned_across_cuts_alone():
    given = [frames(1, seed=seed)[0] for seed in range(3)]
    with pytest.raises(UserError, match=r"a\.mp4: no frame is found in its neighbour"):
        run(given, name="a.mp4")


def test_one_frame_is_refused_offline_and_given_back_restored_online():
    given, notes = with_noise(frames(1)), []
    with pytest.raises(UserError, match=r"a\.mp4: one frame.*restore_from_restored"):
        run(given, name="a.mp4")
    (found,) = run(given, name="a.mp4", online=True, notify=notes.append)
    assert np.array_equal(found, restore(Blur(), given[0], precision="fp32"))
    assert len(notes) == 1
    assert "a.mp4: restored without learning: one frame" in notes[0]


def test_frames_below_what_flow_needs_are_named():
    with pytest.raises(UserError, match=r"a\.mp4: 96x12 is too small; 16 pixels"):
        run([frame[:12] for frame in frames(2)], name="a.mp4")


def test_memory_is_bounded_by_the_newest_online():
    student = taken(frames(40, 48, 48, step=1))
    assert len(student.memory.kept) == 48  # of 78 pairs
