"""The training loop: what it refuses, its schedule, its average, and how long it goes on."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from learning import CPU, both, plan_for, random_batch, same, small_recipe, tiny, weights_of

from ssl_restore.errors import UserError
from ssl_restore.training import session
from ssl_restore.training.ema import update_ema
from ssl_restore.training.fit import fit
from ssl_restore.training.optimizers import warm_up_cosine
from ssl_restore.training.turn import Diverged, weighted

# What is refused


@pytest.mark.parametrize("weights", [{}, {"restore": 1.0, "contrast": 0.1}, {"other": 1.0}])
def test_terms_and_weights_of_other_names_are_refused(weights):
    with pytest.raises(ValueError, match=r"returned \['restore'\], the recipe weights"):
        weighted({"restore": torch.ones(())}, weights)


def test_total_is_the_weighted_sum():
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert weighted(terms, {"b": 0.5, "a": 10.0}).item() == 21.5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_loss_that_is_not_finite_names_term_and_step_and_leaves_the_networks(bad):
    recipe = tiny()
    kept = []

    def draw(step, progress):
        batch = random_batch(step, progress)
        if step == 2:
            kept.extend(weights_of(net) for net in (recipe.restorer, recipe.ema))
            batch.clean[0, 0, 5, 5] = bad
        return batch

    with pytest.raises(Diverged, match="the loss 'restore' became nan at step 3"):
        list(fit(recipe, draw, seed=0, steps=9))
    assert same(weights_of(recipe.restorer), kept[0])  # running statistics as well
    assert same(weights_of(recipe.ema), kept[1])


def test_gradient_that_is_not_finite_leaves_the_networks():
    learning = small_recipe(lambda out, batch: (out * 0).sum().sqrt())  # 0, its gradient inf * 0
    before = weights_of(both(learning)[0])
    with pytest.raises(Diverged, match="the gradient became nan at step 1"):
        list(fit(learning, random_batch, seed=0, steps=3))
    assert all(same(weights_of(net), before) for net in both(learning))


@pytest.mark.parametrize(
    ("length", "message"),
    [
        ({"steps": 0}, "steps: at least 1 is expected, got 0"),
        ({"steps": -3}, "steps: at least 1"),
        ({"seconds": 0.0}, "seconds: more than 0 is expected, got 0"),
        ({"seconds": math.nan}, "seconds: more than 0"),
        ({"steps": 1, "parts": 0}, "parts: at least 1"),
    ],
)
def test_a_run_without_length_is_refused_by_the_name_of_the_parameter(length, message):
    with pytest.raises(UserError, match=message):
        next(fit(tiny(), random_batch, seed=0, **length))


def test_neither_steps_nor_seconds_is_refused():
    with pytest.raises(ValueError, match="steps, seconds or both"):
        next(fit(tiny(), random_batch, seed=0))


def test_diverged_run_keeps_the_good_weights_and_proposes_a_rate(pictures, monkeypatch):
    plan = plan_for(pictures("rainy"), pictures("clean"), steps=9, lr=5e-4)
    job = session.prepare(plan, pictures("x").parent / "run", CPU)
    draw = session._draw

    def poisoned(job, step, progress):
        batch = draw(job, step, progress)
        if step == 4:
            batch.clean.fill_(math.nan)
        return batch

    monkeypatch.setattr(session, "_draw", poisoned)
    with pytest.raises(Diverged, match=r"'restore'.*step 5.*keeps the weights.*lr=0\.0002"):
        list(session.train(job))
    state = torch.load(job.run.state, weights_only=True)
    assert state["step"] == 4
    assert all(value.isfinite().all() for value in state["restorer"].values())


@pytest.mark.parametrize("patch", [15, 0, -16])
def test_patch_that_the_network_cannot_take_is_refused(pictures, patch):
    plan = plan_for(pictures("rainy"), pictures("clean"), patch=patch)
    with pytest.raises(UserError, match=f"patch: a multiple of 8 is expected, got {patch}"):
        session.prepare(plan, pictures("x").parent / "run", CPU)


@pytest.mark.parametrize("setting", ["batch", "width"])
def test_a_setting_of_zero_is_refused(pictures, setting):
    plan = plan_for(pictures("rainy"), pictures("clean"), **{setting: 0})
    with pytest.raises(UserError, match=f"({setting}: at|{setting} must be at) least 1"):
        session.prepare(plan, pictures("x").parent / "run", CPU)


# Schedule and average


def test_warm_up_is_linear_over_fifty_steps():
    assert warm_up_cosine(0, 0.0, 0.1) == pytest.approx(1 / 50)
    assert warm_up_cosine(24, 0.0, 0.1) == pytest.approx(25 / 50)
    assert warm_up_cosine(49, 0.0, 0.1) == warm_up_cosine(400, 0.0, 0.1) == 1


def test_cosine_falls_to_the_floor():
    assert warm_up_cosine(99, 0.5, 0.02) == pytest.approx(0.51)
    assert warm_up_cosine(99, 1.0, 0.02) == pytest.approx(0.02)
    assert warm_up_cosine(99, 1.7, 0.02) == pytest.approx(0.02)  # a clock may run over
    falling = [warm_up_cosine(99, share / 20, 0.02) for share in range(21)]
    assert falling == sorted(falling, reverse=True)


def test_rows_carry_the_scheduled_rate_and_the_progress():
    recipe = small_recipe(lambda out, batch: out.square().mean(), lr=0.3)
    rows = list(fit(recipe, random_batch, seed=0, steps=4))
    assert [row.step for row in rows] == [1, 2, 3, 4]
    assert [row.progress for row in rows] == [0, 0.25, 0.5, 0.75]
    expected = [0.3 * warm_up_cosine(step, step / 4, recipe.lr_floor) for step in range(4)]
    assert [row.lr for row in rows] == pytest.approx(expected)


def test_average_equals_the_one_computed_by_hand():
    recipe = small_recipe(lambda out, batch: (out - batch.clean).square().mean(), decay=0.25)
    net, ema = both(recipe)
    mean = {k: v.double() for k, v in weights_of(ema).items()}
    for row in fit(recipe, random_batch, seed=0, steps=6):
        decay = min(0.25, row.step / (row.step + 10))
        now = weights_of(net)
        mean = {k: decay * mean[k] + (1 - decay) * now[k].double() for k in mean}
        mean["norm.num_batches_tracked"] = now["norm.num_batches_tracked"]
        for name, value in weights_of(ema).items():
            torch.testing.assert_close(value.double(), mean[name].double(), rtol=1e-6, atol=1e-7)
    assert mean["norm.num_batches_tracked"] == 6
    assert mean["norm.running_var"].lt(0.9).all()  # the statistics have moved
    assert mean["scale"] != 1


def test_average_with_decay_zero_is_a_copy():
    restorer, ema = tiny(seed=1).restorer, tiny(seed=2).restorer
    restorer(random_batch(0).clean)
    update_ema(ema, restorer, 0.0)
    assert same(weights_of(ema), weights_of(restorer))


# Repeatability


def trained(seed, steps=6, name="derain_unpaired"):
    recipe = tiny(name)
    losses = [row.losses for row in fit(recipe, random_batch, seed=seed, steps=steps)]
    return weights_of(recipe.restorer), weights_of(recipe.ema), losses


def test_same_seed_gives_the_same_bits_and_another_seed_other_ones():
    one, again, other = trained(1), trained(1), trained(2)
    assert same(one[0], again[0])
    assert same(one[1], again[1])
    assert one[2] == again[2]
    assert not same(one[0], other[0])


def test_fit_leaves_the_global_stream_alone():
    recipe, before = tiny(), None
    for row in fit(recipe, random_batch, seed=0, steps=2):
        before = before if before is not None else torch.get_rng_state()
        assert torch.equal(torch.get_rng_state(), before), row.step


def test_restorer_trains_and_average_evaluates():
    recipe = tiny()
    next(fit(recipe, random_batch, seed=0, steps=2))
    assert recipe.restorer.training
    assert not any(module.training for module in recipe.ema.modules())


@pytest.mark.parametrize("rests", [True, False])
def test_only_norms_at_rest_keep_their_statistics(rests):
    recipe = dataclasses.replace(tiny(), frozen_batchnorm=rests)
    before = {k: v.clone() for k, v in recipe.restorer.state_dict().items()}
    list(fit(recipe, random_batch, seed=0, steps=2))
    after = recipe.restorer.state_dict()
    means = [name for name in before if name.endswith("running_mean") and "veil" not in name]
    assert all(torch.equal(before[name], after[name]) == rests for name in means)
    assert not torch.equal(before["decoder.head.weight"], after["decoder.head.weight"])


def test_gradients_are_shortened_to_norm_one():
    recipe = small_recipe(lambda out, batch: 1e6 * out.square().mean(), lr=1.0)
    net, _ = both(recipe)
    before = weights_of(net)
    next(fit(recipe, random_batch, seed=0, steps=1))
    after = weights_of(net)
    names = [name for name, _ in net.named_parameters()]
    moved = math.sqrt(sum((after[n] - before[n]).square().sum().item() for n in names))
    assert moved == pytest.approx(1 / 50, rel=1e-3)  # the rate of the first step


# How long


def test_training_on_seconds_stops_by_the_clock(monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr("ssl_restore.training.fit.time.monotonic", lambda: next(ticks))
    recipe = small_recipe(lambda out, batch: out.square().mean())
    rows = list(fit(recipe, random_batch, seed=0, seconds=10, spent=4.0))
    assert [row.seconds for row in rows] == [6, 8, 10]  # two looks a step, four spent before
    assert [row.progress for row in rows] == pytest.approx([0.5, 0.7, 0.9])


def test_steps_and_seconds_end_a_run_whichever_is_first(monkeypatch):
    def rows(**length):
        ticks = iter(range(1000))
        monkeypatch.setattr("ssl_restore.training.fit.time.monotonic", lambda: next(ticks))
        recipe = small_recipe(lambda out, batch: out.square().mean())
        return [row.progress for row in fit(recipe, random_batch, seed=0, **length)]

    assert rows(steps=4, seconds=1000) == pytest.approx([0, 0.25, 0.5, 0.75], abs=0.01)
    assert rows(steps=1000, seconds=8) == [1 / 8, 3 / 8, 5 / 8, 7 / 8]
    assert rows(steps=1000, seconds=1e-9) == [1]  # one step at least
    assert rows(steps=4, seconds=8) == [1 / 8, 3 / 8, 5 / 8, 7 / 8]  # the larger share
