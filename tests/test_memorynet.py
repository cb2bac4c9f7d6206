"""MemoryNet: addressing against its loops, stages, tiles, phases, pairs, and the command line."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import pixels
from torch import nn

from degradations.rain import Rain
from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.inference.tiles import restore_tensor, tiles
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.networks import memory, memorynet
from ssl_restore.networks.memory import Memory, addressing, perplexity, shrunk
from ssl_restore.objectives.contrast import triplet
from ssl_restore.objectives.memorynet import EPS, Remembering, edge_loss
from ssl_restore.recipes import memorynet as recipe
from ssl_restore.training import checkpoint
from ssl_restore.training.fit import fit as train
from ssl_restore.types import Batch
from ssl_restore_cli.main import main

TINY = ("width=4", "batch=2", "patch=24")
RAIN = Rain(rain_free=0.0)


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def queries(seed=0, shape=(2, 5, 3, 4), dtype=torch.float32):
    return torch.randn(shape, generator=draws(seed), dtype=dtype)


def slow(query, prototypes, shrinkage):
    """Its definition: over images, pixels and prototypes."""
    batch, _, height, width = query.shape
    out = query.new_zeros(batch, len(prototypes), height, width)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                q, weights = query[b, :, y, x], []
                for m in prototypes:
                    cosine = (q @ m) / (q.norm() * m.norm())
                    weights.append((cosine / memory.TEMPERATURE).exp())
                total, kept = sum(weights), []
                for weight in weights:
                    above = weight / total - shrinkage
                    share = max(above, above * 0) / (above.abs() + memory.EPS)
                    kept.append(share * weight / total if shrinkage else weight / total)
                out[b, :, y, x] = torch.stack([one / sum(kept) for one in kept])
    return out


@pytest.mark.parametrize("shrinkage", [0.0, 0.0025, 0.1])
def test_addressing_equals_loops_over_pixels_and_prototypes(shrinkage):
    query, prototypes = queries(), queries(1, (7, 5))
    expected = slow(query, prototypes, shrinkage)
    torch.testing.assert_close(addressing(query, prototypes, shrinkage), expected)


def test_gradients_of_addressing_equal_those_of_the_loops():
    gradients = []
    for form in (addressing, slow):
        query = queries(dtype=torch.float64).requires_grad_()
        prototypes = queries(1, (7, 5), torch.float64).requires_grad_()
        form(query, prototypes, 0.05).square().sum().backward()
        gradients.append((query.grad, prototypes.grad))
    for fast, loops in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, loops)


def test_shrinkage_leaves_few_weights_that_sum_to_one():
    weights = (3 * queries(shape=(2, 40, 3, 4))).softmax(dim=1)
    kept = shrunk(weights, 0.01)
    assert (kept[weights <= 0.01] == 0).all()
    assert (kept[weights > 0.011] > 0).all()
    assert (kept == 0).float().mean() > 0.4
    torch.testing.assert_close(kept.sum(dim=1), torch.ones(2, 3, 4))
    assert torch.equal(shrunk(weights, 0.0), weights)


def test_shrinkage_is_continuous_where_it_cuts():
    """Rounding, which differs from tile to tile, must not be a jump."""
    near = 0.0025 + torch.linspace(-1e-6, 1e-6, 9, dtype=torch.float64)
    pairs = torch.stack([near, 1 - near])[None, :, None]
    step = shrunk(pairs, 0.0025)[0, 0, 0].diff()
    assert step.abs().max() < 1e-5


def test_perplexity_counts_the_prototypes_in_use():
    even = torch.full((2, 6, 3, 4), 1 / 6)
    assert perplexity(even).item() == pytest.approx(6)
    alone = nn.functional.one_hot(torch.arange(12) % 6).T.reshape(1, 6, 3, 4).float()
    assert perplexity(alone).item() == pytest.approx(1)
    for seed in range(5):
        weights = (2 * queries(seed, (2, 6, 3, 4))).softmax(dim=1)
        assert 1 < perplexity(weights).item() < 6


def test_equal_similarity_uses_all_prototypes_alike():
    prototypes = queries(1, (1, 5)).expand(9, 5) * torch.rand(9, 1, generator=draws())
    assert perplexity(addressing(queries(), prototypes)).item() == pytest.approx(9)


def test_each_level_begins_as_means_of_the_one_below():
    torch.manual_seed(0)
    net = Memory(5, (8, 4, 2))
    parts, instances, semantics = net.prototypes()
    for one in (instances, semantics):
        low, high = parts.min(dim=0)[0], parts.max(dim=0)[0]
        assert ((low < one) & (one < high)).all()
    shares = net.summaries[0].softmax(dim=1)
    for number in range(4):
        assert set(shares[number].topk(2).indices.tolist()) == {number, number + 4}
    torch.testing.assert_close(instances, shares @ parts)
    torch.testing.assert_close(semantics, net.summaries[1].softmax(dim=1) @ instances)


def test_what_is_read_is_the_weighted_mean_of_prototypes_for_any_scale_of_the_features():
    torch.manual_seed(0)
    net, features = Memory(5, (8, 4, 2)), queries()
    reading = net.read(features)
    torch.testing.assert_close(reading.query.square().mean(dim=1), torch.ones(2, 3, 4))
    for weights, read, known in zip(reading.weights, reading.read, net.prototypes(), strict=True):
        torch.testing.assert_close(read, torch.einsum("bnhw,nc->bchw", weights, known))
    torch.testing.assert_close(net.read(100 * features).distance(), reading.distance())
    h = torch.stack(reading.read)
    assert reading.distance().item() == pytest.approx((reading.query - h).square().mean().item())


def test_features_that_are_a_prototype_are_remembered_exactly():
    """With orthogonal prototypes and one of them as the query, hardly any other is read."""
    net = Memory(8, (8, 8, 8))
    with torch.no_grad():
        net.parts.copy_(8**0.5 * torch.eye(8))
        for logits in net.summaries:
            logits.copy_(100 * torch.eye(8))
        reading = net.read(3 * torch.eye(8)[None, :, :, None])
    assert reading.distance() < 1e-4
    assert max(perplexity(w).item() for w in reading.weights) < 1.01


@pytest.mark.parametrize("sizes", [(8, 4), (4, 8, 2), (8, 4, 0)])
def test_levels_that_cannot_be_are_refused(sizes):
    with pytest.raises(ValueError, match="3 falling numbers"):
        Memory(4, sizes)


def past_start(width=4, seed=0, **keywords):
    torch.manual_seed(seed)
    net = memorynet.build(width=width, **keywords)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return net.eval()


def test_untrained_every_stage_returns_its_input():
    net, image = memorynet.build(width=4), torch.rand(2, 3, 16, 24, generator=draws())
    assert [torch.equal(stage, image) for stage in net.stages(image)] == [True] * 3


def test_a_stage_knows_those_before_it_and_none_after():
    net, image = past_start(), torch.rand(1, 3, 16, 16, generator=draws())
    with torch.no_grad():
        before = net.stages(image)
        assert torch.equal(net(image), before[-1])
        for number, head in enumerate((net.attend1.head, net.attend2.head, net.head3)):
            kept = head.bias.clone()
            head.bias.add_(0.5)
            changed = [not torch.equal(*p) for p in zip(net.stages(image), before, strict=True)]
            head.bias.copy_(kept)
            assert changed == [other >= number for other in range(3)]


def test_memory_changes_the_result_and_can_be_left_out():
    net, image = past_start(), torch.rand(1, 3, 16, 16, generator=draws())
    plain = memorynet.build(width=4, memory=False).eval()
    missing = plain.load_state_dict(net.state_dict(), strict=False)
    assert not missing.missing_keys
    assert all(".memory." in key for key in missing.unexpected_keys)
    with torch.no_grad():
        assert (net(image) - plain(image)).abs().max() > 1e-3
    assert len(net.readings(image)) == 2
    assert plain.readings(image) == []


def test_it_has_one_to_two_million_parameters():
    count = sum(weight.numel() for weight in memorynet.build().parameters())
    assert 1e6 < count < 2e6


def test_tiles_give_what_the_whole_picture_gives():
    net = past_start()
    image = torch.rand(1, 3, 397, 325, generator=draws())
    assert tiles(net, 397, 325, 96)[0].window_rows.stop < 397  # no tile sees all of it
    for precision in ("fp32", "bf16"):
        whole, tiled = (
            restore_tensor(net, image, tile=tile, precision=precision) for tile in (0, 96)
        )
        assert (whole - image).std() > 1e-2
        torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)


def batch(progress=0.5, seed=0):
    clean, degraded = torch.rand(2, 2, 3, 16, 16, generator=draws(seed))
    return Batch(clean, degraded, progress)


def test_loss_is_the_sum_over_stages_and_the_triplet_of_the_encoder():
    net, given = past_start(), batch()
    objective = Remembering(net, None)
    with torch.no_grad():
        terms = objective(given, draws())
        stages = net.stages(given.degraded)
        errors = [stage - given.clean for stage in stages]
        restore = sum(((e**2 + EPS**2).sqrt() - EPS).mean().item() for e in errors)
        pooled = [
            nn.functional.normalize(net.features(one)[-1].abs().mean(dim=(2, 3)), dim=1)
            for one in (stages[-1], given.clean, given.degraded)
        ]
        distances = [reading.distance().item() for reading in net.readings(given.clean)]
    assert terms["restore"].item() == pytest.approx(restore, rel=1e-5)
    assert terms["edge"].item() == pytest.approx(sum(edge_loss(e).item() for e in errors), rel=1e-5)
    assert terms["contrast"].item() == pytest.approx(triplet(*pooled, 0.2).item(), rel=1e-5)
    assert terms["memory"].item() == pytest.approx(sum(distances) / 2, rel=1e-5)
    assert terms["rebuild"].item() == 0


def test_edges_are_the_laplacian_so_that_an_even_error_has_none():
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    even = (0.1 + 0.2 * x - 0.05 * y).expand(2, 3, 6, 7)
    assert edge_loss(even).item() == pytest.approx(0, abs=1e-6)
    bowl = (x.square() + 2 * y.square()).expand(2, 3, 6, 7)  # of which it is 2 + 4
    assert edge_loss(bowl).item() == pytest.approx(math.hypot(6, EPS) - EPS, rel=1e-5)


def test_contrast_teaches_through_what_was_restored_alone():
    """The encoder judges and rests: to make all pictures look alike is no way out."""
    net = past_start()
    net.stages = lambda image: [image] * 3
    assert not Remembering(net, None)(batch(), draws())["contrast"].requires_grad


def test_gradients_reach_every_weight_the_memory_included():
    net = past_start()
    terms = Remembering(net, RAIN)(batch(), draws())
    (terms["restore"] + terms["memory"]).backward()
    for key, weight in net.named_parameters():
        assert weight.grad is not None, key
        assert weight.grad.abs().max() > 0, key


def learned_by(term, progress):
    net = past_start()
    Remembering(net, None)(batch(progress), draws())[term].backward()
    return {key for key, weight in net.named_parameters() if weight.grad is not None}


def test_the_task_teaches_the_memory_and_the_memory_its_encoders_at_first_only():
    """Later they would make all features alike."""
    assert {"unet1.memory.parts", "unet2.memory.summaries.1"} <= learned_by("restore", 0.5)
    memories = learned_by("memory", 0.5)
    assert memories
    assert all(".memory." in key for key in memories)
    assert {"stem1.weight", "unet2.memory.parts"} <= learned_by("memory", 0.1)


def test_first_the_memory_is_learned_then_the_restorer_and_the_memory_with_it():
    torch.manual_seed(0)
    built = recipe.build(width=4, batch=2, patch=16, memory_first=0.5)
    net, image = built.restorer, torch.rand(1, 3, 16, 16, generator=draws())
    rows = train(built, lambda step, at: batch(at, step), seed=0, steps=4)

    def two_steps():
        before = {key: value.clone() for key, value in net.state_dict().items()}
        losses = [next(rows).losses for _ in range(2)][-1]
        moved = {key for key, now in net.state_dict().items() if not torch.equal(now, before[key])}
        return losses, moved

    losses, moved = two_steps()
    assert losses["restore"] == losses["edge"] == losses["contrast"] == 0
    assert min(losses["memory"], losses["rebuild"]) > 0
    assert {"unet1.memory.parts", "unet2.memory.parts", "unet1.memory.summaries.0"} <= moved
    assert not {key for key in moved if key.startswith(("attend2.", "full.", "head3."))}
    assert torch.equal(net(image), image)
    losses, moved = two_steps()
    assert losses["rebuild"] == 0
    assert min(losses["memory"], losses["restore"]) > 0
    assert {"attend1.head.weight", "head3.weight", "unet1.memory.parts"} <= moved
    assert not torch.equal(net(image), image)


def test_without_a_memory_or_after_a_warm_start_there_is_no_first_phase():
    bare = Remembering(past_start(memory=False), None)(batch(0.0), draws())
    assert set(bare) == {"restore", "edge", "contrast"}
    assert bare["restore"] > 0
    warm = replace(batch(0.0), warm=True)
    assert Remembering(past_start(), None)(warm, draws())["restore"] > 0


def test_what_is_learned_first_makes_read_outs_nearer_to_the_features():
    torch.manual_seed(0)
    built = recipe.build(width=4, batch=2, patch=16, memory_first=0.99)
    given = batch()
    rows = train(built, lambda step, at: replace(given, progress=at), seed=0, steps=200)
    losses = [next(rows).losses for _ in range(120)]
    for term in ("memory", "rebuild"):
        assert losses[-1][term] < 0.9 * losses[0][term]


def test_pairs_are_those_given_or_what_the_degradation_makes():
    net, given = past_start(), batch(0.4)
    paired = Remembering(net, None).prepare(given, draws())
    assert torch.equal(paired.picture, given.degraded)
    assert torch.equal(paired.truth, given.clean)
    made = Remembering(net, RAIN).prepare(Batch(given.clean, None, 0.4), draws())
    assert made.progress == 0.4
    assert torch.equal(made.truth, given.clean)
    assert not torch.equal(made.picture, made.truth)
    assert Remembering(net, RAIN).prepare(made, draws()) is made
    again = (Remembering(net, RAIN).prepare(given, rng.derive(0, "x")).picture for _ in range(2))
    assert torch.equal(*again)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"alpha": -1.0}, "alpha: 0 or more"),
        ({"memory_first": 1.0}, "memory_first: at least 0 and below 1"),
        ({"task": "dehase"}, "dehaze"),
        ({"shrinkage": 0.1}, "below 1 / 64"),
        ({"width": 5}, "width must be even"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting, message):
    with pytest.raises((UserError, ValueError), match=message):
        recipe.build(**{"width": 2, **setting})


def test_the_task_says_what_is_degraded_and_how_pictures_may_be_turned():
    derain, denoise = (recipe.build(width=2, task=name) for name in ("derain", "denoise"))
    assert (derain.task, derain.upright) == ("derain", True)
    assert (denoise.task, denoise.upright) == ("denoise", False)
    kinds = [type(one.players[0].objective.degradation).__name__ for one in (derain, denoise)]
    assert kinds == ["Rain", "Noise"]


def run(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 0, result.output
    return result


def fit(tmp_path, *more):
    settings = [part for setting in TINY for part in ("--set", setting)]
    return run(
        "fit", "--recipe", "memorynet", "--steps", 3, "-o", tmp_path / "run", *settings, *more
    )


@pytest.fixture
def folders(tmp_path):
    """Clean pictures of odd sides, and the same with stripes of light."""
    for number in range(3):
        clean = 0.6 * pixels(37, 45, seed=number)
        striped = clean + 60 * (np.arange(45) % 9 == 0)[None, :, None]
        for name, values in (("clean", clean), ("rainy", striped)):
            (tmp_path / name).mkdir(exist_ok=True)
            images.write(tmp_path / name / f"{number}.png", Picture(values.astype(np.uint8)))
    return tmp_path


def test_pairs_are_learned_from_and_what_is_learned_derains(folders):
    fit(folders, "--images", folders / "rainy", "--clean", folders / "clean", "--paired")
    weights = folders / "run" / "restorer.safetensors"
    assert checkpoint.read_header(weights).network == "memorynet"
    assert "contrast" in (folders / "run" / "log.csv").read_text(encoding="utf-8")
    run("derain", folders / "rainy", folders / "out", "--weights", weights)
    assert images.read(folders / "out" / "0.png").pixels.shape == (37, 45, 3)


def test_without_pairs_clean_pictures_are_enough_for_the_task_of_the_command(folders):
    fit(folders, "--task", "denoise", "--clean", folders / "clean", "--set", "memory=no")
    header = checkpoint.read_header(weights := folders / "run" / "restorer.safetensors")
    assert (header.task, header.keywords["memory"]) == ("denoise", False)
    run("denoise", folders / "rainy", folders / "out", "--weights", weights)
