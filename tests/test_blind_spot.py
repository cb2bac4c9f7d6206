"""Blind spots: a network that cannot see what it predicts, and the recipe that learns it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from learning import photograph, randomised

from degradations.noise import CorrelatedNoise, Noise
from degradations.sampling import degrade
from ssl_restore import discover, rng
from ssl_restore.calibration import noise
from ssl_restore.evaluation.noise_left import rejected_reason
from ssl_restore.inference.tiles import restore_tensor
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.networks import blind_spot
from ssl_restore.networks.blind_spot import MASKS, PERIOD_PX, _mask_numbers
from ssl_restore.objectives.blind_spot import BlindSpotLoss
from ssl_restore.training import checkpoint, request, warm_start
from ssl_restore.types import Batch
from ssl_restore_cli.main import main

SHARED = CorrelatedNoise(sigma=(0.1, 0.1), width_px=(0.6, 0.6))
OWN = Noise(gain=(0, 0), sigma=(0.1, 0.1))


@pytest.mark.parametrize("blocks", [1, 4])
def test_no_pixel_is_predicted_from_itself_and_every_one_from_its_neighbours(blocks):
    net = randomised(blind_spot.build(width=4, blocks=blocks)).double()
    image = torch.rand(1, 3, 41, 41).double().requires_grad_()
    (slope,) = torch.autograd.grad(net.predict(image)[..., 20, 20].sum(), image)
    assert (slope[..., 20, 20] == 0).all()
    around = slope[..., 19:22, 19:22].abs().sum(dim=1).flatten()
    assert (around > 0).sum() == 8


def test_it_starts_as_the_mean_of_the_8_neighbours_of_those_that_there_are():
    image = torch.rand(1, 3, 5, 6)
    net = blind_spot.build(width=4, blocks=1)
    expected = torch.empty_like(image)
    for row in range(5):
        for column in range(6):
            block = image[..., max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            count = block.shape[2] * block.shape[3] - 1
            own = image[..., row, column]
            expected[..., row, column] = (block.sum(dim=(2, 3)) - own) / count
    torch.testing.assert_close(net.predict(image), expected)


def test_masks_are_apart_and_each_pixel_is_in_one():
    numbers = _mask_numbers(2 * PERIOD_PX, 2 * PERIOD_PX)
    assert torch.equal(numbers[:PERIOD_PX, :PERIOD_PX], numbers[PERIOD_PX:, PERIOD_PX:])
    for mask in range(MASKS):
        places = (numbers == mask).nonzero()
        assert len(places) == 8
        gaps = (places[:, None] - places[None]).abs().amax(dim=2)
        assert gaps[gaps > 0].min() >= 2


@pytest.mark.parametrize("shuffle", [1, 2, 3])
def test_tiles_of_a_refined_picture_are_exact(shuffle):
    net = randomised(blind_spot.build(width=4, blocks=1, shuffle=shuffle)).eval()
    image = torch.rand(1, 3, 12 * 7 + 5, 12 * 8 + 1)
    whole, tiled = (restore_tensor(net, image, tile=tile, precision="fp32") for tile in (0, 24))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)


def test_loss_is_that_of_pixels_so_far_apart():
    net = blind_spot.build(width=4, blocks=1)
    noisy = torch.rand(2, 3, 12, 12)
    found = BlindSpotLoss(net, 3)(Batch(None, noisy), torch.Generator())["blind"]
    parts = [noisy[:, :, row::3, column::3] for row in range(3) for column in range(3)]
    errors = [(net.predict(part) - part).abs().mean() for part in parts]
    torch.testing.assert_close(found, torch.stack(errors).mean())


def test_noise_that_neighbours_share_is_taken_away_after_a_few_steps():
    prior = CorrelatedNoise(sigma=(0.1, 0.1), width_px=(0.6, 0.6))
    clean = photograph(4, 3, 96, 96)
    noisy = degrade(clean, prior, rng.derive(0, "noise"))
    net = blind_spot.build(width=8, blocks=2)
    loss, draws = BlindSpotLoss(net, 2), torch.Generator()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    net.learned.fill_(1.0)
    for _ in range(25):
        optimizer.zero_grad()
        loss(Batch(None, noisy), draws)["blind"].backward()
        optimizer.step()
    with torch.no_grad():
        left = (net(noisy) - clean).square().mean()
    assert left < 0.2 * (noisy - clean).square().mean()


@pytest.fixture
def folder(tmp_path):
    def save(prior):
        for number in range(2):
            noisy = degrade(photograph(1, 3, 128, 128, seed=number), prior, rng.derive(0, "n"))
            pixels = images.to_pixels(noisy, np.zeros((1, 1, 3), np.uint8))
            (tmp_path / "in").mkdir(exist_ok=True)
            images.write(tmp_path / "in" / f"{number}.png", Picture(pixels))
        return tmp_path / "in"

    return save


def fit(pictures, run, *more):
    given = ["fit", "--images", pictures, "-o", run, "--set=width=4", "--set=batch=2",
             "--steps=1", "--from-scratch", *more]  # fmt: skip
    result = CliRunner().invoke(main, [*map(str, given)])
    assert result.exit_code == 0, result.output
    return result.stderr, checkpoint.read_header(run / "restorer.safetensors")


def test_fit_chooses_it_by_the_noise_of_the_pictures(tmp_path, folder):
    said, header = fit(folder(SHARED), tmp_path / "a", "--task", "denoise")
    assert "recipe blind_spot, by the noise of these pictures" in said
    assert header.recipe == header.network == "blind_spot"
    assert header.settings["noise_calibration"] == "noise.json"
    resumed = CliRunner().invoke(main, ["fit", "--resume", str(tmp_path / "a")])
    assert resumed.exit_code == 0, resumed.output
    said, header = fit(folder(OWN), tmp_path / "b", "--task", "denoise")
    assert header.recipe == "neighbor2neighbor"
    assert "recipe" not in said


@pytest.fixture
def shared(tmp_path):
    """A calibration of noise that neighbouring pixels share."""
    row = noise.PictureNoise("0.png", 0.0, 0.1, 0.1, 0.5, 2.0, 0.0)
    noise.NoiseCalibration((row,)).write(tmp_path / "shared.json")
    return tmp_path / "shared.json"


def test_fit_chooses_it_by_a_calibration_that_is_given(tmp_path, folder, shared):
    given = f"--set=noise_calibration={shared}"
    said, header = fit(folder(OWN), tmp_path / "run", "--task", "denoise", given)
    assert "recipe blind_spot, by the noise of these pictures" in said
    assert header.recipe == "blind_spot"
    assert header.settings["noise_calibration"] == str(shared)


def test_of_two_calibrations_that_of_the_task_counts(tmp_path, folder, shared):
    mine = tmp_path / "mine.py"
    mine.write_text("""
from ssl_restore.recipes import neighbor2neighbor
def build(*, calibration: str = "", noise_calibration: str = ""):
    return neighbor2neighbor.build(width=4, batch=2, patch=32)
""")
    asked = request.Request(
        images=folder(OWN), output=tmp_path / "run", task="denoise", recipe=str(mine), chosen=True,
        from_scratch=True, steps=1,
        settings={"calibration": str(shared)},  # beside that of the noise, which is measured
    )  # fmt: skip
    job = request.start(asked, torch.device("cpu"))
    assert job.plan.settings["noise_calibration"] == "noise.json"
    assert job.plan.recipe == str(mine)  # as the others take one calibration


@pytest.mark.parametrize(
    "more", [("--recipe", "neighbor2neighbor"), ("--task", "denoise", "--set=gamma=1")]
)
def test_what_was_asked_for_is_not_changed(tmp_path, folder, more):
    _, header = fit(folder(SHARED), tmp_path / "run", *more, "--set=patch=96")
    assert header.recipe == "neighbor2neighbor"


def test_from_a_denoiser_it_stays_one_and_is_held_to_it(tmp_path):
    build = discover.builder("recipes", "neighbor2neighbor")
    other = build(width=4)
    header = checkpoint.Header(other.task, other.network, other.keywords)
    checkpoint.save(tmp_path / "start.safetensors", other.restorer, header)
    cold = discover.builder("recipes", "blind_spot")(width=4, channels=4, blocks=1, shuffle=4)
    assert cold.network == "blind_spot"
    recipe = warm_start.start_from(cold, tmp_path / "start.safetensors")
    assert recipe.network == "denoiser"
    (player,) = recipe.players
    assert set(player.weights) == {"hidden", "anchor"}
    assert player.objective.learned.shuffle == 4


def pictures_of(noise, blur):
    """(noisy, restored) of a fixed scene of which a share of noise, or of texture, is left."""
    draws = np.random.default_rng(0)
    coarse = draws.normal(0, 40, (32, 16, 3)).repeat(4, axis=0).repeat(4, axis=1)
    scene = np.concatenate([np.full((128, 64, 3), 128.0), 128 + coarse], axis=1)
    eps = draws.normal(0, 10, scene.shape)
    return [
        (128 + (1 - lost) * (scene - 128) + left * eps).clip(0, 255).astype(np.uint8)
        for left, lost in ((1.0, 0.0), (noise, blur))
    ]


@pytest.mark.parametrize(
    ("noise", "blur", "said"),
    [
        (0.3, 0.0, None),  # the same
        (0.1, 0.0, None),  # less noise
        (0.1, 0.3, None),  # less of both: who knows
        (0.5, 0.0, "noise is left"),
        (0.3, 0.3, "texture is left"),
    ],
)
def test_what_leaves_more_noise_or_less_texture_is_worse(noise, blur, said):
    noisy, before = pictures_of(0.3, 0.0)
    _, after = pictures_of(noise, blur)
    reason = rejected_reason(noisy, before, after)
    assert (reason is None) if said is None else said in reason
