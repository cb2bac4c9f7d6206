"""Export to ONNX: a model computes what its restorer does, at sizes it was not traced with."""

import json

import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from learning import randomised, small_network

import ssl_restore
from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.inference import export
from ssl_restore.inference.tiles import restore_tensor
from ssl_restore_cli.main import main


def network(name):
    """With weights that are not zero, and small enough not to multiply what rounding leaves."""
    net = randomised(small_network(name, {})).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(0.8)
    return net


def run(path, image):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"input": image.numpy()})[0])


@pytest.mark.parametrize("name", discover.names("networks"))
def test_the_model_does_what_the_restorer_does(name, tmp_path):
    restorer = network(name)
    assert export.export(restorer, tmp_path / "model.onnx") < 1e-4
    image = torch.rand(1, 3, 301, 35, generator=torch.Generator().manual_seed(1))
    expected = restore_tensor(restorer, image, tile=0, precision="fp32").clamp(0, 1)
    if restorer.scale == 1:
        assert (expected - image).abs().max() > 0.01  # more than its input
    torch.testing.assert_close(run(tmp_path / "model.onnx", image), expected, atol=1e-4, rtol=0)


def test_the_metadata_say_how_it_is_used(tmp_path):
    restorer = network("upscaler")
    restorer.task = "upscale"
    export.export(restorer, tmp_path / "model.onnx", weights="mine")
    told = {p.key: p.value for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert told["task"] == "upscale"
    assert told["weights"] == "mine"
    assert int(told["scale"]) == restorer.scale == 2
    assert int(told["stride"]) == restorer.stride


def test_a_model_that_differs_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(UserError, match="differs from the restorer"):
        export.export(network("unet"), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [export.export, export.darktable])
def test_a_model_that_gives_no_numbers_is_not_written(tmp_path, write):
    restorer = network("unet")
    for weights in restorer.parameters():
        weights.data.fill_(float("nan"))
    with pytest.raises(UserError, match="by nan; not written"):
        write(restorer, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_says_so(tmp_path):
    class Odd(type(network("unet"))):
        def forward(self, image):
            return image + torch.linalg.eigh(image.mean((0, 1))[:8, :8]).eigenvalues.sum()

    restorer = network("unet")
    restorer.__class__ = Odd
    with pytest.raises(UserError, match="network Odd cannot be exported to ONNX"):
        export.export(restorer, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_for_darktable(tmp_path):
    restorer = network("denoiser")
    restorer.task = "denoise"
    export.darktable(restorer, tmp_path / "denoise-mine")
    config = json.loads((tmp_path / "denoise-mine" / "config.json").read_text())
    assert (config["id"], config["task"], config["backend"]) == ("denoise-mine", "denoise", "onnx")
    assert (tmp_path / "denoise-mine" / "model.onnx").is_file()
    for name in ("dehazer", "upscaler"):
        with pytest.raises(UserError, match="tiles"):
            export.darktable(network(name), tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "--task"),
        (["--task", "derain", "-o", "model.pt"], "ends in .onnx"),
        (["--task", "deblur"], "no restorer is built in"),
        (["--task", "derain", "--scale", "4"], "of upscale"),
        (["--weights", "none.safetensors"], "no such file"),
        (["--weights", "mine.safetensors", "--scale", "4"], "--scale: of upscale, 2 or 4"),
        (["--task", "derain", "-o", "no/model.onnx"], "the folder no does not exist"),
    ],
)
def test_bad_input_gets_one_line(given, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["export", "-o", "model.onnx", *given])
    assert result.exit_code != 0
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_built_in_restorer_and_keeps_what_exists(tmp_path):
    path = tmp_path / "derain.onnx"
    given = ["export", "--task", "derain", "-o", str(path)]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 0, result.output
    assert "within" in result.stderr
    image = torch.rand(1, 3, 40, 72, generator=torch.Generator().manual_seed(0))
    expected = restore_tensor(ssl_restore.load("derain"), image, precision="fp32").clamp(0, 1)
    torch.testing.assert_close(run(path, image), expected, atol=1e-4, rtol=0)
    again = CliRunner().invoke(main, given)
    assert again.exit_code == 1
    assert "exists" in again.stderr
