"""`ssl-restore dehaze`: built-in and own weights, solvers, the transmission, and bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import save_restorer, write_photo

from degradations.veil import VeilParams, add_veil
from ssl_restore.calibration import haze
from ssl_restore.errors import UserError
from ssl_restore.evaluation.metrics import psnr
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.networks import dehazer, pyramid
from ssl_restore.training import checkpoint
from ssl_restore_cli.main import main

TOUCAN = Path(__file__).parents[1] / "data_samples" / "photos" / "toucan.jpg"
COW = Path(__file__).parents[1] / "data_samples" / "photos" / "cow.jpg"
KEYWORDS = {"width": 4, "blocks": (1, 1)}


def dehaze(*arguments):
    call = ["dehaze", *map(str, arguments), "--precision", "fp32"]
    result = CliRunner().invoke(main, call)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def tiny(tmp_path):
    """Weights that see an optical depth of about a half everywhere."""
    torch.manual_seed(0)
    net = dehazer.build(**KEYWORDS)
    with torch.no_grad():
        net.decoder.head.weight.normal_(0, 0.01)
        net.decoder.head.bias[:4] = 0.5
    path = tmp_path / "dehazer.safetensors"
    checkpoint.save(path, net, checkpoint.Header("dehaze", "dehazer", KEYWORDS))
    return path


def hazed(path, tau=0.9, light=(0.85, 0.85, 0.88), side=320):
    """The cow behind even haze, and the cow."""
    clean = images.read(COW).pixels[:side, :side]
    params = VeilParams(torch.full((1, 1, 1, 1), tau), torch.tensor([light]))
    pixels = images.to_pixels(add_veil(images.to_tensor(clean), params), clean)
    images.write(path, Picture(pixels))
    return pixels, clean


def test_the_built_in_dehazer_brings_the_scene_back(tmp_path):
    hazy, clean = hazed(tmp_path / "hazy.png")
    result = dehaze(tmp_path / "hazy.png", tmp_path / "clean.png")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'clean.png'}\n"
    restored = images.read(tmp_path / "clean.png").pixels
    assert psnr(restored, clean) > psnr(hazy, clean) + 5


def test_a_picture_without_haze_comes_back_nearly_unchanged_and_it_is_said(tmp_path):
    result = dehaze(TOUCAN, tmp_path / "out.png")
    assert result.exit_code == 0, result.stderr
    assert "toucan.jpg: hardly any haze was found in it" in result.stderr
    assert psnr(images.read(tmp_path / "out.png").pixels, images.read(TOUCAN).pixels) > 28


def test_layers_is_the_transmission_and_strength_a_share(tmp_path, tiny):
    hazed(tmp_path / "a.png")
    call = (tmp_path / "a.png", "--weights", tiny)
    for name, options in (("one", ()), ("half", ("--strength", 0.5)), ("none", ("--strength", 0))):
        out = tmp_path / f"{name}.png"
        result = dehaze(call[0], out, *call[1:], *options, "--layers", tmp_path / f"t_{name}")
        assert result.exit_code == 0, result.stderr
    source, one, half, none = (
        images.read(tmp_path / f"{name}.png").pixels.astype(int)
        for name in ("a", "one", "half", "none")
    )
    assert np.array_equal(none, source)
    inside = (one > 0) & (one < 255)
    assert np.abs(half - (source + one) / 2)[inside].max() <= 1
    t = images.read(tmp_path / "t_one" / "a.png").pixels
    assert np.array_equal(t, images.read(tmp_path / "t_half" / "a.png").pixels)
    assert np.median(t) == pytest.approx(255 * np.exp(-0.5), abs=25)


@pytest.mark.parametrize("kind", [{"channels": 1}, {"dtype": np.uint16}, {"channels": 3}])
def test_kinds_of_pictures_are_kept_by_weights_and_by_the_solver(tmp_path, tiny, kind):
    source = write_photo(tmp_path / "a.png", **kind)
    for options in (("--weights", tiny), ("--method", "dark_channel")):
        result = dehaze(source, tmp_path / "b.png", *options, "--overwrite")
        assert result.exit_code == 0, result.stderr
        before, after = images.read(source).pixels, images.read(tmp_path / "b.png").pixels
        assert (after.shape, after.dtype) == (before.shape, before.dtype)


def test_the_dark_channel_writes_its_transmission(tmp_path):
    hazy, clean = hazed(tmp_path / "a.png", light=(0.8, 0.82, 0.85))
    options = ("--method", "dark_channel", "--layers", tmp_path / "t")
    result = dehaze(tmp_path / "a.png", tmp_path / "b.png", *options)
    assert result.exit_code == 0, result.stderr
    assert "by dark_channel" in result.stderr
    restored = images.read(tmp_path / "b.png").pixels
    assert psnr(restored, clean) > psnr(hazy, clean)
    t = images.read(tmp_path / "t" / "a.png").pixels
    assert t.shape == hazy.shape
    assert 60 < np.median(t) < 160


@pytest.mark.parametrize(
    ("height", "width", "value"), [(1, 1, 200), (1, 90, 30), (40, 40, 255), (40, 40, 0)]
)
def test_pictures_that_are_tiny_or_of_one_colour_come_back(tmp_path, height, width, value):
    """All sky, all black, one pixel: nothing to amplify."""
    pixels = np.full((height, width, 3), value, np.uint8)
    images.write(tmp_path / "a.png", Picture(pixels))
    for name, options in (("b", ()), ("c", ("--method", "dark_channel"))):
        result = dehaze(tmp_path / "a.png", tmp_path / f"{name}.png", *options)
        assert result.exit_code == 0, result.stderr
        assert images.read(tmp_path / f"{name}.png").pixels.shape == pixels.shape


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--seconds", 5), "--seconds belongs to --method"),
        (("--method", "dark_channel", "--quality", "best"), "--method or --quality"),
        (("--method", "dark_chanel"), "did you mean 'dark_channel'"),
        (("--strength", 3), "--strength"),
        (("--layers", "no/such/folder"), "does not exist"),
    ],
)
def test_wrong_calls_are_one_clear_line_and_write_nothing(tmp_path, monkeypatch, options, expected):
    monkeypatch.chdir(tmp_path)
    write_photo(tmp_path / "a.png")
    result = dehaze("a.png", "b.png", *options)
    assert result.exit_code in (1, 2)
    assert expected in result.stderr
    assert not (tmp_path / "b.png").exists()


def test_weights_of_another_task_are_refused(tmp_path):
    other = save_restorer(tmp_path / "rain.safetensors")
    source = write_photo(tmp_path / "a.png")
    result = dehaze(source, tmp_path / "b.png", "--weights", other)
    assert result.exit_code == 1
    assert "weights of the task derain, not of dehaze" in result.stderr


def test_weights_that_tell_no_transmission_are_refused_before_anything_is_restored(tmp_path):
    net, keywords = pyramid.build(**KEYWORDS), KEYWORDS
    path = tmp_path / "cycle.safetensors"
    checkpoint.save(path, net, checkpoint.Header("dehaze", "pyramid", keywords))
    source = write_photo(tmp_path / "a.png")
    result = dehaze(source, tmp_path / "b.png", "--weights", path, "--layers", tmp_path / "t")
    assert result.exit_code == 1
    assert "--layers: these weights are of a Pyramid, which tells no transmission" in result.stderr
    assert not (tmp_path / "b.png").exists()
    assert dehaze(source, tmp_path / "b.png", "--weights", path).exit_code == 0
    with pytest.raises(UserError, match="these weights, of a Pyramid, tell no haze"):
        haze.measure("a.png", images.read(source).pixels, net)


def test_calibrate_writes_the_haze_of_a_folder(tmp_path):
    for number, tau in enumerate((0.5, 1.2)):
        (tmp_path / "hazy").mkdir(exist_ok=True)
        hazed(tmp_path / "hazy" / f"{number}.png", tau)
    call = ["calibrate", "--haze", str(tmp_path / "hazy"), "-o", str(tmp_path / "haze.json")]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    assert "2 pictures" in result.stdout
    assert "farthest" in result.stdout
    result = CliRunner().invoke(main, [*call, "--noise", "--overwrite"])
    assert result.exit_code == 2
    assert "--noise or --haze" in result.stderr


def test_layers_of_pictures_that_differ_in_their_extension_have_names_of_their_own(tmp_path, tiny):
    for name in ("a.png", "a.jpg", "b.png"):
        write_photo(tmp_path / "in" / name, 24, 24)
    layers = tmp_path / "t"
    call = (tmp_path / "in", tmp_path / "out", "--weights", tiny, "--layers", layers)
    assert dehaze(*call).exit_code == 0
    assert sorted(path.name for path in layers.glob("*.png")) == ["a.jpg.png", "a.png.png", "b.png"]
    write_photo(tmp_path / "in" / "a.png.tif", 24, 24)
    result = dehaze(*call, "--overwrite")
    assert result.exit_code == 1
    assert "layers of two pictures would be a.png.png; rename one of them" in result.stderr
