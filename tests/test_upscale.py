"""Enlarging: what small pictures are made of, what is contrasted, and the command."""

from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from moving import scene
from PIL import Image

import ssl_restore
from degradations.resample import ResampleParams, resample
from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.evaluation import scoring
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.networks import upscaler
from ssl_restore.networks.critic import Critic, haar
from ssl_restore.objectives import picture_contrast, upscaling
from ssl_restore.objectives.positives import blurred, sharpened
from ssl_restore.recipes import memorynet, pcl, rendered
from ssl_restore.training import checkpoint
from ssl_restore.types import Batch
from ssl_restore_cli.main import main

COW = Path(__file__).parents[1] / "data_samples" / "photos" / "cow.jpg"
PLAIN = upscaling.Shares(plain=1.0)


def photograph(side=48, seed=3):
    return torch.from_numpy(scene(side, side, seed=seed)).permute(2, 0, 1)[None].float()


def past_start(scale):
    torch.manual_seed(0)
    net = upscaler.build(width=4, blocks=2, scale=scale)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return net.eval()


def weights(path, scale):
    header = checkpoint.Header("upscale", "upscaler", {"width": 4, "blocks": 2, "scale": scale})
    checkpoint.save(path, past_start(scale), header)
    return path


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_plain_pictures_are_cubic_and_in_8_bits(scale):
    clean = photograph()
    small = upscaling.smaller(clean, scale, PLAIN, rng.derive(0, "small"))
    expected = resample(clean, ResampleParams(torch.ones(1), scale)).clamp(0, 1)
    torch.testing.assert_close(small, expected, rtol=0, atol=0.5 / 255 + 1e-6)
    assert small.shape[-1] == 48 // scale


def test_other_pictures_are_softer_noisy_or_stored():
    clean = photograph(seed=5).expand(16, -1, -1, -1)
    other = upscaling.smaller(clean, 2, upscaling.Shares(plain=0.0), rng.derive(1, "small"))
    cubic = resample(clean, ResampleParams(torch.ones(16), 2))
    error = (other - cubic).square().mean(dim=(1, 2, 3)).sqrt()
    assert error.min() > 1e-3  # which is that of rounding
    assert error.median() > 0.01
    assert error.max() < 0.15


def detail(image):
    return sum(band.square().mean() for band in haar(image)[1:])


def test_positives_are_sharper_and_negatives_softer_than_the_picture():
    image = photograph()
    sharp = sharpened(image, 3, rng.derive(0, "sharp"))[0]
    soft = blurred(image, 3, rng.derive(0, "soft"))[0]
    assert sharp.shape == soft.shape == (3, 3, 48, 48)
    assert all(detail(one[None]) > 1.01 * detail(image) for one in sharp)
    assert all(detail(one[None]) < 0.99 * detail(image) for one in soft)
    assert not torch.equal(sharp[0], sharp[1])


def test_contrast_of_a_sharp_picture_is_less_than_that_of_a_blurred_one():
    torch.manual_seed(0)
    critic, target = Critic(3, 8, depth=4), photograph()
    values = [
        float(picture_contrast.pcl(critic, given, target, rng.derive(0, "c")))
        for given in (target, cv2_blur(target))
    ]
    assert values[0] < values[1]
    before = [weight.grad for weight in critic.parameters()]
    assert before == [None] * len(before)


def cv2_blur(image):
    soft = cv2.GaussianBlur(image[0].permute(1, 2, 0).numpy(), (0, 0), 1.5)
    return torch.from_numpy(soft).permute(2, 0, 1)[None]


def test_each_player_moves_its_own_network_only():
    torch.manual_seed(0)
    recipe = pcl.build(width=4, blocks=1, critic_width=4, prior=0.1)
    batch = Batch(photograph().expand(2, -1, -1, -1).contiguous(), None)
    for player, moved in zip(recipe.players, ("restorer", "critic"), strict=True):
        before = {n: copy.deepcopy(getattr(player.objective, n)) for n in ("restorer", "critic")}
        terms = player.objective(batch, rng.derive(0, "turn"))
        assert terms.keys() == player.weights.keys()
        sum(player.weights[key] * term for key, term in terms.items()).backward()
        player.optimizer.step()
        player.optimizer.zero_grad()
        for name, old in before.items():
            pairs = zip(old.parameters(), getattr(player.objective, name).parameters(), strict=True)
            changed = any(not torch.equal(*pair) for pair in pairs)
            assert changed is (name == moved), name


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"scale": 5}, "scale: 2, 3 or 4 is expected, got 5"),
        ({"scale": 3, "patch": 32}, "patch: a multiple of 24 is expected, got 32"),
        ({"temperature": 0.0}, "temperature: more than 0 is expected, got 0"),
        ({"alpha": -1.0}, "alpha: 0 or more is expected, got -1"),
        ({"prior": -1.0}, "prior: 0 or more is expected, got -1"),
        ({"negatives": 0}, "negatives: at least 1 is expected, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting, message):
    with pytest.raises(UserError, match=message):
        pcl.build(**setting)


def upscale(*arguments):
    result = CliRunner().invoke(main, ["upscale", *map(str, arguments), "--precision", "fp32"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_tiles_alpha_and_16_bits_are_exact_at_any_scale(scale, kind, tmp_path):
    rows, columns = 37, 53
    draws = np.random.default_rng(0)
    top = np.iinfo(kind).max
    pixels = draws.integers(0, top, (rows, columns, 3), dtype=kind, endpoint=True)
    alpha = np.full((rows, columns), top, kind)
    alpha[:20] = 0
    images.write(tmp_path / "a.png", Picture(pixels, alpha))
    own = weights(tmp_path / "w.safetensors", scale)
    given = ("--weights", own, "--tile", 8)
    result = upscale(tmp_path / "a.png", tmp_path / "b.png", *given)
    assert result.exit_code == 0, result.stderr
    found = images.read(tmp_path / "b.png")
    whole = restore(load_restorer(own, torch.device("cpu")), pixels, tile=0, precision="fp32")
    assert found.pixels.shape == (scale * rows, scale * columns, 3)
    assert np.abs(found.pixels.astype(int) - whole).max() <= 1  # rounded the other way
    assert found.alpha.shape == found.pixels.shape[:2]
    assert (found.alpha[: 20 * scale - scale] == 0).all()
    assert (found.alpha[20 * scale + scale :] == top).all()


def test_the_smallest_pictures_are_enlarged():
    for size in ((1, 1), (1, 16), (3, 2)):
        assert ssl_restore.restore(np.zeros((*size, 3), np.uint8), "upscale").shape == (
            2 * size[0], 2 * size[1], 3,
        )  # fmt: skip


def test_a_pillow_image_with_alpha_is_enlarged():
    image = Image.fromarray(np.full((5, 7, 4), 200, np.uint8))
    assert ssl_restore.restore(image, "upscale").size == (14, 10)


def test_scale_four_is_another_network_and_weights_have_their_own(tmp_path):
    images.write(tmp_path / "a.png", Picture(np.full((6, 8, 3), 90, np.uint8)))
    assert upscale(tmp_path / "a.png", tmp_path / "b.png", "--scale", 4).exit_code == 0
    assert images.read(tmp_path / "b.png").pixels.shape == (24, 32, 3)
    own = weights(tmp_path / "w.safetensors", 3)
    result = upscale(tmp_path / "a.png", tmp_path / "c.png", "--scale", 4, "--weights", own)
    assert result.exit_code == 2
    assert "leave --scale out" in result.stderr


def test_scale_four_is_loaded_by_its_number_and_others_are_refused():
    assert ssl_restore.load("upscale", scale=4).scale == 4
    assert ssl_restore.load("upscale").scale == ssl_restore.load("upscale", scale=2).scale == 2
    for source, scale in (("upscale", 3), ("derain", 2)):
        with pytest.raises(UserError, match=f"scale: of upscale, 2 or 4; got {scale} for {source}"):
            ssl_restore.load(source, scale=scale)


def test_strength_and_streams_are_refused(tmp_path, pictures):
    with pytest.raises(UserError, match="strength: this restorer enlarges; leave it out"):
        ssl_restore.restore(np.zeros((4, 4, 3), np.uint8), "upscale", strength=0.5)
    call = ["adapt", str(pictures("frames", 2)), str(tmp_path / "out"), "--task", "upscale"]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 2
    assert "no adapter learns to upscale" in result.stderr


def test_scores_stand_beside_the_repeated_input_and_cubic_interpolation(tmp_path):
    large = images.read(COW).pixels[100:228, 200:328]
    small = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
    for folder, pixels in (("small", small), ("large", large), ("odd", large[:124])):
        (tmp_path / folder).mkdir()
        images.write(tmp_path / folder / "a.png", Picture(pixels))
    scores = ssl_restore.evaluate(tmp_path / "small", tmp_path / "large", "upscale")
    found = {score.method: score.scores["psnr_rgb"] for score in scores}
    cubic = cv2.resize(small, (128, 128), interpolation=cv2.INTER_CUBIC)
    assert found["cubic"] == pytest.approx(scoring.metrics.psnr(cubic, large))
    assert found["restorer"] > found["cubic"] > found["input"]
    without = ssl_restore.evaluate(tmp_path / "small", restorer="upscale")
    assert {score.method for score in without} == {"input", "cubic", "restorer"}
    with pytest.raises(UserError, match=r"64 x 64, but .* is 128 x 124"):
        ssl_restore.evaluate(tmp_path / "small", tmp_path / "odd", "upscale")
    four = ssl_restore.load("upscale", scale=4)
    with pytest.raises(UserError, match=r"restored, it is 256 x 256, but .* is 128 x 128"):
        ssl_restore.evaluate(tmp_path / "small", tmp_path / "large", four)


def test_fit_names_the_folder_that_is_given_twice(tmp_path):
    call = ["fit", "--images", str(COW.parent), "--no-calibrate", "--steps", "1"]
    result = CliRunner().invoke(main, [*call, "-o", str(tmp_path / "run")])
    assert result.exit_code == 1
    assert f"{COW.parent} is the folder of degraded pictures" in result.stderr


@pytest.mark.parametrize("recipe", [memorynet, rendered])
def test_recipes_that_keep_the_size_refuse_the_task(recipe):
    with pytest.raises(UserError, match="task: upscale enlarges pictures; use the recipe pcl"):
        recipe.build(width=2, task="upscale")
