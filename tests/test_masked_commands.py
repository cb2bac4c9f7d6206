"""`dedrop` and `deshadow`: with a mask, with own weights, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from moving import scene
from shadows import PHOTOS, cast, photograph, psnr
from tiny import write_photo

from ssl_restore import discover
from ssl_restore.evaluation import metrics
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.networks import deshadower, memorynet
from ssl_restore.training import checkpoint
from ssl_restore_cli.main import main

KEYWORDS = {
    "dedrop": {"width": 4, "blocks": (1, 1), "memory": False},
    "deshadow": {"width": 4, "blocks": (1, 1)},
}
NETWORKS = {"dedrop": memorynet, "deshadow": deshadower}
each = pytest.mark.parametrize("command", sorted(NETWORKS))


def call(command, *arguments):
    result = CliRunner().invoke(main, [command, *map(str, arguments), "--precision", "fp32"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def write_mask(path, marked):
    images.write(path, Picture((255 * marked[..., None]).astype(np.uint8)))


@pytest.fixture
def shaded(tmp_path):
    """A picture in shadow, its mask, and what it was."""
    clean = photograph()
    image, shadow = cast(clean)
    grey = np.zeros((240, 320, 3), np.uint8)
    images.write(tmp_path / "in.png", Picture(images.to_pixels(image.clamp(0, 1), grey)))
    write_mask(tmp_path / "mask.png", shadow[0, 0].numpy())
    return clean, shadow


def test_a_shadow_under_the_mask_is_lifted(shaded, tmp_path):
    clean, shadow = shaded
    given = [tmp_path / "in.png", tmp_path / "out.png", "--mask", tmp_path / "mask.png"]
    result = call("deshadow", *given, "--layers", tmp_path / "layers")
    assert result.exit_code == 0, result.stderr
    assert "1 restored, by relight" in result.stderr
    before, after = (
        images.to_tensor(images.read(tmp_path / f"{name}.png").pixels) for name in ("in", "out")
    )
    assert psnr(after, clean, shadow) > psnr(before, clean, shadow) + 6
    layer = images.read(tmp_path / "layers" / "in.png").pixels
    assert layer[120, 160].min() > 200
    assert layer[5, 5].max() == 0


def test_strength_is_a_share_of_it(shaded, tmp_path):
    pixels = {"in": images.read(tmp_path / "in.png").pixels.astype(int)}
    for name, strength in (("whole", 1), ("half", 0.5)):
        given = [tmp_path / "in.png", tmp_path / f"{name}.png", "--mask", tmp_path / "mask.png"]
        call("deshadow", *given, "--strength", strength)
        pixels[name] = images.read(tmp_path / f"{name}.png").pixels.astype(int)
    inner = (pixels["whole"] < 255) & (pixels["whole"] > 0)
    away = 2 * pixels["half"] - pixels["in"] - pixels["whole"]
    assert np.abs(away[inner]).max() <= 3


def test_drops_under_the_mask_are_filled_from_around(tmp_path):
    clean = (255 * scene(64, 64, seed=0)).round().astype(np.uint8)
    marked = np.zeros((64, 64), bool)
    marked[20:28, 30:38] = True
    images.write(
        tmp_path / "in.png", Picture(np.where(marked[..., None], 255, clean).astype(np.uint8))
    )
    write_mask(tmp_path / "mask.png", marked)
    given = [tmp_path / "in.png", tmp_path / "out.png", "--mask", tmp_path / "mask.png"]
    result = call("dedrop", *given, "--steps", 2)
    assert result.exit_code == 0, result.stderr
    after = images.read(tmp_path / "out.png").pixels
    assert np.array_equal(after[~marked], clean[~marked])
    assert (after[marked] < 255).mean() > 0.9


def test_steps_are_those_of_the_task_unless_given(tmp_path, monkeypatch):
    steps_of = []

    def solve(image, *, mask, generator, steps=7):
        steps_of.append(steps)
        return {"clean": image}

    monkeypatch.setattr(discover, "solver", lambda name: solve)
    write_photo(tmp_path / "in.png", 20, 30)
    write_mask(tmp_path / "mask.png", np.eye(20, 30) > 0)
    for number, more in enumerate(([], ["--steps", 3])):
        given = [tmp_path / "in.png", tmp_path / f"{number}.png", "--mask", tmp_path / "mask.png"]
        assert call("dedrop", *given, *more).exit_code == 0
    assert steps_of == [discover.task("dedrop").solver_settings["steps"], 3]


@each
def test_own_weights_are_used(command, tmp_path):
    net = NETWORKS[command].build(**KEYWORDS[command])
    with torch.no_grad():
        (net.look.decoder.head if command == "deshadow" else net.head3).bias[0] = 0.5
    weights = tmp_path / "w.safetensors"
    network = NETWORKS[command].__name__.rpartition(".")[2]
    checkpoint.save(weights, net, checkpoint.Header(command, network, KEYWORDS[command]))
    write_photo(tmp_path / "in.png", 48, 64)
    result = call(command, tmp_path / "in.png", tmp_path / "out.png", "--weights", weights)
    assert result.exit_code == 0, result.stderr
    before, after = (images.read(tmp_path / f"{name}.png").pixels for name in ("in", "out"))
    assert not np.array_equal(before, after)


@each
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--quality", "best"], "give --mask or --quality, not both"),
        (["--weights", "w.safetensors"], "leave --weights out"),
    ],
)
def test_what_does_not_go_with_a_mask_is_said(command, more, said, tmp_path):
    write_photo(tmp_path / "in.png", 48, 64)
    write_mask(tmp_path / "mask.png", np.eye(48, 64, dtype=bool))
    given = [tmp_path / "in.png", tmp_path / "out.png", "--mask", tmp_path / "mask.png"]
    result = call(command, *given, *more)
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert not (tmp_path / "out.png").exists()


@each
def test_masks_that_cannot_be_used_are_named(command, tmp_path):
    write_photo(tmp_path / "in.png", 48, 64)
    for marked, said in (
        (np.zeros((48, 64), bool), "nothing is white in it"),
        (np.ones((48, 64), bool), "all of it is white"),
        (np.eye(20, 64, dtype=bool), "give one of the same size"),
    ):
        write_mask(tmp_path / "mask.png", marked)
        given = [tmp_path / "in.png", tmp_path / "out.png", "--mask", tmp_path / "mask.png"]
        result = call(command, *given)
        assert result.exit_code == 1
        assert said in result.stderr
        assert str(tmp_path / "mask.png") in result.stderr
    (tmp_path / "folder").mkdir()
    write_photo(tmp_path / "folder" / "a.png")
    result = call(command, tmp_path / "folder", tmp_path / "out", "--mask", tmp_path / "mask.png")
    assert result.exit_code == 1
    assert "folder: is a folder; name a picture in it" in result.stderr


def test_a_shadow_needs_a_mask_or_weights(tmp_path):
    write_photo(tmp_path / "in.png")
    result = call("deshadow", tmp_path / "in.png", tmp_path / "out.png")
    assert result.exit_code == 2
    assert (
        "give --mask, a picture that is white where the shadow lies, or --weights" in result.stderr
    )


def test_seconds_belong_to_a_mask(tmp_path):
    write_photo(tmp_path / "in.png")
    result = call("dedrop", tmp_path / "in.png", tmp_path / "out.png", "--seconds", 3)
    assert result.exit_code == 2
    assert "--steps and --seconds belong to --mask" in result.stderr


def test_scale_belongs_to_what_finds_drops_by_itself(tmp_path):
    write_photo(tmp_path / "in.png", 48, 64)
    write_mask(tmp_path / "mask.png", np.eye(48, 64, dtype=bool))
    given = [tmp_path / "in.png", tmp_path / "out.png", "--scale", 2]
    result = call("dedrop", *given, "--mask", tmp_path / "mask.png")
    assert result.exit_code == 2
    assert "--scale is for what finds drops by itself" in result.stderr
    assert call("dedrop", *given).exit_code == 0
    assert images.read(tmp_path / "out.png").pixels.shape == (48, 64, 3)


def test_a_photograph_without_drops_is_hardly_changed(tmp_path):
    """By the built-in restorer, which learned from this one among others."""
    whole = images.read(PHOTOS / "toucan.jpg")
    images.write(tmp_path / "in.png", Picture(whole.pixels[:160, :160]))
    assert call("dedrop", tmp_path / "in.png", tmp_path / "out.png").exit_code == 0
    before, after = (images.read(tmp_path / f"{name}.png").pixels for name in ("in", "out"))
    assert metrics.psnr(before, after) > 35
