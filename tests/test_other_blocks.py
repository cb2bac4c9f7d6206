"""A restorer with more or fewer blocks than the one it was made from."""

from __future__ import annotations

import pytest
import torch
from tiny import random_restorer

from ssl_restore.training import checkpoint


def made(script, tmp_path, before, after):
    """A tiny derainer of these blocks, and what is made of it."""
    source, target = tmp_path / "source.safetensors", tmp_path / "made.safetensors"
    header = checkpoint.Header(
        task="derain", network="unet", keywords={"width": 4, "blocks": before}
    )
    checkpoint.save(source, random_restorer(blocks=before), header)
    script("other_blocks").main([str(source), ",".join(map(str, after)), "-o", str(target)])
    (one, _), (other, found) = map(checkpoint.load, (source, target))
    assert tuple(found.keywords["blocks"]) == after
    return one, other


@pytest.mark.parametrize("blocks", [(1, 2, 1), (1, 1, 2, 1)])
def test_what_is_new_adds_nothing_before_training(script, tmp_path, blocks):
    before, after = made(script, tmp_path, (1, 1, 1), blocks)
    picture = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        assert torch.allclose(after(picture), before(picture), atol=1e-5)
        assert not torch.allclose(before(picture), picture, atol=1e-2)
    assert sum(p.numel() for p in after.parameters()) > sum(p.numel() for p in before.parameters())


def test_of_fewer_blocks_the_first_stay(script, tmp_path):
    before, after = made(script, tmp_path, (2, 1, 2), (1, 1, 1))
    assert len(after.encoder.levels[0]) == 1
    assert all(torch.equal(v, before.state_dict()[k]) for k, v in after.state_dict().items())
