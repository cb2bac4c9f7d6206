"""AECR-Net: deformable convolution against its loops, tiles, pairs, and the command line."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import pixels, write_photo
from torch import nn
from torch.nn import functional as F

from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.inference.tiles import restore_tensor, tiles
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.networks import aecr
from ssl_restore.networks.critic import Critic
from ssl_restore.networks.deformable import LARGEST_PX, DeformableConv2d, deformable_convolution
from ssl_restore.objectives.haze_pairs import Dehazing
from ssl_restore.objectives.pairs import Pairs
from ssl_restore.objectives.synthetic_haze import Shares
from ssl_restore.recipes import aecr as recipe
from ssl_restore.training import checkpoint
from ssl_restore.types import Batch
from ssl_restore_cli.main import main

PUBLISHED_PARAMETERS = 2.61e6
TINY = ("width=4", "critic_width=4", "batch=2", "patch=24")


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def bent(seed=0, size=(5, 6), dtype=torch.float32):
    """Features, weights, offsets that lead out of them, and modulation."""
    normal = partial(torch.randn, generator=draws(seed), dtype=dtype)
    x, weight = normal(2, 3, *size), normal(4, 3, 3, 3)
    return x, weight, 2 * normal(2, 18, *size), torch.sigmoid(normal(2, 9, *size))


def at(image, y, x):
    """(C,) between the pixels of (C, H, W), bilinear, zero outside."""
    total = torch.zeros_like(image[:, 0, 0])
    top, left = math.floor(y.item()), math.floor(x.item())
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                share = (1 - (y - row).abs()) * (1 - (x - column).abs())
                total = total + share * image[:, row, column]
    return total


def slow(x, weight, offset, modulation):
    """Its definition: over images, pixels and taps."""
    out = x.new_zeros(len(x), len(weight), *x.shape[2:])
    for b in range(len(x)):
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                for k in range(9):
                    y = i + k // 3 - 1 + offset[b, 2 * k, i, j]
                    z = j + k % 3 - 1 + offset[b, 2 * k + 1, i, j]
                    value = modulation[b, k, i, j] * at(x[b], y, z)
                    out[b, :, i, j] = out[b, :, i, j] + weight[:, :, k // 3, k % 3] @ value
    return out


@pytest.mark.parametrize("size", [(5, 6), (1, 7), (1, 1)])
def test_deformable_convolution_equals_loops_over_its_taps(size):
    given = bent(size=size)
    torch.testing.assert_close(deformable_convolution(*given), slow(*given), rtol=0, atol=1e-5)


def test_gradients_of_the_deformable_convolution_equal_those_of_the_loops():
    gradients = []
    for form in (deformable_convolution, slow):
        given = [value.requires_grad_() for value in bent(dtype=torch.float64)]
        form(*given).square().sum().backward()
        gradients.append([value.grad for value in given])
    for fast, loops in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, loops)


def test_gradcheck_of_the_deformable_convolution():
    x, weight, *bends = bent(1, (2, 2), torch.float64)
    one = (x[:1, :2], weight[:2, :2], *(value[:1] for value in bends))  # a picture, two channels
    given = [value.clone().requires_grad_() for value in one]
    assert torch.autograd.gradcheck(deformable_convolution, given)


def test_deformable_convolution_equals_that_of_torchvision():
    try:
        from torchvision.ops import deform_conv2d  # noqa: PLC0415
    except (ImportError, RuntimeError):  # one that was built for another torch raises the latter
        pytest.skip("needs torchvision")
    x, weight, offset, modulation = bent()
    theirs = deform_conv2d(x, offset, weight, padding=1, mask=modulation)
    ours = deformable_convolution(x, weight, offset, modulation)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_a_deformable_convolution_begins_as_a_convolution():
    torch.manual_seed(0)
    net, x = DeformableConv2d(4), bent()[0].repeat(1, 2, 1, 1)[:, :4]
    torch.testing.assert_close(net(x), net.taps(x), rtol=0, atol=1e-5)


def test_offsets_stay_within_their_bound():
    """However large what is predicted: a pixel farther away changes nothing."""
    torch.manual_seed(0)
    net, side = DeformableConv2d(2), 31
    nn.init.constant_(net.predict.bias[:18], 1e6)
    flat = torch.rand(1, 2, side, side, generator=draws())
    poked = flat.clone()
    poked[..., 15, 15] += 1e3
    with torch.no_grad():
        rows = (net(poked) != net(flat)).any(dim=1).nonzero()[:, 1]
    assert 0 < (rows - 15).abs().max() <= net.reach
    assert (rows - 15).min() == -LARGEST_PX - 1  # the lowest tap, moved down as far as it goes


def past_start(width=4, seed=0):
    """Past the start, with offsets of several pixels."""
    torch.manual_seed(seed)
    net = aecr.build(width=width)
    nn.init.normal_(net.head.weight, 0, 0.05)
    nn.init.normal_(net.deformable.predict.weight, 0, 0.3)
    nn.init.normal_(net.deformable.predict.bias, 0, 2)
    return net.eval()


def test_it_is_as_compact_as_published():
    count = sum(weight.numel() for weight in aecr.build().parameters())
    assert count == pytest.approx(PUBLISHED_PARAMETERS, rel=0.05)


def test_attention_and_deformable_weights_are_applied_again_and_again():
    net, calls = aecr.build(width=2), []
    for part in (net.attention, net.deformable):
        part.register_forward_hook(lambda part, *_: calls.append(type(part).__name__))
    net(torch.rand(1, 3, 8, 8))
    assert calls == ["FeatureAttention"] * 6 + ["DeformableConv2d"] * 2


def test_channels_are_weighed_by_the_mean_of_a_window():
    """The whole of a patch that lies within it, and nothing that is farther away."""
    torch.manual_seed(0)
    block, side = aecr.FeatureAttention(4), aecr.RADIUS + 1
    nn.init.zeros_(block.of_pixels[2].weight)
    nn.init.zeros_(block.of_pixels[2].bias)
    x = torch.randn(1, 4, side, side, generator=draws())
    h = block.conv2(F.relu(block.conv1(x)) + x)
    weights = torch.sigmoid(block.of_channels(h.mean(dim=(2, 3), keepdim=True)))
    torch.testing.assert_close(block(x), x + 0.5 * weights * h)


def test_mix_up_takes_from_the_encoder_what_theta_says():
    net, image = past_start(), torch.rand(1, 3, 16, 16, generator=draws())
    with torch.no_grad():
        net.theta.fill_(100.0)
        alone = net(image)
        nn.init.zeros_(net.deformable.taps.weight)
        assert torch.equal(net(image), alone)  # of the encoder alone
        net.theta[0] = 0.0
        assert torch.equal(net(image), alone)  # the half is still the encoder's
        net.theta[1] = 0.0
        assert not torch.equal(net(image), alone)


def test_tiles_give_what_the_whole_picture_gives():
    net = past_start()
    image = torch.rand(1, 3, 381, 107, generator=draws())
    assert tiles(net, 381, 107, 96)[0].window_rows.stop < 381  # no tile sees all of it
    for precision in ("fp32", "bf16"):
        whole, tiled = (
            restore_tensor(net, image, tile=tile, precision=precision) for tile in (0, 96)
        )
        assert (whole - image).std() > 1e-3
        torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (5, 3), (4, 4), (17, 21)])
def test_any_size_is_restored(size):
    image = torch.rand(1, 3, *size, generator=draws())
    restored = restore_tensor(past_start(), image)
    assert restored.shape == image.shape
    assert restored.isfinite().all()


def test_in_bfloat16_it_gives_nearly_the_same():
    net, image = past_start(), torch.rand(1, 3, 64, 64, generator=draws())
    exact, fast = (restore_tensor(net, image, precision=kind) for kind in ("fp32", "bf16"))
    assert fast.dtype == torch.float32
    assert (exact - fast).abs().max() < 0.1 * (exact - image).abs().max()


def parts(seed=0):
    """Restorer, critic and a batch of clean and degraded pictures."""
    critic = Critic(3, width=4, low=True, depth=4)
    clean, degraded = torch.rand(2, 2, 3, 32, 32, generator=draws(seed))
    return past_start(), critic, Batch(clean, degraded)


def test_contrast_is_the_ratio_of_distances_over_the_layers_deeper_ones_heavier():
    net, critic, batch = parts()
    terms = Dehazing(net, critic, None)(batch, draws())
    with torch.no_grad():
        restored = net(batch.degraded)
        expected = 0.0
        maps = [critic.features(one) for one in (restored, batch.clean, batch.degraded)]
        for weight, (a, p, n) in zip(
            (1 / 8, 1 / 4, 1 / 2, 1), zip(*maps, strict=True), strict=True
        ):
            for image in range(2):
                near = (a[image] - p[image]).abs().mean() / (a[image] - n[image]).abs().mean()
                expected += weight * near.item() / 2
    assert terms["contrast"].item() == pytest.approx(expected, rel=1e-4)
    assert terms["restore"].item() == pytest.approx((restored - batch.clean).abs().mean().item())


def test_contrast_teaches_the_restorer_and_not_the_critic():
    net, critic, batch = parts()
    Dehazing(net, critic, None)(batch, draws())["contrast"].backward()
    assert all(weight.grad is not None for weight in net.parameters())
    assert all(weight.grad is None for weight in critic.parameters())


def test_pairs_are_those_given_or_haze_on_the_clean_pictures():
    net, critic, batch = parts()
    given = Dehazing(net, critic, None).prepare(batch, draws())
    assert torch.equal(given.picture, batch.degraded)
    assert torch.equal(given.truth, batch.clean)
    alone = Batch(batch.clean, None, progress=0.5)
    made = Dehazing(net, critic, Shares(haze_free=0.0, noise=0.0, jpeg=0.0)).prepare(alone, draws())
    assert isinstance(made, Pairs)
    assert made.progress == 0.5
    assert not torch.equal(made.picture, made.truth)
    assert Dehazing(net, critic, Shares()).prepare(made, draws()) is made


def test_without_alpha_there_is_no_critic():
    one = recipe.build(width=2, alpha=0.0)
    assert [player.name for player in one.players] == ["restorer"]
    assert one.players[0].weights == {"restore": 1.0}
    both = recipe.build(width=2, alpha=0.3)
    assert [player.name for player in both.players] == ["restorer", "critic"]
    assert both.players[0].weights["contrast"] == 0.3


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"alpha": -1.0}, "alpha: 0 or more"),
        ({"patch": 20}, "patch: a multiple of 8 is expected, got 20"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting, message):
    with pytest.raises(UserError, match=message):
        recipe.build(width=2, **setting)


def run(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def fit(tmp_path, *more):
    settings = [part for setting in TINY for part in ("--set", setting)]
    return run(
        "fit", "--task", "dehaze", "--recipe", "aecr", "--steps", 3, "-o", tmp_path / "run",
        *settings, *more,
    )  # fmt: skip


@pytest.fixture
def folders(tmp_path):
    """Clear pictures of odd sides, and the same behind haze."""
    for number in range(3):
        clear = pixels(37, 45, seed=number)
        for name, values in (("clean", clear), ("hazy", 0.5 * clear + 100)):
            (tmp_path / name).mkdir(exist_ok=True)
            images.write(tmp_path / name / f"{number}.png", Picture(values.astype(np.uint8)))
    return tmp_path


def test_pairs_are_learned_from_and_what_is_learned_dehazes(folders):
    result = fit(folders, "--images", folders / "hazy", "--clean", folders / "clean", "--paired")
    assert result.exit_code == 0, result.output
    weights = folders / "run" / "restorer.safetensors"
    assert checkpoint.read_header(weights).network == "aecr"
    log = (folders / "run" / "log.csv").read_text(encoding="utf-8")
    assert "restorer.contrast" in log
    assert "critic.penalty" in log
    result = run("dehaze", folders / "hazy", folders / "out", "--weights", weights)
    assert result.exit_code == 0, result.output
    assert images.read(folders / "out" / "0.png").pixels.shape == (37, 45, 3)


def test_without_pairs_clean_pictures_are_enough(folders):
    result = fit(folders, "--clean", folders / "clean", "--set", "alpha=0")
    assert result.exit_code == 0, result.output


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "aecr.safetensors"
    checkpoint.save(path, past_start(), checkpoint.Header("dehaze", "aecr", {"width": 4}))
    return path


def test_strength_is_a_share_of_the_change(tmp_path, weights):
    source = write_photo(tmp_path / "a.png", 41, 53)
    found = [images.read(source).pixels.astype(int)]
    for strength in (0, 0.5, 1):
        out = tmp_path / f"{strength}.png"
        result = run(
            "dehaze", source, out, "--weights", weights, "--strength", strength,
            "--precision", "fp32",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        found.append(images.read(out).pixels.astype(int))
    before, none, half, one = found
    assert np.array_equal(none, before)
    inside = (one > 0) & (one < 255)
    assert np.abs(one - before)[inside].max() > 2
    assert np.abs(half - (before + one) / 2)[inside].max() <= 1


def test_it_tells_no_transmission_and_says_so_before_anything_is_restored(tmp_path, weights):
    source = write_photo(tmp_path / "a.png")
    result = run(
        "dehaze", source, tmp_path / "b.png", "--weights", weights, "--layers", tmp_path / "t"
    )
    assert result.exit_code == 1
    said = "--layers: these weights are of a CompactDehazer, which tells no transmission"
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "b.png").exists()


def test_same_seed_gives_the_same_pairs():
    net, critic, batch = parts()
    objective = Dehazing(net, critic, Shares())
    one, again = (objective.prepare(batch, rng.derive(0, "x")).picture for _ in range(2))
    assert torch.equal(one, again)
