"""Noise2Noise: each loss finds the clean value for its kind of noise."""

from __future__ import annotations

import pytest
import torch
from learning import Constant, Shift
from torch import nn

from degradations.noise import Noise, PoissonNoise
from ssl_restore import rng
from ssl_restore.objectives.noise2noise import EPS, LOSS_FOR, Noise2Noise, exponent, power
from ssl_restore.types import Batch


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("gamma", [2.0, 1.0, 0.7, 0.02])
def test_power_equals_its_definition_and_has_a_finite_gradient_at_zero(gamma):
    error = torch.tensor([-0.5, 0.0, 0.02, 1.0]).requires_grad_()
    found = power(error, gamma)
    eps = 0 if gamma in (1.0, 2.0) else EPS
    assert found.tolist() == pytest.approx([(abs(e) + eps) ** gamma for e in error.tolist()])
    found.sum().backward()
    assert error.grad.isfinite().all()


def test_exponent_of_l0_falls_from_two_to_zero():
    assert [exponent("l0", p) for p in (0, 0.5, 1)] == [2, 1, 0]
    assert [exponent(loss, 0.3) for loss in ("l2", "l1")] == [2, 1]


CLEAN = 0.25  # 2.5 photons of 0.1: their median is 2


def observed(kind, count):
    """Pairs (1, 2, 3, 1, count) of a flat picture with noise of a kind."""
    shape, draws = (2, 3, 1, count), stream()
    clean = torch.full(shape, CLEAN)
    if kind in ("gaussian", "poisson"):
        prior = Noise((0, 0), (0.2, 0.2)) if kind == "gaussian" else PoissonNoise((0.1, 0.1))
        noisy = prior.apply(clean, prior.sample(shape, draws))
    elif kind == "bernoulli":
        noisy = clean * (torch.rand(shape, generator=draws) > 0.3)  # lost pixels are black
    else:
        broken = torch.rand(shape, generator=draws) < 0.45
        noisy = torch.where(broken, torch.rand(shape, generator=draws), clean)
    return noisy[None]


def learned(kind, loss, steps=150):
    """The constant that training with a loss ends at."""
    net = Constant(0.4)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02, betas=(0.9, 0.95))
    objective, pairs = Noise2Noise(net, loss), observed(kind, 8000)
    for step in range(steps):
        batch = Batch(None, None, step / steps, observations=pairs)
        optimizer.zero_grad()
        objective(batch, rng.derive(0, "objective", step))["observed"].backward()
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / steps)
        optimizer.step()
    return net.value.item()


@pytest.mark.parametrize("kind", sorted(LOSS_FOR))
def test_loss_for_a_kind_of_noise_finds_the_clean_value(kind):
    assert learned(kind, LOSS_FOR[kind]) == pytest.approx(CLEAN, abs=0.01)


@pytest.mark.parametrize(
    ("kind", "loss", "bias"),
    [
        ("poisson", "l1", -0.05),  # the median, a whole number of photons
        ("bernoulli", "l2", -0.3 * CLEAN),  # the mean
        ("impulse", "l2", 0.45 * (0.5 - CLEAN)),
    ],
)
def test_another_loss_is_biased_by_as_much_as_the_noise_says(kind, loss, bias):
    assert learned(kind, loss) - CLEAN == pytest.approx(bias, abs=0.01)


def test_minimiser_of_two_observations_is_that_of_clean_targets():
    """Linear restorers w * y: least squares with noisy and with clean targets have one solution."""
    clean = torch.rand(400, 400, generator=stream(1), dtype=torch.float64)
    one, other = (clean + 0.3 * torch.randn(clean.shape, generator=stream(s)).double()
                  for s in (2, 3))  # fmt: skip
    inputs = nn.functional.unfold(one[None, None], 3, padding=1)[0].T
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    by_noisy, by_clean = (
        torch.linalg.lstsq(inputs, target.reshape(-1, 1)).solution for target in (other, clean)
    )
    assert (by_noisy - by_clean).abs().max() < 0.006  # 0.3 / sqrt(160,000 * variance of y): 4 sigma
    assert by_clean[4] < 0.7  # it denoises


def test_noise2noise_equals_its_definition_whichever_observation_is_the_input():
    pairs = torch.rand(3, 2, 3, 4, 4, generator=stream())
    net = Shift()
    found = Noise2Noise(net, "l1")(Batch(None, None, observations=pairs), stream())["observed"]
    slow = torch.stack([(a - b).abs().mean() for a, b in pairs])
    torch.testing.assert_close(found, slow.mean())


def test_both_observations_become_the_input():
    pairs = torch.stack([torch.zeros(64, 3, 2, 2), torch.ones(64, 3, 2, 2)], dim=1)
    seen = []
    objective = Noise2Noise(Shift(), "l2")
    objective.restorer.register_forward_hook(lambda m, given, out: seen.append(given[0]))
    objective(Batch(None, None, observations=pairs), stream())
    share = seen[0].mean().item()
    assert 0.25 < share < 0.75
