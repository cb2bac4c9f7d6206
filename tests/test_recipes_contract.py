"""What every recipe promises.  A new file in recipes/ is tested the moment it exists."""

from __future__ import annotations

import copy
import hashlib
import inspect
import math
import typing
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from ssl_restore import discover, rng
from ssl_restore.training.fit import fit
from ssl_restore.types import Batch, Objective, Recipe

NAMES = discover.names("recipes")
TINY = {"width": 4, "batch": 2, "patch": 16}
ALSO = {  # forms of a recipe that its defaults do not show
    "aecr": [{"alpha": 0.0}, {"paired": True}],
    "blind_spot": [{"shuffle": 2, "coarse": 1, "refinements": 0}],
    "rrcl": [
        {"reconstruction": "literal"},
        {"lambda_c": 0.0},
        {"contrast": "layers"},
        {"contrast": "pictures"},
        {"contrast": "pcl"},
        {"contrast": "aecr"},
        {"contrast": "triplet"},
    ],
    "derain_unpaired": [{"share": 0.0}, {"share": 1.0}, {"contrast": "pcl"}],
    "dehaze_unpaired": [{"contrast": "pcl"}],
    "disentangled_deblur": [{"decoder": "network"}],
    "memorynet": [{"memory": False}, {"alpha": 0.0}, {"paired": True}, {"task": "dehaze"}],
    "physics_gan": [{"form": "literal"}, {"share": 0.0}],
    "denoise_physics": [{"noise": "all"}],
    "derain_physics": [{"rain_free": 1.0}],
    "pcl": [{"contrast": "aecr"}, {"contrast": "triplet"}, {"alpha": 0.0}],
    "rendered": [{"task": "derain"}],
    "neighbor2neighbor": [{"shuffle": 2, "patch": 32}],
    "noise2noise": [{"noise": "impulse"}, {"noise": "bernoulli"}],
    "noise2void": [{"shuffle": 2}],
    "recorrupted": [{"sigma": 0.1, "gain": 0.01}, {"shuffle": 2}],
    "sure": [{"sigma": 0.1, "gain": 0.01}],
}
FORMS = [
    pytest.param((name, form), id=f"{name} {form or ''}")
    for name in NAMES
    for form in [{}, *ALSO.get(name, [])]
]
each = pytest.mark.parametrize("name", NAMES)


def started(name, form):
    build = discover.builder("recipes", name)
    small = {k: v for k, v in TINY.items() if k in discover.settings(build)}
    torch.manual_seed(0)
    return build(**{**small, **form})


def past_start(recipe):
    """Past the start, at which the head is zero: no rain is removed and no gradient passes it."""
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in recipe.restorer.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=draws))
    recipe.ema.load_state_dict(recipe.restorer.state_dict())
    return recipe


def tiny(name, form):
    return past_start(started(name, form))


def batch_for(recipe, seed=0, progress=0.3):
    size = (recipe.batch, 3, recipe.patch, recipe.patch)

    def patches(kind, index, size=size):
        if kind not in recipe.needs:
            return None
        return torch.rand(size, generator=torch.Generator().manual_seed(10 * seed + index))

    pairs = patches("observations", 3, (recipe.batch, 2, *size[1:]))
    views = patches("places", 4, (recipe.batch, 3, *size[1:]))
    clean, degraded = patches("clean", 1), patches("degraded", 2)
    return Batch(clean, degraded, progress, observations=pairs, places=views)


def losses_of(recipe, batch, seed=0):
    return [p.objective(batch, rng.derive(seed, "objective")) for p in recipe.players]


@dataclass
class Learned:
    """A recipe as it begins, and after the gradients of one batch."""

    recipe: Recipe
    began: tuple[dict, dict]  # states of the restorer and of its average
    apart: bool  # whether the two share no memory
    batch: Batch
    terms: list[dict]  # of each player
    streams: tuple[torch.Tensor, torch.Tensor]  # the global one, before and after
    average: dict  # state before


@pytest.fixture(scope="module", params=FORMS)
def learned(request):
    name, form = request.param
    recipe = started(name, form)
    states = recipe.restorer.state_dict(), recipe.ema.state_dict()
    apart = not set.intersection(*({v.data_ptr() for v in state.values()} for state in states))
    began = copy.deepcopy(states)
    past_start(recipe).ema.eval()
    batch = replace(batch_for(recipe), warm=True)  # all that it knows is learned
    average, before = copy.deepcopy(recipe.ema.state_dict()), torch.get_rng_state()
    terms = losses_of(recipe, batch)
    for player, own in zip(recipe.players, terms, strict=True):
        sum(player.weights[key] * term for key, term in own.items()).backward()
    streams = before, torch.get_rng_state()
    return Learned(recipe, began, apart, batch, terms, streams, average)


@each
def test_it_builds_without_settings(name):
    recipe = discover.builder("recipes", name)()
    assert isinstance(recipe, Recipe)
    assert recipe.patch % recipe.restorer.stride == 0
    assert recipe.needs
    assert recipe.needs <= {"clean", "degraded", "observations", "places"}
    assert recipe.players


def test_network_and_keywords_make_the_restorer(learned):
    recipe = learned.recipe
    made = discover.builder("networks", recipe.network)(**recipe.keywords)
    shapes = {k: v.shape for k, v in made.state_dict().items()}
    for net in (recipe.restorer, recipe.ema):
        assert {k: v.shape for k, v in net.state_dict().items()} == shapes


def test_average_starts_as_the_restorer_and_is_another_network(learned):
    trained, mean = learned.began
    assert all(torch.equal(value, mean[key]) for key, value in trained.items())
    assert learned.apart


def test_terms_are_finite_scalars_and_each_has_a_weight(learned):
    for player, terms in zip(learned.recipe.players, learned.terms, strict=True):
        assert isinstance(player.objective, Objective)
        assert isinstance(player.objective, nn.Module)
        assert terms.keys() == player.weights.keys()
        assert all(term.shape == () and math.isfinite(term.item()) for term in terms.values())


@pytest.mark.parametrize("form", FORMS)
def test_two_steps_change_the_restorer_with_finite_losses(form):
    recipe = tiny(*form)
    before = copy.deepcopy(recipe.restorer)
    rows = list(fit(recipe, lambda step, at: batch_for(recipe, step, at), seed=0, steps=2))
    assert [row.step for row in rows] == [1, 2]
    assert all(math.isfinite(value) for row in rows for value in row.losses.values())
    pairs = list(zip(recipe.restorer.parameters(), before.parameters(), strict=True))
    assert all(now.isfinite().all() for now, _ in pairs)
    assert any(not torch.equal(now, was) for now, was in pairs)


def digest(states):
    """Of all tensors of nested states."""
    if isinstance(states, torch.Tensor):
        return hashlib.sha256(states.detach().contiguous().numpy().tobytes()).hexdigest()
    if isinstance(states, dict):
        return {key: digest(value) for key, value in states.items()}
    return [digest(value) for value in states] if isinstance(states, (list, tuple)) else states


def step_in_a_group(rank, chosen, folder):
    """Of each recipe: the states after a step on a batch of this rank's own, and if it moved."""
    ends = {}
    for name in NAMES:
        recipe = tiny(name, {})
        began = digest(recipe.restorer.state_dict())
        own = batch_for(recipe, 1 + rank)
        next(fit(recipe, lambda step, at, own=own: own, seed=0, steps=1))
        states = [(p.objective.state_dict(), p.optimizer.state_dict()) for p in recipe.players]
        states += [(mean.of.state_dict(), mean.ema.state_dict()) for mean in recipe.averages]
        ends[name] = digest(states), began != digest(recipe.restorer.state_dict())
    return ends


@pytest.fixture(scope="module")
def stepped(two_ranks, tmp_path_factory):
    return two_ranks(step_in_a_group, tmp_path_factory.mktemp("recipes"))


@each
def test_two_processes_with_other_batches_end_with_the_same_weights(stepped, name):
    (one, moved), (other, _) = (ends[name] for ends in stepped)
    assert moved
    assert one == other


def test_same_generator_gives_the_same_loss_and_another_one_not(learned, request):
    name, form = request.node.callspec.params["learned"]
    recipe = learned.recipe
    batch = batch_for(recipe)
    one, again, other = (
        [{k: v.item() for k, v in terms.items()} for terms in losses_of(recipe, batch, seed)]
        for seed in (1, 1, 2)
    )
    assert one == again
    drawn = form not in (
        {"rain_free": 1.0},
        {"paired": True},
        {"decoder": "network"},
    ) and name not in ("cycle_dehaze", "blind_spot")
    if drawn:  # something that matters
        assert one != other


def test_objectives_leave_the_global_streams_alone(learned):
    before, after = learned.streams
    assert torch.equal(after, before)


def test_objectives_leave_the_batch_and_the_average_as_they_were(learned):
    recipe, expected = learned.recipe, batch_for(learned.recipe)
    for kind in recipe.needs:
        assert torch.equal(getattr(learned.batch, kind), getattr(expected, kind))
    assert all(torch.equal(v, learned.average[k]) for k, v in recipe.ema.state_dict().items())
    assert not any(module.training for module in recipe.ema.modules())
    assert all(p.grad is None for p in recipe.ema.parameters())


def test_every_weight_of_the_restorer_gets_a_gradient(learned):
    recipe = learned.recipe
    veiled = any("veil" in player.weights for player in recipe.players)
    for key, weight in recipe.restorer.named_parameters():
        if key.startswith("veil.") and not veiled:
            continue  # without a veil in its data a recipe leaves that part as it was
        assert weight.grad is not None, key
        assert weight.grad.isfinite().all(), key
        if weight.dim() > 1:  # biases before a BatchNorm have none: it takes the mean away
            assert weight.grad.abs().max() > 0, key


def test_optimizers_hold_every_weight_of_the_restorer_once(learned):
    recipe = learned.recipe
    held = [id(w) for p in recipe.players for g in p.optimizer.param_groups for w in g["params"]]
    assert len(held) == len(set(held))
    assert {id(w) for w in recipe.restorer.parameters()} <= set(held)
    assert not {id(w) for w in recipe.ema.parameters()} & set(held)


@each
def test_every_setting_is_annotated_keyword_only_and_documented(name):
    build = discover.builder("recipes", name)
    kinds = typing.get_type_hints(build)
    text = inspect.getdoc(build)
    for setting, parameter in inspect.signature(build).parameters.items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty
        assert setting in kinds
        assert f"`{setting}`" in text


@each
def test_every_default_survives_the_command_line_and_json(name):
    build = discover.builder("recipes", name)
    defaults = discover.settings(build)
    assert discover.parse_settings(build, [f"{k}={v}" for k, v in defaults.items()]) == defaults


def test_every_form_is_of_a_recipe():
    assert set(ALSO) <= set(NAMES)
