"""A batch in parts, computed side by side: the same gradient, whatever the number of threads."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ssl_restore import discover
from ssl_restore.objectives.rrcl import Contrast, Joined
from ssl_restore.training import parts as side
from ssl_restore.training.fit import fit
from ssl_restore.training.turn import Diverged
from ssl_restore.types import Average, Batch, Learning, Player


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(size=8, step=0, progress=0.0):
    clean, degraded = torch.rand(2, size, 3, 16, 16, generator=stream(step))
    return Batch(clean, degraded, progress)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Net(nn.Module):
    """A norm and a scale; its loss draws nothing unless asked to."""

    def __init__(self, noise=0.0):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.scale = nn.Parameter(torch.ones(3, 1, 1))
        self.unused = nn.Parameter(torch.ones(1))
        self.noise = noise

    def forward(self, given, generator):
        image = given.degraded
        noisy = image + self.noise * torch.randn(image.shape, generator=generator)
        out = self.scale * self.norm(noisy)
        return {"restore": (out - given.clean).square().mean(), "small": out.abs().mean()}


def learning(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    ema = copy.deepcopy(net)
    return Learning(
        players=(Player(net, {"restore": 1.0, "small": 0.1}, optimizer),),
        averages=(Average(ema, net, 0.9),),
    )


def trained(parts, *, steps=3, frozen=False, noise=0.0, size=8):
    net = Net(noise)
    whole = replace(learning(net), frozen_batchnorm=frozen)
    rows = list(
        fit(whole, lambda step, at: batch(size, step, at), seed=0, steps=steps, parts=parts)
    )
    return net.state_dict(), [row.losses for row in rows]


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


@dataclass(frozen=True)
class Wider(Batch):
    more: Tensor | None = None


def test_split_batches_follow_each_other_with_all_their_tensors():
    whole = Wider(
        *torch.rand(2, 7, 3, 4, 4), 0.5, True, torch.rand(7, 2, 3, 4, 4), more=torch.arange(7)
    )
    parts = whole.split(3)
    assert [part.size for part in parts] == [2, 2, 3]
    assert all((part.progress, part.warm) == (0.5, True) for part in parts)
    for name, value in whole.tensors().items():
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), value)


def test_split_leaves_what_is_missing_missing():
    one, other = Batch(None, torch.rand(5, 3, 4, 4)).split(2)
    assert one.clean is None
    assert (one.size, other.size) == (2, 3)


@pytest.mark.parametrize("size", [8, 7])
def test_parts_with_norms_at_rest_take_the_step_of_the_whole_batch(size):
    """Nothing is drawn and no statistic is taken: only the order of the sums differs."""
    whole, losses = trained(1, frozen=True, size=size)
    for parts in (2, 3, 4):
        split, parted = trained(parts, frozen=True, size=size)
        for name, value in whole.items():
            torch.testing.assert_close(split[name], value, rtol=1e-5, atol=1e-6)
        for one, other in zip(losses, parted, strict=True):
            assert one == pytest.approx(other, rel=1e-5)


def test_running_statistics_are_the_mean_of_those_of_the_parts():
    net = Net()
    given = batch()
    expected = []
    for part in given.split(2):
        copied = copy.deepcopy(net)
        copied(part, stream())
        expected.append(copied.norm.running_mean)
    list(fit(learning(net), lambda step, at: given, seed=0, steps=1, parts=2))
    torch.testing.assert_close(net.norm.running_mean, (expected[0] + expected[1]) / 2)
    assert net.norm.num_batches_tracked == 1


def test_threads_do_not_change_a_bit(two_threads):
    many = trained(4, noise=0.1)
    torch.set_num_threads(1)
    one = trained(4, noise=0.1)
    assert same(many[0], one[0])
    assert many[1] == one[1]


def test_real_recipe_in_parts_repeats_to_the_bit_on_two_threads(two_threads):
    def once():
        torch.manual_seed(0)
        recipe = discover.builder("recipes", "derain_unpaired")(width=4, batch=4, patch=16)
        list(fit(recipe, lambda step, at: batch(4, step, at), seed=0, steps=4, parts=2))
        return recipe.restorer.state_dict()

    one = once()
    assert all(same(one, once()) for _ in range(3))


def test_each_part_draws_its_own_numbers_and_one_part_those_of_always():
    drawn = []

    class Spy(Net):
        def forward(self, given, generator):
            drawn.append(torch.rand(1, generator=generator).item())
            return super().forward(given, generator)

    list(fit(learning(Spy()), lambda s, at: batch(), seed=3, steps=1, parts=2))
    list(fit(learning(Spy()), lambda s, at: batch(), seed=3, steps=1, parts=1))
    assert len(set(drawn)) == 3


def test_parts_are_computed_at_the_same_time_with_one_thread_each(two_threads):
    meeting, threads = threading.Barrier(2, timeout=30), []

    class Met(Net):
        def forward(self, given, generator):
            meeting.wait()
            threads.append((threading.get_ident(), torch.get_num_threads()))
            return super().forward(given, generator)

    list(fit(learning(Met()), lambda s, at: batch(), seed=0, steps=2, parts=2))
    assert len({ident for ident, _ in threads}) == 2
    assert {count for _, count in threads} == {1}
    assert torch.get_num_threads() == 2


def test_caller_has_its_threads_between_steps(two_threads):
    for _ in fit(learning(Net()), lambda s, at: batch(), seed=0, steps=2, parts=2):
        assert torch.get_num_threads() == 2


def test_usual_parts_are_two_on_a_cpu_of_four_pictures_or_more():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [side.usual_parts(size, cpu) for size in (1, 3, 4, 8, 16)] == [1, 1, 2, 2, 2]
    assert side.usual_parts(16, gpu) == 1


def test_objective_that_compares_pictures_gets_the_whole_batch():
    sizes = []

    class Whole(Net):
        whole_batch = True

        def forward(self, given, generator):
            sizes.append(given.size)
            return super().forward(given, generator)

    list(fit(learning(Whole()), lambda s, at: batch(), seed=0, steps=1, parts=4))
    assert sizes == [8]
    joined = Joined(Net(), Contrast(nn.Identity(), nn.Identity(), 0.1))
    assert side.parts_of(joined, batch(), 4) == 1
    assert side.parts_of(Net(), batch(3), 4) == 3


def test_replica_shares_weights_and_settings_but_not_moving_statistics():
    net = nn.ModuleDict({"a": Net(), "b": nn.BatchNorm2d(3).eval()})
    net["a"].prior = object()
    net["again"] = net["a"]
    copies = side.Replicas(net, 1)
    (other,) = copies.refresh()
    assert other["a"] is other["again"]
    assert other["a"] is not net["a"]
    assert other["a"].prior is net["a"].prior
    assert other["a"].scale is net["a"].scale
    assert other["a"].norm.running_mean is not net["a"].norm.running_mean
    assert other["b"].running_mean is net["b"].running_mean
    other["a"](batch(), stream())
    assert torch.equal(net["a"].norm.running_mean, torch.zeros(3))
    net["a"].prior = new = object()
    net["a"].norm.running_mean.fill_(7)
    copies.refresh()
    assert other["a"].prior is new
    assert torch.equal(other["a"].norm.running_mean, torch.full((3,), 7.0))


class Layers(nn.Module):
    """A convolution used twice and its weight once more, and a convolution that is frozen."""

    def __init__(self):
        super().__init__()
        self.conv, self.frozen = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))
        self.frozen.requires_grad_(False)
        self.outside = self.conv.weight  # shared: not cast where it is used so

    def forward(self, given, generator):
        out = self.frozen(self.conv(self.conv(given.degraded)))
        loss = (out.float() - given.clean).square().mean()
        return {"restore": loss + self.outside.square().sum()}


def test_weights_cast_once_a_step_give_the_gradient_of_autocast():
    torch.manual_seed(0)
    net = Layers()
    copies = side.Replicas(net, 2, torch.bfloat16)
    given, weights = batch(), [net.conv.weight, net.conv.bias]
    for step in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            total = sum(net(part, None)["restore"] for part in given.split(2))
            apart = [one(p, None)["restore"] for one, p in
                     zip(copies.refresh(), given.split(2), strict=True)]  # fmt: skip
        assert torch.equal(total, sum(apart)), step
        expected = torch.autograd.grad(total, weights)
        halves = [copies.gradients(loss, weights) for loss in apart]
        for want, one, other in zip(expected, *halves, strict=True):
            got = one + other
            assert got.dtype == torch.float32
            assert (got - want).norm() <= 2**-7 * want.norm()  # of the sum over uses: bfloat16
        with torch.no_grad():
            net.conv.weight.mul_(1.1)  # as an optimizer moves it


def test_weights_are_as_they_were_after_steps_in_bfloat16():
    net = Layers()
    weights = {name: (value, value.dtype) for name, value in net.named_parameters()}
    whole = Learning(
        players=(Player(net, {"restore": 1.0}, torch.optim.SGD(net.conv.parameters(), lr=0.1)),)
    )
    list(fit(whole, lambda s, at: batch(), seed=0, steps=2, parts=2, precision="bf16"))
    for name, value in net.named_parameters():
        assert value is weights[name][0]
        assert value.dtype == weights[name][1] == torch.float32


@pytest.mark.parametrize("where", [0, 5])
def test_divergence_in_one_part_leaves_all_as_it_was(where):
    net = Net()
    whole = learning(net)
    before = copy.deepcopy(net.state_dict())
    given = batch()
    given.degraded[where, 0, 3, 3] = float("nan")
    with pytest.raises(Diverged, match="the loss 'restore' became nan at step 1"):
        next(fit(whole, lambda s, at: given, seed=0, steps=1, parts=2))
    assert same(before, net.state_dict())


def test_error_in_a_part_is_raised_when_all_have_ended(two_threads):
    ended = []

    class Fails(Net):
        def forward(self, given, generator):
            super().forward(given, generator)
            ended.append(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        next(fit(learning(Fails()), lambda s, at: batch(), seed=0, steps=1, parts=2))
    assert len(ended) == 2


def test_parameter_that_no_part_reaches_keeps_no_gradient():
    net = Net()
    next(fit(learning(net), lambda s, at: batch(), seed=0, steps=1, parts=2))
    assert net.unused.grad is None
    assert torch.equal(net.unused, torch.ones(1))


# Ahead


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("name", ["derain_unpaired", "derain_physics", "denoise_physics"])
def test_what_is_drawn_and_prepared_ahead_is_the_same_to_the_bit(name, parts, two_threads):
    def run(ahead):
        torch.manual_seed(0)
        recipe = discover.builder("recipes", name)(width=4, batch=4, patch=16)
        draw = partial(batch, 4)
        rows = list(fit(recipe, draw, seed=0, steps=3, parts=parts, ahead=ahead))
        return recipe.restorer.state_dict(), [row.losses for row in rows]

    one, other = run(True), run(False)
    assert one[1] == other[1]
    assert same(one[0], other[0])


@pytest.mark.parametrize("name", ["derain_unpaired", "derain_physics", "denoise_physics"])
def test_prepared_batch_gives_the_terms_of_the_batch(name):
    torch.manual_seed(0)
    objective = discover.builder("recipes", name)(width=4).players[0].objective.eval()
    plain = objective(batch(4), stream(3))
    generator = stream(3)
    prepared = objective(objective.prepare(batch(4), generator), generator)
    assert {k: v.item() for k, v in plain.items()} == {k: v.item() for k, v in prepared.items()}


def test_ahead_draws_the_next_step_while_one_is_computed(two_threads):
    drawn, seen = [], []

    def draw(step, progress):
        drawn.append((step, threading.get_ident()))
        return batch(8, step, progress)

    for row in fit(learning(Net()), draw, seed=0, steps=3, ahead=True):
        seen.append((row.step, row.progress))
    assert [step for step, _ in drawn][:3] == [0, 1, 2]
    assert threading.get_ident() not in {ident for step, ident in drawn if step > 0}
    assert [progress for _, progress in seen] == [0, pytest.approx(1 / 3), pytest.approx(2 / 3)]


def test_objective_is_told_the_progress_of_its_own_step():
    told = []

    class Told(Net):
        def forward(self, given, generator):
            told.append(given.progress)
            return super().forward(given, generator)

    list(fit(learning(Told()), partial(batch, 8), seed=0, steps=4, parts=1, ahead=True))
    assert told == [0, 0.25, 0.5, 0.75]


def test_error_in_what_is_drawn_ahead_is_raised():
    def draw(step, progress):
        if step == 1:
            raise ZeroDivisionError
        return batch(8, step, progress)

    rows = fit(learning(Net()), draw, seed=0, steps=3, ahead=True)
    next(rows)
    with pytest.raises(ZeroDivisionError):
        next(rows)
