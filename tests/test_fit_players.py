"""Several players, networks and averages in one training loop."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from learning import Mean, both, random_batch, same, small_recipe, tiny, weights_of
from torch import nn

from ssl_restore import discover
from ssl_restore.training.fit import fit
from ssl_restore.training.optimizers import warm_up_cosine
from ssl_restore.training.run import Run, RunPlan
from ssl_restore.training.turn import Diverged
from ssl_restore.types import Player

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
