"""What every objective promises.  A new nn.Module in objectives/ must get a case here."""

from __future__ import annotations

import copy
import importlib
import inspect
import math
import pkgutil

import pytest
import torch
from torch import nn

from degradations.haze_like import MeasuredHaze
from degradations.noise import Noise
from degradations.rain import Rain
from degradations.sampling import degrade
from degradations.sensor import Sensor
from ssl_restore import objectives, rng
from ssl_restore.networks import (
    blind_spot,
    dehazer,
    denoiser,
    deshadower,
    memorynet,
    pyramid,
    unet,
)
from ssl_restore.networks.blurrer import BlurEncoder, CameraBlurrer
from ssl_restore.networks.critic import Critic
from ssl_restore.networks.features import Features
from ssl_restore.networks.projection import ProjectionHead
from ssl_restore.objectives.synthetic_haze import Shares
from ssl_restore.types import Batch, Objective


def past_start(net):
    """The network with weights that are not those of its start."""
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return net


def nets():
    """A restorer past its start and its average, both tiny."""
    torch.manual_seed(0)
    restorer = past_start(unet.build(width=4, blocks=(1, 1)))
    return restorer, copy.deepcopy(restorer).eval()


def kinds():
    for file in pkgutil.iter_modules(objectives.__path__):
        module = importlib.import_module(f"ssl_restore.objectives.{file.name}")
        for name, kind in vars(module).items():
            own = inspect.isclass(kind) and kind.__module__ == module.__name__
            if own and issubclass(kind, nn.Module):
                yield name, kind


KINDS = dict(kinds())
DRAWS_NOTHING = {"BlindSpotLoss", "Cycle"}
RAIN = Rain(rain_free=0.0)
HAZE = MeasuredHaze(blue=0.9)


def made(name):
    """An objective by the names of its constructor's arguments, or by a case of its own."""
    restorer, ema = nets()
    own = {
        "Contrast": lambda kind: kind(
            restorer.encoder, ProjectionHead(unet.deepest_channels(4, (1, 1)), 8), 0.1
        ),
        "LayerContrast": lambda kind: kind(
            restorer, ProjectionHead(unet.deepest_channels(4, (1, 1)), 8), 0.1
        ),
        "Joined": lambda kind: kind(
            KINDS["LiteralReconstruction"](restorer, RAIN),
            KINDS["SyntheticRain"](restorer, RAIN, Sensor()),
        ),
    }
    if "Haze" in name:
        shares = Shares(haze_free=0.0)
        haze_net = past_start(dehazer.build(width=2, blocks=(1, 1)))
        own["SyntheticHaze"] = lambda kind: kind(haze_net, shares)
        own["HazeTransfer"] = lambda kind: kind(
            haze_net, copy.deepcopy(haze_net).eval(), (HAZE,), 0.5, shares
        )
    if name.startswith("Cycle"):
        generators = [past_start(pyramid.build(width=2, blocks=(1, 1))) for _ in range(2)]
        critics = tuple(past_start(Critic(3, width=4, low=True)) for _ in range(2))
        own["Cycle"] = lambda kind: kind(*generators, critics, Features(restorer.encoder))
        own["CycleCritics"] = lambda kind: kind(*generators, critics)
    own["SyntheticDrops"] = lambda kind: kind(past_start(memorynet.build(width=2, memory=False)))
    own["SyntheticShadow"] = lambda kind: kind(past_start(deshadower.build(width=2, blocks=(1, 1))))
    if name.startswith("Disentangled"):
        deblurrer = past_start(denoiser.build(width=4, blocks=(1, 1)))
        parts = deblurrer, past_start(CameraBlurrer()), past_start(BlurEncoder(4))
        critics = tuple(past_start(Critic(3, width=4)) for _ in range(2))
        features = Features(restorer.encoder)
        own["Disentangled"] = lambda kind: kind(*parts, critics, features)
        own["DisentangledCritics"] = lambda kind: kind(*parts, critics)
    own["BlindSpotLoss"] = lambda kind: kind(past_start(blind_spot.build(width=4, blocks=1)), 2)
    own["Anchored"] = lambda kind: kind(
        KINDS["Noise2Void"](restorer, 1), restorer, copy.deepcopy(restorer)
    )
    own["Remembering"] = lambda kind: kind(past_start(memorynet.build(width=2)), RAIN)
    own["OwnScenes"] = lambda kind: kind(restorer, ema, RAIN)
    own["Rehearsal"] = lambda kind: kind(KINDS["SyntheticRain"](restorer, RAIN, Sensor()))
    own["Sure"] = lambda kind: kind(restorer, 0.01, 0.1, 1)
    own["Recorrupted"] = lambda kind: kind(restorer, 0.01, 0.1, 0.5, 1)
    if name in own:
        return own[name](KINDS[name])
    critic, layer_critic = Critic(3, width=4), Critic(1, width=4)
    for head in (critic.head, layer_critic.head):
        nn.init.constant_(head.weight, 0.1)  # past its start, too
    known = {
        "restorer": restorer, "ema": ema, "rain": RAIN, "prior": RAIN,
        "share": 0.5, "gain": (0.9, 1.6),
        "threshold": 0.01, "coarse": 0.5, "label": 0.5, "exposure": Sensor(),
        "critic": critic, "layer_critic": layer_critic,
            "sorts": ((Noise(), 0.5),), "jpeg": 0.3,
        "loss": "l2", "shuffle": 1, "rendered": 0.5, "shares": Shares(),
        "make": lambda batch, generator: (degrade(batch.clean, RAIN, generator), batch.clean),
    }  # fmt: skip
    needed = [
        argument
        for argument, parameter in inspect.signature(KINDS[name]).parameters.items()
        if parameter.default is inspect.Parameter.empty
    ]
    assert set(needed) <= set(known), f"{name}: give its arguments in this file"
    return KINDS[name](**{argument: known[argument] for argument in needed})


def batch(seed=0):
    draws = torch.Generator().manual_seed(seed)
    clean, degraded = torch.rand(2, 4, 3, 16, 16, generator=draws)
    pairs = torch.rand(4, 2, 3, 16, 16, generator=draws)
    views = torch.rand(4, 3, 3, 16, 16, generator=draws)
    return Batch(clean, degraded, progress=0.5, warm=True, observations=pairs, places=views)


each = pytest.mark.parametrize("name", sorted(KINDS))


def values(objective, seed=0):
    return {k: v.item() for k, v in objective(batch(), rng.derive(seed, "objective")).items()}


@each
def test_it_returns_finite_scalars_by_name(name):
    objective = made(name)
    assert isinstance(objective, Objective)
    terms = objective(batch(), rng.derive(0, "objective"))
    assert terms
    for key, term in terms.items():
        assert key.isidentifier()
        assert term.shape == ()
        assert math.isfinite(term.item())
        assert term.item() >= 0


@each
def test_docstring_names_its_terms(name):
    terms = made(name)(batch(), rng.derive(0, "objective"))
    text = inspect.getdoc(KINDS[name])
    others = {"Joined": set(terms), "Anchored": {"hidden"}}.get(name, set())
    assert all(f"`{key}`" in text for key in set(terms) - others)


@each
def test_all_randomness_comes_from_the_generator(name):
    objective, before = made(name), torch.get_rng_state()
    assert values(objective, 1) == values(objective, 1)
    assert (values(objective, 1) != values(objective, 2)) is (name not in DRAWS_NOTHING)
    assert torch.equal(torch.get_rng_state(), before)


@each
def test_batch_is_left_as_it_was(name):
    given = batch()
    terms = made(name)(given, rng.derive(0, "objective"))
    sum(terms.values()).backward()
    assert torch.equal(given.clean, batch().clean)
    assert torch.equal(given.degraded, batch().degraded)
    assert torch.equal(given.observations, batch().observations)
    assert torch.equal(given.places, batch().places)


@each
def test_gradients_are_finite_and_reach_no_average(name):
    objective = made(name)
    sum(objective(batch(), rng.derive(0, "objective")).values()).backward()
    graded = {key for key, weight in objective.named_parameters() if weight.grad is not None}
    assert graded
    assert not {key for key in graded if "ema" in key.split(".")}
    assert all(w.grad.isfinite().all() for w in objective.parameters() if w.grad is not None)


@each
def test_training_flags_are_left_as_they_were(name):
    objective = made(name)
    before = [module.training for module in objective.modules()]
    objective(batch(), rng.derive(0, "objective"))
    assert [module.training for module in objective.modules()] == before
