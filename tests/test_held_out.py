"""What is measured while a run trains: pictures held out, columns of the log, the sample sheet."""

from __future__ import annotations

import csv
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from learning import TINY, plan_for

from ssl_restore import discover
from ssl_restore.io import images
from ssl_restore.training import data, report, session
from ssl_restore.training.data import Pictures
from ssl_restore.training.run import Run

CPU = torch.device("cpu")


def measure(degraded, restored):
    """Scores that can be told by hand."""
    assert degraded.shape == restored.shape
    change = np.abs(degraded.astype(float) - restored).mean()
    return {"brightness": float(degraded.mean()), "change": float(change)}


def logged(run):
    with run.log.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("count", "kept"), [(0, 0), (9, 0), (10, 1), (39, 3), (40, 4), (100, 4)])
def test_a_tenth_and_four_at_most_are_held_out_spread_over_the_folder(count, kept):
    whole = Pictures(tuple(np.full((2, 2, 3), n, np.uint8) for n in range(count)), ("x",), "f")
    learned, held = data.hold_out(whole, 4)
    assert len(held) == kept
    assert (learned.skipped, learned.fingerprint) == (("x",), "f")
    numbers = [int(one[0, 0, 0]) for one in (*learned.pixels, *held)]
    assert sorted(numbers) == list(range(count))
    if kept > 1:
        assert (held[0][0, 0, 0], held[-1][0, 0, 0]) == (0, count - 1)


def test_held_out_pictures_are_shown_and_never_learned_from(pictures):
    rainy, clean = pictures("rainy", 10), pictures("clean", 10)
    job = session.prepare(plan_for(rainy, clean), rainy.parent / "run", CPU)
    (held,) = job.held_out
    assert len(job.pictures["degraded"].pixels) == 9
    assert len(job.pictures["clean"].pixels) == 10
    assert job.shown == job.held_out
    assert not any(np.array_equal(held, one) for one in job.pictures["degraded"].pixels)


def test_resumed_run_holds_out_the_same_pictures(pictures):
    rainy, clean = pictures("rainy", 10), pictures("clean")
    folder = rainy.parent / "run"
    (first,) = session.prepare(plan_for(rainy, clean), folder, CPU).held_out
    (again,) = session.prepare(Run(folder).plan(), folder, CPU, resume=True).held_out
    assert np.array_equal(first, again)


def test_last_row_and_sheet_have_the_mean_scores(pictures):
    rainy, clean = pictures("rainy", 20), pictures("clean")
    job = session.prepare(plan_for(rainy, clean, steps=3), rainy.parent / "run", CPU)
    rows = list(session.train(job, measure=measure))
    assert all(not row.scores for row in rows[:-1])
    log = logged(job.run)
    assert list(log[0])[-4:] == ["restore", "veil", "brightness", "change"]
    assert [row["step"] for row in log] == ["1", "2", "3"]
    assert [row["brightness"] for row in log[:-1]] == ["", ""]
    expected = np.mean([held.mean() for held in job.held_out])
    assert float(log[-1]["brightness"]) == pytest.approx(expected, rel=1e-5)
    sheet = images.read(job.run.sample).pixels
    assert sheet.shape == (2 * 260 + 2 * report.LINE_PX, 2 * 260, 3)
    assert sheet[2 * 260 :].max() > 100  # something is written there


def test_rows_at_which_samples_are_drawn_have_scores(pictures, monkeypatch):
    rainy, clean = pictures("rainy"), pictures("clean")
    job = session.prepare(plan_for(rainy, clean, steps=15), rainy.parent / "run", CPU)
    ticks = iter(range(0, 10**6, 20))
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    yielded = [row.step for row in session.train(job, measure=measure) if row.scores]
    steps = [int(row["step"]) for row in logged(job.run) if row["change"]]
    assert yielded == steps[:-1]
    assert len(yielded) >= 2
    assert steps[-1] == 15
    assert {int(row["step"]) for row in logged(job.run)} == {*range(1, 11), *steps}


def test_without_a_measure_there_are_no_columns_and_no_text(pictures):
    rainy, clean = pictures("rainy"), pictures("clean")
    job = session.prepare(plan_for(rainy, clean), rainy.parent / "run", CPU)
    list(session.train(job))
    assert list(logged(job.run)[0]) == ["step", "seconds", "lr", "restore", "veil"]
    assert images.read(job.run.sample).pixels.shape == (520, 3 * 260, 3)


def test_nothing_is_measured_where_no_picture_is_degraded(pictures):
    clean = pictures("clean")
    plan = plan_for(None, clean, recipe="derain_physics")
    job = session.prepare(plan, clean.parent / "run", CPU)
    list(session.train(job, measure=measure))
    assert "change" not in logged(job.run)[0]


def test_finished_run_that_is_resumed_is_not_measured_again(pictures):
    rainy, clean = pictures("rainy"), pictures("clean")
    folder = rainy.parent / "run"
    list(session.train(session.prepare(plan_for(rainy, clean), folder, CPU), measure=measure))
    before = Run(folder).log.read_text()
    job = session.prepare(Run(folder).plan(), folder, CPU, resume=True)
    list(session.train(job, resume=True, measure=measure))
    assert Run(folder).log.read_text() == before


def test_sample_takes_the_middle_of_pictures_and_the_first_observation():
    restorer = discover.builder("networks", "unet")(width=4).eval()  # gives its input back
    draws = np.random.default_rng(0)
    large = draws.integers(0, 256, (700, 900, 6), np.uint8)
    real = draws.random((40, 30, 3), np.float32)
    found = report.sample(restorer, [large, real], precision="fp32")
    assert np.array_equal(found.degraded[0], large[94:606, 194:706, :3])
    assert np.array_equal(found.restored[0], found.degraded[0])
    assert np.array_equal(found.degraded[1], (real * 255).round().astype(np.uint8))
    assert found.mean_scores() == {}


def test_mean_is_over_the_pictures_that_have_a_score():
    scores = [{"a": 1.0, "b": 2.0, "c": math.nan}, {"a": 3.0, "b": math.nan}]
    assert report.Sample([], [], scores).mean_scores() == {"a": 2.0, "b": 2.0}


def test_room_is_wanted_for_each_weight_once():
    recipe = discover.recipe("derain_unpaired", TINY)
    kept = (recipe.restorer, recipe.ema, recipe.anchor)
    tensors = [value for module in kept for value in module.state_dict().values()]
    assert session._size(recipe) == sum(value.nbytes for value in tensors)
