"""benchmarks/average_weights.py: between two checkpoints of one network."""

from dataclasses import replace

import pytest
import torch
from tiny import save_restorer

from ssl_restore.errors import UserError
from ssl_restore.networks import unet
from ssl_restore.training import checkpoint


def test_the_mean_lies_between_the_two(tmp_path, script):
    one, other, mean = (tmp_path / f"{name}.safetensors" for name in ("one", "other", "mean"))
    save_restorer(one, task="denoise")
    restorer, header = checkpoint.load(one)
    with torch.no_grad():
        for weight in restorer.parameters():
            weight.add_(1.0)
    checkpoint.save(other, restorer, header)
    script("average_weights").main([str(one), str(other), "-o", str(mean), "--share", "0.25"])
    before, found = (checkpoint.load(path)[0].state_dict() for path in (one, mean))
    name = next(name for name, _ in restorer.named_parameters())
    torch.testing.assert_close(found[name], before[name] + 0.25, atol=2e-3, rtol=0)


def test_a_start_with_fewer_outputs_counts_as_zeros_there(tmp_path, script):
    one = save_restorer(tmp_path / "one.safetensors")
    header = checkpoint.read_header(one)
    keywords = {**header.keywords, "colours": True}
    other, mean = tmp_path / "other.safetensors", tmp_path / "mean.safetensors"
    checkpoint.save(other, unet.build(**keywords), replace(header, keywords=keywords))
    call = [str(one), str(other), "-o", str(mean), "--share", "0.25", "--coarse-from", "300"]
    script("average_weights").main(call)
    (learned, _), (found, told) = checkpoint.load(other), checkpoint.load(mean)
    assert (told.keywords, told.coarse_from) == (keywords, 300)
    new = learned.decoder.head.weight[4 * 4 :]
    torch.testing.assert_close(found.decoder.head.weight[4 * 4 :], 0.25 * new, atol=2e-3, rtol=0)
    script("average_weights").main([*call[:-1], "0"])
    assert checkpoint.read_header(mean).coarse_from is None


def test_another_network_is_refused(tmp_path, script):
    one = save_restorer(tmp_path / "one.safetensors", task="denoise")
    other, header = tmp_path / "other.safetensors", checkpoint.read_header(one)
    keywords = {"width": 2, "blocks": (1,)}
    checkpoint.save(other, unet.build(**keywords), replace(header, keywords=keywords))
    with pytest.raises(UserError, match="another network"):
        script("average_weights").main(
            [str(one), str(other), "-o", str(tmp_path / "mean.safetensors")]
        )
