"""Physics GAN: the bands of its critic, who moves in whose turn, and where the minima lie."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from tiny import Untouched
from torch import nn

from degradations.rain import Rain
from ssl_restore import discover, rng
from ssl_restore.errors import UserError
from ssl_restore.networks.critic import Critic, haar
from ssl_restore.objectives.adversarial import as_it_trains, contest
from ssl_restore.objectives.physics_gan import (
    BothCritics,
    LiteralPhysicsGan,
    PhysicsGan,
    streaks,
)
from ssl_restore.types import Batch

TINY = {"width": 4, "batch": 2, "patch": 16, "critic_width": 4}
SPARSE = Rain(
    rain_free=0.0, coverage=(0.1, 0.2), brightness=(0.3, 0.5), width_px=(1.0, 2.0),
    angle_rad=(-0.2, 0.2), population_spread_rad=(0.01, 0.02), ripple=(0.0, 0.0),
)  # fmt: skip


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def made(form="anchored", **settings):
    """The recipe, past the start at which the heads of restorer and critics are zero."""
    torch.manual_seed(0)
    recipe = discover.builder("recipes", "physics_gan")(form=form, **{**TINY, **settings})
    with torch.no_grad():
        for player in recipe.players:
            for weight in player.objective.parameters():
                weight.add_(0.05 * torch.randn(weight.shape, generator=stream(1)))
    recipe.ema.load_state_dict(recipe.restorer.state_dict())
    recipe.ema.eval()
    return recipe


def batch(seed=0, *, progress=0.5, warm=False):
    clean, degraded = torch.rand(2, 2, 3, 16, 16, generator=stream(seed))
    return Batch(clean, degraded, progress, warm)


def graded(module):
    return {id(w) for w in module.parameters() if w.grad is not None and w.grad.abs().max() > 0}


# The bands


def slow_haar(image):
    """Each band with loops, from the two filters (1, 1) / sqrt 2 and (1, -1) / sqrt 2."""
    low, high = (torch.tensor([1.0, sign]).double() / math.sqrt(2) for sign in (1, -1))
    bands = []
    for vertical, horizontal in ((low, low), (high, low), (low, high), (high, high)):
        band = torch.zeros(*image.shape[:2], image.shape[2] // 2, image.shape[3] // 2).double()
        for y in range(band.shape[2]):
            for x in range(band.shape[3]):
                for i in range(2):
                    for j in range(2):
                        taps = vertical[i] * horizontal[j]
                        band[:, :, y, x] += taps * image[:, :, 2 * y + i, 2 * x + j]
        bands.append(band)
    return bands


def test_haar_equals_its_filters():
    image = torch.rand(2, 3, 6, 8, generator=stream(), dtype=torch.float64)
    for fast, slow in zip(haar(image), slow_haar(image), strict=True):
        torch.testing.assert_close(fast, slow)


def test_haar_is_orthonormal():
    columns = torch.eye(16, dtype=torch.float64).view(16, 1, 4, 4)
    matrix = torch.cat([band.flatten(1) for band in haar(columns)], dim=1)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(16, dtype=torch.float64))


def test_haar_of_odd_sides_is_refused():
    with pytest.raises(ValueError, match="even sides, got \\(4, 5\\)"):
        haar(torch.zeros(1, 1, 4, 5))


def test_critic_sees_no_brightness_and_starts_without_an_opinion():
    image = torch.rand(2, 3, 16, 24, generator=stream())
    critic = Critic(width=4)
    assert critic(image).shape == (2, 1, 2, 3)
    assert critic(image).abs().max() == 0
    nn.init.normal_(critic.head.weight, generator=stream(1))
    torch.testing.assert_close(critic(image + 0.3), critic(image), rtol=1e-4, atol=1e-4)
    assert (critic(image.flip(3)) - critic(image)).abs().max() > 1e-2


# What a rain could be


def line(angle_rad, side=33, width=1.5, light=0.4):
    """A streak through the middle, from border to border."""
    rows = torch.arange(side, dtype=torch.float64) - side // 2
    y, x = torch.meshgrid(rows, rows, indexing="ij")
    across = x * math.cos(angle_rad) - y * math.sin(angle_rad)
    return light * (1 - (across / width) ** 2).clamp_min(0)[None, None]


@pytest.mark.parametrize("angle", [0.0, 0.2, -0.35, 0.5, -0.75])
def test_streak_that_falls_is_kept(angle):
    layer = line(angle)
    inside = layer[..., 8:-8, 8:-8]
    assert (streaks(layer)[..., 8:-8, 8:-8] - inside).abs().sum() < 0.1 * inside.sum()


def test_flat_lines_dots_and_negative_values_are_no_rain():
    dots = torch.zeros(1, 1, 32, 32)
    dots[..., 4::8, 4::8] = 0.5
    for layer in (line(math.pi / 2), dots):
        assert streaks(layer).sum() < 0.45 * layer.sum()
    assert streaks(-line(0.0)).abs().max() == 0
    texture = 0.1 * torch.randn(1, 1, 64, 64, generator=stream())
    assert streaks(texture).sum() < 0.6 * texture.clamp_min(0).sum()


def test_streaks_are_never_more_than_the_layer_and_pass_gradcheck():
    layer = torch.rand(1, 1, 6, 7, generator=stream(), dtype=torch.float64) - 0.3
    assert (streaks(layer) <= layer.clamp_min(0)).all()
    assert torch.autograd.gradcheck(streaks, (layer.requires_grad_(),))


# The players


@pytest.mark.parametrize("form", ["anchored", "literal"])
def test_each_player_moves_its_own_networks_only(form):
    recipe = made(form)
    restoring, judging = recipe.players
    critics = [m for m in judging.objective.modules() if isinstance(m, Critic)]
    assert len(critics) == (2 if form == "anchored" else 1)
    judges = {id(w) for critic in critics for w in critic.parameters()}
    own = {id(w) for w in recipe.restorer.parameters()}

    sum(restoring.objective(batch(), stream()).values()).backward()
    assert graded(restoring.objective)
    assert graded(restoring.objective) <= own
    recipe.restorer.zero_grad()
    sum(judging.objective(batch(), stream()).values()).backward()
    assert graded(judging.objective)
    assert graded(judging.objective) <= judges
    for critic in critics:
        assert all(w.grad is not None for w in critic.parameters())
    held = [{id(w) for g in p.optimizer.param_groups for w in g["params"]} for p in recipe.players]
    assert held == [own, judges]


def test_turn_of_the_critics_leaves_the_statistics_of_the_restorer():
    recipe = made()
    recipe.restorer.train()
    before = copy.deepcopy(recipe.restorer.state_dict())
    recipe.players[1].objective(batch(), stream())
    assert all(torch.equal(v, before[k]) for k, v in recipe.restorer.state_dict().items())
    image = batch().degraded
    seen = as_it_trains(recipe.restorer, image)
    assert not seen.requires_grad
    torch.testing.assert_close(seen, recipe.restorer(image).detach())  # as it trains


def test_critic_loss_falls_where_pictures_can_be_told():
    torch.manual_seed(0)
    critic = Critic(width=8)
    optimizer = torch.optim.Adam(critic.parameters(), lr=5e-3, betas=(0.5, 0.99))
    losses = []
    for step in range(40):
        clean = 0.5 + 0.02 * torch.randn(4, 3, 16, 16, generator=stream(step))
        rainy = clean.clone()
        rainy[..., step % 4 :: 4] += 0.2
        loss, penalty = contest(critic, clean, rainy)
        optimizer.zero_grad()
        (loss + 0.01 * penalty).backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(2 * math.log(2), abs=1e-4)
    assert losses[-1] < 0.3


def test_penalty_is_the_squared_slope_of_a_score():
    """For D(x) = mean of a x over squares of 8: the slope is a / 64 at each of 64 pixels."""

    class Mean(nn.Module):
        def forward(self, image):
            return nn.functional.avg_pool2d(3.0 * image, 8)

    real = torch.rand(2, 1, 16, 24, generator=stream())
    loss, penalty = contest(Mean(), real, real)
    assert penalty.item() == pytest.approx(64 * (3.0 / 64) ** 2, rel=1e-5)
    scores = 3.0 * nn.functional.avg_pool2d(real, 8)
    softplus = torch.log1p(scores.exp())
    assert loss.item() == pytest.approx((softplus + softplus - scores).mean().item(), rel=1e-5)


# Where the minima lie


class Removes(Untouched):
    """f(I) = I - share * R, for a known layer R of the rainy half of a batch, if it is there."""

    def __init__(self, layer, share):
        super().__init__()
        self.layer, self.share = layer, share

    def forward(self, image):
        count = len(self.layer)
        return torch.cat([image[:count] - self.share * self.layer, image[count:]])


@pytest.fixture
def scene():
    """Flat backgrounds, a layer of sparse rain, and the batch that they make."""
    background = torch.full((4, 3, 48, 48), 0.3)
    params = SPARSE.sample(background.shape, stream(5))
    layer = (SPARSE.apply(background, params) - background).mean(dim=1, keepdim=True)
    return layer, Batch(background, background + layer, 0.5)


def test_literal_likelihood_prefers_the_rain_to_stay(scene):
    layer, seen = scene

    def likelihood(share):
        objective = LiteralPhysicsGan(Removes(layer, share), Critic(width=4), SPARSE)
        return torch.stack([objective(seen, stream(s))["likelihood"] for s in range(20)]).mean()

    kept, half, gone = (likelihood(share) for share in (0.0, 0.5, 1.0))
    assert kept < half < gone


def test_likelihood_lets_rain_be_removed_and_not_the_background(scene):
    layer, seen = scene

    def likelihood(removed):
        objective = PhysicsGan(
            Removes(removed, 1.0), nn.Identity(), Critic(width=4), Critic(1, 4), SPARSE, share=0.0
        )
        return objective(seen, stream())["likelihood"].item()

    texture = 0.1 * torch.randn(4, 1, 48, 48, generator=stream())
    assert likelihood(torch.zeros(4, 1, 48, 48)) == 0
    assert likelihood(layer) < 0.2 * likelihood(texture)
    assert likelihood(layer) < 0.3 * likelihood(layer.transpose(2, 3))
    assert likelihood(layer) < 0.3 * likelihood(-layer)


def test_prior_falls_as_the_critic_finds_the_picture_clean():
    critic = Critic(width=4)
    objective = PhysicsGan(Untouched(), nn.Identity(), critic, Critic(1, 4), SPARSE, share=0.0)
    values = []
    for score in (-2.0, 0.0, 2.0):
        nn.init.constant_(critic.head.bias, score)
        values.append(objective(batch(), stream())["prior"].item())
    assert values == pytest.approx([math.log1p(math.exp(-s)) for s in (-2.0, 0.0, 2.0)], rel=1e-4)


@pytest.mark.parametrize(
    ("progress", "warm", "own"),
    [(0.0, False, 0), (0.25, False, 1), (0.5, False, 2), (0.0, True, 2)],
)
def test_restored_pictures_become_backgrounds_as_the_restorer_learns(progress, warm, own):
    class Black(nn.Module):
        def forward(self, image):
            return torch.zeros_like(image)

    clean = torch.full((4, 3, 16, 16), 0.5)
    given = Batch(clean, torch.full((4, 3, 16, 16), 0.9), progress, warm)
    objective = PhysicsGan(
        Untouched(), Black(), Critic(width=4), Critic(1, 4), Rain(rain_free=1.0), share=0.5
    )
    seen = []
    objective.rain = type("Spy", (), {
        "sample": lambda self, shape, generator: Rain(rain_free=1.0).sample(shape, generator),
        "apply": staticmethod(lambda image, params: seen.append(image) or image),
    })()  # fmt: skip
    objective(given, stream())
    assert (seen[0].flatten(1).max(dim=1).values == 0).sum() == own


def test_critics_are_asked_about_restored_and_faintly_rainy_pictures():
    recipe = made()
    critics = recipe.players[1].objective
    asked = []

    class Spy(nn.Module):
        def forward(self, image):
            asked.append(image.detach())
            return image.mean(dim=(1, 2, 3), keepdim=True)

    given = batch()
    spied = BothCritics(recipe.restorer, Spy(), Spy(), SPARSE)
    assert set(spied(given, stream())) == set(critics(given, stream()))
    clean, fakes, layers, removed = asked
    assert torch.equal(clean, given.clean)
    torch.testing.assert_close(fakes[:2], as_it_trains(recipe.restorer, given.degraded))
    added = fakes[2:] - given.clean
    assert added.min() > -1e-6
    assert (added.amax(dim=1, keepdim=True) <= 3 * layers + 1e-6).all()
    assert removed.shape == layers.shape == (2, 1, 16, 16)


def test_unknown_form_is_refused():
    with pytest.raises(UserError, match="form: 'free' is unknown; use anchored or literal"):
        made("free")


def test_same_stream_gives_the_same_terms():
    one, again = (
        {k: v.item() for k, v in made().players[0].objective(batch(), rng.derive(0, "x")).items()}
        for _ in range(2)
    )
    assert one == again
