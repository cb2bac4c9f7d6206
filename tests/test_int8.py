"""Restorers that compute with integers of 8 bits: near to those in floating point, and in tiles."""

import numpy as np
import pytest
import torch
from calls import ssl_restore as call
from tiny import pixels

import ssl_restore
import ssl_restore_samples
from ssl_restore.errors import UserError
from ssl_restore.inference import int8 as loading
from ssl_restore.inference.tiles import restore
from ssl_restore.inference.wrappers import Layer, SelfEnsemble, with_thoroughness
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.networks import int8

needs_int8 = pytest.mark.skipif(not int8.is_exact(), reason="this processor or torch lacks int8")


@pytest.fixture(scope="module")
def derain():
    return ssl_restore.load("derain", device="cpu").core


@pytest.fixture(scope="module")
def whole(derain):
    return loading.with_integers(derain)


@pytest.fixture(scope="module")
def rainy():
    return images.read(ssl_restore_samples.rainy_example()).pixels[:120, :160]


def psnr(one, other):
    most = np.iinfo(one.dtype).max
    return 10 * np.log10(most**2 / np.mean((one.astype(float) - other) ** 2))


@needs_int8
@pytest.mark.parametrize("task", ["derain", "denoise"])
def test_the_result_is_nearly_that_of_floating_point(task, rainy):
    one = ssl_restore.load(task, device="cpu")
    other = ssl_restore.load(task, device="cpu", precision="int8")
    noise = np.random.default_rng(0).normal(0, 8, rainy.shape)
    picture = (rainy.astype(float) + noise).clip(0, 255).astype(np.uint8)
    expected = restore(one, picture, precision="fp32")
    assert psnr(expected, picture) < 40  # it has done something
    assert psnr(restore(other, picture, precision="fp32"), expected) > 50


@needs_int8
def test_all_blocks_but_the_last_and_those_of_the_veil_compute_with_integers(whole):
    names = {name for name, part in whole.named_modules() if isinstance(part, int8.Int8Block)}
    assert len(names) == 9
    assert "decoder.levels.0.1" not in names


@needs_int8
def test_both_networks_of_a_mixture_compute_with_integers():
    mixed = ssl_restore.load("derain", device="cpu", precision="int8")
    for one in (mixed.thin, mixed.inner):
        assert any(isinstance(part, int8.Int8Block) for part in one.modules())


@needs_int8
def test_tiles_give_nearly_what_the_whole_picture_gives(whole, rainy):
    tiled = restore(whole, rainy, tile=48, precision="fp32")
    assert np.abs(tiled.astype(int) - restore(whole, rainy, tile=0, precision="fp32")).max() <= 2


@needs_int8
def test_16_bits_and_grey_are_restored(whole, rainy):
    deep = rainy.astype(np.uint16) * 257
    result = restore(whole, deep, precision="fp32")
    assert result.dtype == np.uint16
    assert psnr((result / 257).round().astype(np.uint8), restore(whole, rainy)) > 45
    assert restore(whole, pixels(40, 50, channels=1)).shape == (40, 50, 1)


@needs_int8
def test_it_can_be_told_averaged_and_asked_for_its_layers(whole, rainy):
    plain = restore(whole, rainy)
    for wrapped in (with_thoroughness(whole, 1.0), SelfEnsemble(whole), Layer(whole, "rain")):
        assert not np.array_equal(restore(wrapped, rainy), plain)


@needs_int8
def test_the_activations_beyond_the_measured_range_are_cut_off_and_stay_finite(whole):
    extreme = torch.tensor([[[[0.0, 1.0]]]]).repeat(1, 3, 32, 16)
    with torch.inference_mode():
        assert torch.isfinite(whole(extreme)).all()


@needs_int8
def test_a_restorer_with_integers_stays_as_it_is(whole):
    assert loading.with_integers(whole) is whole


@needs_int8
def test_python_takes_it_for_one_picture(derain, whole, rainy):
    own = ssl_restore.restore(rainy, derain, precision="int8")
    np.testing.assert_array_equal(own, ssl_restore.restore(rainy, whole, precision="fp32"))


@needs_int8
def test_another_network_is_refused_by_name():
    with pytest.raises(UserError, match=r"int8 is for networks as that of derain.*Upscaler"):
        ssl_restore.load("upscale", device="cpu", precision="int8")


def test_a_processor_without_it_is_told_so(monkeypatch, derain):
    monkeypatch.setattr(int8, "is_exact", lambda: False)
    with pytest.raises(UserError, match="lacks int8; use auto, bf16 or fp32"):
        loading.with_integers(derain)


def test_a_torch_without_the_operator_is_found_out(monkeypatch):
    def missing(*arguments, **named):
        raise AttributeError("no qconv_prepack")

    monkeypatch.setattr(int8, "_Convolution", missing)
    assert not int8.is_exact.__wrapped__()


@needs_int8
def test_the_command_restores_with_a_veil_and_a_strength(tmp_path, rainy):
    images.write(tmp_path / "rainy.png", Picture(rainy))
    arguments = [tmp_path / "rainy.png", tmp_path / "clear.png", "--precision", "int8"]
    code, said = call("derain", *arguments, "--veil", "--strength", "0.8")
    assert code == 0, said
    assert images.read(tmp_path / "clear.png").pixels.shape == rainy.shape


def test_a_solver_refuses_it(tmp_path, rainy):
    images.write(tmp_path / "rainy.png", Picture(rainy))
    arguments = [tmp_path / "rainy.png", tmp_path / "clear.png", "--precision", "int8"]
    code, said = call("derain", *arguments, "--adapt", "--seconds", "1")
    assert code == 2
    assert "give another --precision" in said


@needs_int8
def test_going_on_takes_what_other_arithmetic_has_made_for_another_result(tmp_path, rainy):
    (tmp_path / "in").mkdir()
    images.write(tmp_path / "in" / "a.png", Picture(rainy))
    going_on = ["derain", str(tmp_path / "in"), str(tmp_path / "out"), "--skip-existing"]
    assert call(*going_on)[0] == 0
    first = (tmp_path / "out" / "a.png").read_bytes()
    code, text = call(*going_on, "--precision", "int8")
    assert code == 0
    assert "made anew" in text
    assert (tmp_path / "out" / "a.png").read_bytes() != first
    assert "1 exist already" in call(*going_on, "--precision", "int8")[1]
