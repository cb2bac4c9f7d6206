"""Content and blur apart: what the code is worth, which decoder gets what, and what rests."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import softplus

from degradations.blur import BlurParams, blur
from ssl_restore import discover, rng
from ssl_restore.errors import UserError
from ssl_restore.networks import denoiser
from ssl_restore.networks.blurrer import CODE, BlurEncoder, CameraBlurrer, NetworkBlurrer
from ssl_restore.networks.critic import Critic
from ssl_restore.networks.features import Features
from ssl_restore.objectives.disentangled import (
    Disentangled,
    DisentangledCritics,
    divergence,
    sampled,
)
from ssl_restore.objectives.distance import charbonnier
from ssl_restore.training.fit import fit
from ssl_restore.types import Batch

TINY = {"width": 4, "batch": 2, "patch": 16, "code_width": 4, "critic_width": 4}
CERTAIN = -80.0  # a log variance


class Shift(nn.Module):
    """A restorer that adds a number."""

    def __init__(self, by):
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, image):
        return image + self.by


class Takes(nn.Module):
    """A blurrer that takes the first number of the code away; it notes what it was given."""

    def __init__(self, *, keeps_content=False):
        super().__init__()
        self.given, self.keeps_content = [], keeps_content
        self.share = nn.Parameter(torch.ones(()))

    def forward(self, image, code, noise=None):
        self.given.append((image, code, noise))
        return image - self.share * code[:, :1, None, None]


class Level(nn.Module):
    """A blur encoder whose code is the mean of the picture, for certain."""

    def __init__(self, gain=1.0, log_variance=CERTAIN):
        super().__init__()
        self.gain, self.log_variance = gain, log_variance

    def forward(self, image):
        mean = self.gain * image.mean(dim=(1, 2, 3)).unsqueeze(1).expand(-1, CODE)
        return mean, torch.full_like(mean, self.log_variance)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def batch(seed=0):
    return Batch(*random(2, 2, 3, 16, 16, seed=seed))


def past_start(net, seed=3):
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=draws))
    return net


def nets():
    """Restorer, blurrer and blur encoder, past their start, with norms at rest."""
    torch.manual_seed(0)
    restorer = denoiser.build(width=4, blocks=(1, 2))
    blurrer, blur_encoder = NetworkBlurrer(restorer.encoder), BlurEncoder(4)
    return past_start(nn.ModuleList([restorer, blurrer, blur_encoder])).eval()


def critics():
    torch.manual_seed(1)
    return past_start(Critic(3, width=4)), past_start(Critic(3, width=4))


def features():
    torch.manual_seed(2)
    return Features(denoiser.build(width=4, blocks=(1, 1)).encoder)


def distance(one, other):
    return charbonnier(one - other).mean().item()


def test_divergence_is_that_of_torch():
    mean, log_variance = torch.randn(2, 5, CODE, generator=torch.Generator().manual_seed(0))
    normal = Normal(mean, (log_variance / 2).exp())
    expected = kl_divergence(normal, Normal(0.0, 1.0)).sum(dim=1).mean()
    torch.testing.assert_close(divergence(mean, log_variance), expected)
    assert divergence(torch.zeros(3, CODE), torch.zeros(3, CODE)) == 0


def test_codes_have_the_mean_and_the_variance_they_were_given():
    mean, log_variance = torch.full((20_000, 1), 0.7), torch.full((20_000, 1), -1.0)
    drawn = sampled(mean, log_variance, torch.Generator().manual_seed(0))
    assert drawn.mean().item() == pytest.approx(0.7, abs=0.02)
    assert drawn.var().item() == pytest.approx(torch.tensor(-1.0).exp().item(), rel=0.03)


def test_untrained_the_code_is_normal_and_nothing_is_blurred():
    restorer = denoiser.build(width=4)
    image = random(2, 3, 16, 16)
    assert divergence(*BlurEncoder(4)(image)) == 0
    assert torch.equal(NetworkBlurrer(restorer.encoder)(image, torch.ones(2, CODE)), image)


def test_a_trained_code_changes_how_a_picture_is_blurred():
    _, blurrer, _ = nets()
    image, codes = random(1, 3, 16, 16), torch.stack([torch.zeros(CODE), torch.ones(CODE)])
    one, other = blurrer(image.expand(2, -1, -1, -1), codes)
    assert (one - other).abs().max() > 1e-3


def test_content_encoders_share_the_convolutions_of_the_deepest_level_alone():
    restorer, blurrer, _ = nets()
    own, given = (dict(net.named_parameters()) for net in (blurrer.content, restorer.encoder))
    shared = {name for name, weight in own.items() if weight is given[name]}
    assert shared == {name for name in own if name.startswith("levels.1.") and "conv" in name}
    assert len(shared) == 6  # two blocks of two convolutions, one with a bias


def test_each_decoder_gets_its_pictures_and_the_code_of_the_blurred_one():
    given, blurrer = batch(), Takes()
    pair = critics()
    terms = Disentangled(Shift(0.2), blurrer, Level(), pair, features())(given, rng.derive(0, "d"))
    code = given.degraded.mean(dim=(1, 2, 3)).view(-1, 1, 1, 1)
    restored, again = given.degraded + 0.2, given.clean - code
    (sharp, first, noise), (back, second, none) = blurrer.given
    assert noise.shape == given.clean.shape
    assert none is None
    torch.testing.assert_close(sharp, given.clean)
    torch.testing.assert_close(back, restored)
    for codes in (first, second):
        torch.testing.assert_close(codes[:, :1, None, None], code)
    expected = distance(restored - code, given.degraded) + distance(again + 0.2, given.clean)
    assert terms["cycle"].item() == pytest.approx(expected, rel=1e-5)
    assert terms["identity"].item() == pytest.approx(distance(torch.tensor([[[[0.2]]]]), 0.0))
    scores = pair[0](restored), pair[1](again)
    prior = sum(softplus(-score).mean().item() for score in scores)
    assert terms["prior"].item() == pytest.approx(prior, rel=1e-5)
    assert terms["features"].item() == pytest.approx(
        features().distance(restored, given.degraded).item(), rel=1e-5
    )


def test_networks_that_undo_each_other_have_no_cycle():
    given = batch()
    known = Level(gain=0.0)
    terms = Disentangled(Shift(0.0), Takes(), known, critics(), features())(
        given, rng.derive(0, "d")
    )
    assert terms["cycle"] == terms["identity"] == 0


def test_the_code_carries_nothing_into_the_deblurred_picture():
    restorer, blurrer, blur_encoder = nets()
    seen = []
    restorer.register_forward_hook(lambda net, given, result: seen.append(result[:2]))

    def terms(encoder):
        objective = Disentangled(restorer, blurrer, encoder, critics(), features())
        return objective(batch(), rng.derive(0, "d"))

    one, other = terms(blur_encoder), terms(Level(gain=3.0))
    torch.testing.assert_close(*seen)
    assert one["features"].item() == pytest.approx(other["features"].item(), rel=1e-4)
    assert abs(one["cycle"] - other["cycle"]) > 1e-3  # where the code does matter


@pytest.mark.parametrize("keeps_content", [False, True])
def test_a_blurrer_that_keeps_content_learns_from_the_way_back_to_blurred_pictures_alone(
    keeps_content,
):
    given, blurrer = batch(), Takes(keeps_content=keeps_content)
    objective = Disentangled(Shift(0.1), blurrer, Level(), critics(), features())
    objective(given, rng.derive(0, "d"))["cycle"].backward()
    share = torch.ones((), requires_grad=True)
    taken = share * given.degraded.mean(dim=(1, 2, 3)).view(-1, 1, 1, 1)
    expected = charbonnier((0.1 - taken).expand_as(given.clean)).mean()
    (expected if keeps_content else 2 * expected).backward()  # both ways have the same error here
    torch.testing.assert_close(blurrer.share.grad, share.grad)


ALL = {"restorer", "blurrer", "blur_encoder"}
TAUGHT = {  # by each term
    "cycle": ALL,
    "kl": {"blur_encoder"},
    "features": {"restorer"},
    "prior": ALL,
    "identity": {"restorer"},
}


@pytest.mark.parametrize("term", TAUGHT)
def test_gradients_of_a_term_reach_every_weight_of_what_it_teaches(term):
    """What the restorer has in common with the blurrer counts as its own."""
    objective = Disentangled(*nets(), critics(), features())
    objective(batch(), rng.derive(0, "d"))[term].backward()
    for full, weight in objective.named_parameters():  # each once, the restorer's first
        reached = weight.grad is not None and bool(weight.grad.any())
        assert reached is (full.partition(".")[0] in TAUGHT[term]), full


def test_light_is_kept_whatever_the_code_and_noise_is_as_strong_as_said():
    torch.manual_seed(0)
    blurrer, codes = past_start(CameraBlurrer()), 3 * torch.randn(4, CODE)
    flat = torch.full((4, 3, 64, 64), 0.3)
    torch.testing.assert_close(blurrer(flat, codes), flat, rtol=1e-5, atol=1e-5)
    noise = torch.randn(flat.shape)
    _, _, sigma = blurrer.physics(codes, 64)
    added = (blurrer(flat, codes, noise) - flat).std(dim=(1, 2, 3))
    torch.testing.assert_close(added, sigma, rtol=0.05, atol=0)
    assert sigma.max() > 1.1 * sigma.min()


@pytest.mark.parametrize("side", [8, 16, 64])
def test_the_camera_stays_within_the_picture_and_about_its_middle(side):
    torch.manual_seed(0)
    blurrer, codes = CameraBlurrer(), 100 * torch.randn(4, CODE)
    way, disc, _ = blurrer.physics(codes, side)
    for places in (way.x_px, way.y_px):
        torch.testing.assert_close(places.mean(dim=1), torch.zeros(4), atol=1e-5, rtol=0)
        assert places.abs().max() < side
    assert (disc.radius_px <= side / 4).all()
    assert blurrer(random(4, 3, side, side), codes).isfinite().all()


def test_a_camera_is_learned_from_a_picture_and_how_it_is_blurred():
    torch.manual_seed(0)
    blurrer, code = CameraBlurrer(), torch.zeros(1, CODE)
    image, none = random(1, 3, 32, 32), torch.zeros(1)
    true = blur(image, BlurParams(none, none, none + 6.0, none + 0.7))
    optimizer = torch.optim.Adam(blurrer.parameters(), lr=1e-2)
    errors = []
    for _ in range(60):
        loss = (blurrer(image, code) - true).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    assert errors[-1] < 0.1 * errors[0]


def test_in_the_turn_of_the_critics_all_else_rests():
    parts = nets().train()
    before = {name: value.clone() for name, value in parts.state_dict().items()}
    objective = DisentangledCritics(*parts, critics())
    sum(objective(batch(), rng.derive(0, "c")).values()).backward()
    assert all(weight.grad is None for weight in parts.parameters())
    assert all(torch.equal(value, before[name]) for name, value in parts.state_dict().items())
    for critic in (objective.clean_critic, objective.degraded_critic):
        assert all(weight.grad.abs().max() > 0 for weight in critic.layers.parameters())


@pytest.mark.parametrize("decoder", ["camera", "network"])
def test_every_weight_is_moved_once_and_the_norms_rest(decoder):
    torch.manual_seed(0)
    recipe = discover.builder("recipes", "disentangled_deblur")(**TINY, decoder=decoder)
    held = [w for g in recipe.players[0].optimizer.param_groups for w in g["params"]]
    objective = recipe.players[0].objective
    parts = nn.ModuleList([objective.restorer, objective.blurrer, objective.blur_encoder])
    assert len(held) == len(set(held)) == len(list(parts.parameters()))
    before = {name: value.clone() for name, value in parts.named_buffers()}
    for _ in fit(recipe, lambda step, at: batch(step), seed=0, steps=2):
        pass
    assert all(torch.equal(value, before[name]) for name, value in parts.named_buffers())
    image = random(1, 3, 16, 16)
    trained = recipe.restorer(image)
    assert torch.equal(trained, recipe.restorer.eval()(image))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch": 20}, "a multiple of 8 is expected, got 20"),
        ({"code_width": 0}, "the blur encoder's width must be at least 1, got 0"),
        ({"kl": -1.0}, "the weight of kl is -1"),
        ({"decoder": "fourier"}, "use camera or network"),
        ({"features": "clip"}, "use denoiser or vgg"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        discover.recipe("disentangled_deblur", {**TINY, **settings})
