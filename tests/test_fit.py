"""The training loop: what it refuses, its schedule, its average, and many processes."""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import socket
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from conftest import save_pictures
from torch import nn

from ssl_restore import device, discover
from ssl_restore.errors import UserError
from ssl_restore.training import session
from ssl_restore.training.ema import update_ema
from ssl_restore.training.fit import fit
from ssl_restore.training.optimizers import warm_up_cosine
from ssl_restore.training.run import Run, RunPlan
from ssl_restore.training.turn import Diverged, weighted
from ssl_restore.types import Average, Batch, Learning, Player

TINY = {"width": 4, "batch": 2, "patch": 16}
CPU = torch.device("cpu")


def random_batch(step, progress=0.0):
    draws = torch.Generator().manual_seed(step)
    clean, degraded = torch.rand(2, 2, 3, 16, 16, generator=draws)
    return Batch(clean=clean, degraded=degraded, progress=progress)


def tiny(name="derain_unpaired", seed=0):
    torch.manual_seed(seed)
    return discover.builder("recipes", name)(**TINY)


class Mean(nn.Module):
    """A restorer of one scale and one BatchNorm; the loss is what `loss` makes of its output."""

    def __init__(self, loss):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.scale = nn.Parameter(torch.ones(()))
        self.loss = loss

    def forward(self, image):
        return self.scale * self.norm(image)


class Loss(nn.Module):
    def __init__(self, restorer):
        super().__init__()
        self.restorer = restorer

    def forward(self, batch, generator):
        return {"restore": self.restorer.loss(self.restorer(batch.clean), batch)}


def small_recipe(loss, *, lr=0.1, decay=0.9, weights=None):
    restorer = Mean(loss)
    optimizer = torch.optim.SGD(restorer.parameters(), lr=lr)
    player = Player(Loss(restorer), weights or {"restore": 1.0}, optimizer)
    average = Average(copy.deepcopy(restorer), restorer, decay)
    return Learning(players=(player,), averages=(average,))


def both(learning):
    """The network of the only average, and its average."""
    (average,) = learning.averages
    return average.of, average.ema


def weights_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


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
    plan = plan_for(pictures("rainy"), pictures("clean"), steps=9)
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


# Several players, networks and averages


RECIPE_OF_TWO = '''
"""Two restorers that learn from each other, each with an average, and a schedule of its own."""
import copy

import torch
from torch import nn

from ssl_restore.networks import unet
from ssl_restore.training.optimizers import adamw
from ssl_restore.types import Average, Player, Recipe


class Mirror(nn.Module):
    def __init__(self, own, other):
        super().__init__()
        self.own, self.other = own, other

    def forward(self, batch, generator):
        with torch.no_grad():
            target = self.other(batch.degraded)
        return {"restore": (self.own(batch.degraded) - 0.5 * target).square().mean()}


def build(*, lr: float = 1e-3):
    one, two = unet.build(width=4), unet.build(width=4)
    averages = Average(copy.deepcopy(one), one, 0.9), Average(copy.deepcopy(two), two, 0.0)
    players = (
        Player(Mirror(one, averages[1].ema), {"restore": 1.0}, adamw(one.parameters(), lr=lr)),
        Player(
            Mirror(two, averages[0].ema), {"restore": 1.0}, adamw(two.parameters(), lr=lr),
            name="second", schedule=lambda step, progress: 10.0 if progress < 0.5 else 0.0,
        ),
    )
    return Recipe(
        task="derain", network="unet", keywords={"width": 4}, restorer=one, averages=averages,
        players=players, needs=frozenset({"degraded"}), batch=2, patch=16,
    )
'''


@pytest.fixture
def two(tmp_path):
    (tmp_path / "two.py").write_text(RECIPE_OF_TWO)
    torch.manual_seed(0)
    return discover.builder("recipes", f"{tmp_path / 'two.py'}")()


def test_players_have_schedules_and_averages_of_their_own(two):
    first, second = two.players
    rows = []
    for row in fit(two, random_batch, seed=0, steps=4):
        rates = [player.optimizer.param_groups[0]["lr"] for player in (first, second)]
        assert rates[0] == pytest.approx(1e-3 * warm_up_cosine(row.step - 1, row.progress))
        assert rates[1] == (1e-2 if row.step < 3 else 0)
        rows.append(row)
    one, other = two.averages
    assert two.restorer is one.of
    assert two.ema is one.ema
    assert same(weights_of(other.of), weights_of(other.ema))  # decay 0
    assert not same(weights_of(one.of), weights_of(one.ema))
    assert not any(net.training for net in (one.ema, other.ema))


def test_terms_of_the_same_name_stand_side_by_side_in_the_log(two, tmp_path):
    rows = list(fit(two, random_batch, seed=0, steps=2))
    assert set(rows[0].losses) == {"restorer.restore", "second.restore"}
    run = Run(tmp_path)
    run.append(rows)
    heading = run.log.read_text().splitlines()[0]
    assert heading == "step,seconds,lr,restorer.restore,second.restore"


def test_one_player_has_plain_names():
    (row,) = fit(tiny(), random_batch, seed=0, steps=1)
    assert list(row.losses) == ["restore", "veil"]


def test_players_of_one_name_are_refused(two):
    twice = dataclasses.replace(two, players=(two.players[0], two.players[0]))
    with pytest.raises(ValueError, match="names of their own, got"):
        next(fit(twice, random_batch, seed=0, steps=1))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda out: out.square().mean() * math.nan, "the loss 'second.restore' became nan at st"),
        (lambda out: (out * 0).sum().sqrt(), "the gradient of second became nan at step 1"),
    ],
)
def test_what_diverges_is_named_by_its_player(two, loss, message):
    class Bad(nn.Module):
        def forward(self, batch, generator):
            return {"restore": loss(two.averages[1].of(batch.degraded))}

    bad = dataclasses.replace(two.players[1], objective=Bad())
    before = weights_of(two.averages[1].ema)
    broken = dataclasses.replace(two, players=(two.players[0], bad))
    with pytest.raises(Diverged, match=message):
        next(fit(broken, random_batch, seed=0, steps=1))
    assert same(weights_of(two.averages[1].ema), before)


def test_state_of_two_networks_and_averages_comes_back(two, tmp_path):
    plan = RunPlan("two.py", {}, 0, 4, None, None, None, None)
    run = Run(tmp_path / "run")
    run.create(plan)
    *_, row = fit(two, random_batch, seed=0, steps=4)
    run.save(two, plan, row)
    torch.manual_seed(7)
    fresh = discover.builder("recipes", f"{tmp_path / 'two.py'}")()
    assert run.load(fresh)[0] == 4
    for old, new in zip(two.averages, fresh.averages, strict=True):
        assert same(weights_of(old.ema), weights_of(new.ema))
        assert same(weights_of(old.of), weights_of(new.of))


def test_players_take_turns_with_their_own_optimizers():
    first = small_recipe(lambda out, batch: out.square().mean())
    critic = Mean(lambda out, batch: (out - 2).square().mean())
    order = []

    class Critic(nn.Module):
        def forward(self, batch, generator):
            order.append(both(first)[0].scale.item())
            return {"critic": critic.loss(critic(batch.clean), batch)}

    optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)
    second = Player(Critic(), {"critic": 1.0}, optimizer, name="critic")
    learning = dataclasses.replace(first, players=(*first.players, second))
    (row,) = fit(learning, random_batch, seed=0, steps=1)
    assert set(row.losses) == {"restorer.restore", "critic.critic"}
    assert order[0] != 1  # the first player had moved already
    assert critic.norm.bias.abs().sum() > 0


def test_gradients_of_a_player_may_be_left_as_they_are():
    learning = small_recipe(lambda out, batch: 1e6 * out.square().mean(), lr=1.0)
    (player,) = learning.players
    whole = dataclasses.replace(player, largest_gradient=math.inf)
    net, _ = both(learning)
    before = weights_of(net)
    next(fit(dataclasses.replace(learning, players=(whole,)), random_batch, seed=0, steps=1))
    assert (weights_of(net)["scale"] - before["scale"]).abs() > 1


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


# Pictures, and two processes


def plan_for(rainy, clean, *, steps=4, seconds=None, **settings):
    return RunPlan(
        "derain_unpaired", {**TINY, "lr": 5e-4, **settings}, 0, steps, seconds,
        str(rainy), str(clean), None,
    )  # fmt: skip


def test_pictures_that_cannot_be_used_are_named_by_the_job(pictures):
    rainy, clean = pictures("rainy"), pictures("clean")
    (rainy / "cut.png").write_bytes((rainy / "0.png").read_bytes()[:60])
    job = session.prepare(plan_for(rainy, clean), rainy.parent / "run", CPU)
    assert len(job.skipped) == 1
    assert "cut.png" in job.skipped[0]
    assert len(job.pictures["degraded"].pixels) == 3


def test_folder_of_rainy_pictures_as_clean_ones_is_refused(pictures):
    rainy = pictures("rainy")
    alias = rainy.parent / "alias"
    alias.symlink_to(rainy)
    for clean in (rainy, alias, rainy / ".." / "rainy"):
        with pytest.raises(UserError, match="is the folder of degraded pictures"):
            session.prepare(plan_for(rainy, clean), rainy.parent / "run", CPU)


def test_folder_of_too_small_pictures_is_refused_with_the_remedy(pictures):
    rainy, clean = pictures("rainy", size=(12, 40)), pictures("clean")
    with pytest.raises(UserError, match=r"no picture there can be used.*40x12.*patch=32"):
        session.prepare(plan_for(rainy, clean), rainy.parent / "run", CPU)
    assert not (rainy.parent / "run").exists()


def in_a_group(rank, port, folder):
    """One of two processes, as torchrun starts them."""
    torch.set_num_threads(1)
    os.environ.update(RANK=f"{rank}", LOCAL_RANK=f"{rank}", WORLD_SIZE="2",
                      MASTER_ADDR="127.0.0.1", MASTER_PORT=f"{port}")  # fmt: skip
    chosen = device.start("cpu")

    # The gradient is the mean over both: loss = scale * (rank + 1) / 10 * 3.
    recipe = small_recipe(lambda out, batch: both(recipe)[0].scale * 0.3 * (rank + 1), lr=1.0)
    next(fit(recipe, random_batch, seed=0, steps=1))
    found = {"scale": both(recipe)[0].scale.item()}

    job = session.prepare(plan_for(folder / "rainy", folder / "clean"), folder / "run", chosen)
    first = session._draw(job, 0, 0.0)
    list(session.train(job))
    nets = (job.recipe.restorer, job.recipe.ema)
    found["nets"] = [dict(net.named_parameters()) for net in nets]
    found["patches"] = first.clean

    ticks = iter(range(0, 10**6, 1 + 2 * rank))  # the second clock is three times as fast
    sys.modules["ssl_restore.training.fit"].time = SimpleNamespace(monotonic=lambda: next(ticks))
    timed = plan_for(folder / "rainy", folder / "clean", steps=None, seconds=10.0)
    job = session.prepare(timed, folder / "timed", chosen)
    rows = list(session.train(job))
    found["timed"] = [(row.step, row.lr) for row in rows]
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def group(tmp_path_factory, processes):
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("group")
    save_pictures(folder / "rainy", 3, seed=1)
    save_pictures(folder / "clean", 3, seed=2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [processes(in_a_group, rank, port, folder) for rank in range(2)]
    for process in both:
        process.join(180)
    for process in both:
        process.kill()
    assert [process.exitcode for process in both] == [0, 0]
    found = [torch.load(folder / f"{rank}.pt") for rank in range(2)]
    return folder, found


def test_two_processes_step_by_the_mean_gradient(group):
    for found in group[1]:
        assert found["scale"] == pytest.approx(1 - 0.45 / 50)  # mean of 0.3 and 0.6, first rate


def test_two_processes_end_with_the_same_weights(group):
    one, other = (found["nets"] for found in group[1])
    assert all(same(a, b) for a, b in zip(one, other, strict=True))


def test_two_processes_see_different_patches(group):
    one, other = (found["patches"] for found in group[1])
    assert not torch.equal(one, other)


def test_two_processes_write_one_run(group):
    folder, _ = group
    steps = [row.split(",")[0] for row in (folder / "run" / "log.csv").read_text().split()]
    assert Counter(steps) == Counter(["step", "1", "2", "3", "4"])
    assert Run(folder / "run").plan().steps == 4


def test_two_processes_on_a_clock_stop_at_the_same_step(group):
    one, other = (found["timed"] for found in group[1])
    assert one == other
    assert len(one) == 5  # two looks at the clock a step
