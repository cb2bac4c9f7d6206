"""Pictures of a run, and two processes that share one."""

from __future__ import annotations

import copy
import math
import os
import signal
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from conftest import save_pictures
from learning import CPU, both, plan_for, random_batch, same, small_recipe, weights_of
from torch import nn

from ssl_restore.errors import UserError
from ssl_restore.training import session
from ssl_restore.training.fit import fit
from ssl_restore.training.optimizers import constant
from ssl_restore.training.run import Run, resumed
from ssl_restore.training.turn import Diverged
from ssl_restore.types import Average, Learning, Player
from ssl_restore_cli.main import main

KINDS = ("SGD", "Adam")
BAD = (  # losses of one rank: one whose gradient is finite, and one whose gradient alone is not
    lambda out: out.square().mean() + math.nan,
    lambda out: (out * 0).sum().sqrt(),
)


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
    with pytest.raises(UserError, match=r"no picture there can be used.*40x12.*patch=24"):
        session.prepare(plan_for(rainy, clean), rainy.parent / "run", CPU)
    assert not (rainy.parent / "run").exists()


def train(folder, chosen, *, resume=False, steps=4, parts=None):
    """The rows of a run of this many steps in all, or of one that goes on."""
    if resume:
        plan = resumed(Run(folder).plan(), steps=steps)
    else:
        plan = replace(plan_for(folder.parent / "rainy", folder.parent / "clean", steps=steps,
                                batch=4), parts=parts)  # fmt: skip
    job = session.prepare(plan, folder, chosen, resume=resume)
    rows = list(session.train(job, resume=resume))
    return job, rows


class Filter(nn.Module):
    """A loss of one convolution and nothing drawn, for a batch that is compared with its halves."""

    def __init__(self):
        super().__init__()
        self.filter = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, batch, generator):
        return {"restore": (self.filter(batch.degraded) - batch.clean).square().mean()}


def filtered(kind, part=None):
    """Weights, their average and the losses after five steps, on a half of each batch or on all."""
    torch.manual_seed(0)
    net = Filter()
    optimizer = getattr(torch.optim, kind)(net.parameters(), lr=0.05)
    average = Average(copy.deepcopy(net), net, 0.5)
    player = Player(net, {"restore": 1.0}, optimizer, schedule=constant)
    learning = Learning(players=(player,), averages=(average,))

    def draw(step, progress):
        batch = random_batch(step, progress)
        return batch if part is None else batch.split(2)[part]

    rows = list(fit(learning, draw, seed=0, steps=5, parts=1, precision="fp32"))
    return [net.state_dict(), average.ema.state_dict()], [row.losses["restore"] for row in rows]


class Choice(nn.Module):
    """A loss in which the first rank alone uses `first`, and none `neither`."""

    def __init__(self, rank):
        super().__init__()
        self.both, self.first, self.neither = (nn.Parameter(torch.ones(())) for _ in range(3))
        self.rank = rank

    def forward(self, batch, generator):
        return {"restore": 0.1 * (self.both if self.rank else self.both + self.first)}


def chosen_weights(rank):
    choice = Choice(rank)
    optimizer = torch.optim.SGD(choice.parameters(), lr=1.0, weight_decay=0.1)
    player = Player(choice, {"restore": 1.0}, optimizer, schedule=constant)
    next(fit(Learning(players=(player,)), random_batch, seed=0, steps=1))
    return {name: value.item() for name, value in choice.state_dict().items()}


def statistics(rank=None):
    """Running ones after two steps, on a half of each batch or on all of it."""
    recipe = small_recipe(lambda out, batch: out.square().mean())

    def draw(step, progress):
        batch = random_batch(step, progress)
        return batch if rank is None else batch.split(2)[rank]

    list(fit(recipe, draw, seed=0, steps=2, parts=1))
    return both(recipe)[0].state_dict(), both(recipe)[1].state_dict()


def diverged(rank, bad):
    """What fit says where `bad` happens to the loss of the second rank, and whether all is as it
    was."""
    recipe = small_recipe(lambda out, batch: bad(out) if rank else out.square().mean())
    before = weights_of(both(recipe)[0])
    try:
        next(fit(recipe, random_batch, seed=0, steps=1))
    except Diverged as error:
        return str(error), same(weights_of(both(recipe)[0]), before)
    return "", False


def interrupted(rank, folder):
    """The exit code of a command of which the second process alone gets Ctrl-C, after 3 steps."""
    train_on = session.train

    def train(*arguments, **keywords):
        rows = train_on(*arguments, **keywords)
        for row in rows:
            if rank and row.step == 3:
                os.kill(os.getpid(), signal.SIGINT)
            try:
                yield row
            except GeneratorExit:
                rows.close()
                raise

    session.train = train
    words = f"fit --images {folder / 'rainy'} --clean {folder / 'clean'} --from-scratch"
    words += f" --no-calibrate -o {folder / 'interrupted'} --steps 99 --set width=4 --set patch=16"
    try:
        main(words.split())
    except SystemExit as error:
        return error.code
    finally:
        session.train = train_on


def in_a_group(rank, chosen, folder):
    # The gradient is the mean over both: loss = scale * (rank + 1) / 10 * 3.
    recipe = small_recipe(lambda out, batch: both(recipe)[0].scale * 0.3 * (rank + 1), lr=1.0)
    next(fit(recipe, random_batch, seed=0, steps=1))
    found = {"scale": both(recipe)[0].scale.item()}

    job, rows = train(folder / "run", chosen)
    nets = (job.recipe.restorer, job.recipe.ema)
    found["nets"] = [net.state_dict() for net in nets]
    found["patches"] = session._draw(job, 0, 0.0).clean
    found["losses"] = [row.losses for row in rows]

    found["filtered"] = {kind: filtered(kind, rank) for kind in KINDS}
    found["chosen"] = chosen_weights(rank)
    found["statistics"] = statistics(rank)
    found["diverged"] = [diverged(rank, bad) for bad in BAD]
    job, rows = train(folder / "of_one", chosen, resume=True, steps=6)
    found["resumed"] = [row.step for row in rows], job.recipe.ema.state_dict()
    found["code"] = interrupted(rank, folder)

    ticks = iter(range(0, 10**6, 1 + 2 * rank))  # the second clock is three times as fast
    sys.modules["ssl_restore.training.fit"].time = SimpleNamespace(monotonic=lambda: next(ticks))
    timed = plan_for(folder / "rainy", folder / "clean", steps=None, seconds=10.0)
    job = session.prepare(timed, folder / "timed", chosen)
    rows = list(session.train(job))
    found["timed"] = [(row.step, row.lr) for row in rows]
    return found


@pytest.fixture(scope="module")
def group(tmp_path_factory, two_ranks):
    """A folder with runs of two processes, and what each of them found."""
    folder = tmp_path_factory.mktemp("group")
    save_pictures(folder / "rainy", 3, seed=1)
    save_pictures(folder / "clean", 3, seed=2)
    train(folder / "of_one", CPU, parts=2)
    return folder, two_ranks(in_a_group, folder)


def logged(folder):
    """The steps in the log of a run."""
    return [int(row.split(",")[0]) for row in (folder / "log.csv").read_text().split()[1:]]


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
    assert logged(folder / "timed") == [1, 2, 3, 4, 5]
    assert Run(folder / "timed").plan().seconds == 10


def test_two_processes_on_a_clock_stop_at_the_same_step(group):
    one, other = (found["timed"] for found in group[1])
    assert one == other
    assert len(one) == 5  # two looks at the clock a step


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_learn_what_one_learns_from_both_their_batches(group, kind):
    (net, ema), losses = filtered(kind)
    for found in group[1]:
        nets, losses_of_two = found["filtered"][kind]
        assert losses_of_two == pytest.approx(losses, rel=1e-5)
        for expected, got in zip((net, ema), nets, strict=True):
            assert expected.keys() == got.keys()
            for key, value in expected.items():
                torch.testing.assert_close(got[key], value, rtol=1e-5, atol=1e-6)
    assert losses[-1] < 0.95 * losses[0]


def test_what_one_rank_uses_moves_on_both_and_what_none_uses_stays(group):
    for found in group[1]:
        assert found["chosen"] == pytest.approx({"both": 0.8, "first": 0.85, "neither": 1.0})


def test_running_statistics_are_the_means_of_both_ranks(group):
    whole, _ = statistics()
    one, other = (found["statistics"] for found in group[1])
    assert all(same(a, b) for a, b in zip(one, other, strict=True))
    torch.testing.assert_close(one[0]["norm.running_mean"], whole["norm.running_mean"])


def test_both_stop_where_one_diverges_and_keep_what_they_had(group):
    one, other = (found["diverged"] for found in group[1])
    assert one == other
    (loss, kept), (gradient, kept_too) = one
    assert loss == "the loss 'restore' became nan at step 1"
    assert gradient == "the gradient became nan at step 1"
    assert kept
    assert kept_too


def test_both_log_the_mean_loss(group):
    one, other = (found["losses"] for found in group[1])
    assert one == other


def test_a_run_of_one_process_goes_on_with_two(group):
    folder, found = group
    (steps, one), (others, other) = (each["resumed"] for each in found)
    assert steps == others == [5, 6]
    assert same(one, other)
    assert logged(folder / "of_one") == [1, 2, 3, 4, 5, 6]


def test_a_run_of_two_processes_goes_on_with_one(group):
    folder, _ = group
    assert Run(folder / "run").plan().parts == 2  # that one process would have split it into
    _, rows = train(folder / "run", CPU, resume=True, steps=6)
    assert [row.step for row in rows] == [5, 6]
    assert logged(folder / "run") == [1, 2, 3, 4, 5, 6]


def test_both_save_and_stop_where_one_is_interrupted(group):
    folder, found = group
    assert [each["code"] for each in found] == [130, 130]
    assert logged(folder / "interrupted") == [1, 2, 3]
    assert torch.load(folder / "interrupted" / "state.pt", weights_only=True)["step"] == 3
