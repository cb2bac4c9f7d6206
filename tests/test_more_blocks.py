"""A larger derainer that restores as the smaller one it was made from."""

from __future__ import annotations

import pytest
import torch
from tiny import random_restorer

from ssl_restore.training import checkpoint


@pytest.mark.parametrize("blocks", [(1, 2, 1), (1, 1, 2, 1)])
def test_what_is_new_adds_nothing_before_training(script, tmp_path, blocks):
    small, large = tmp_path / "small.safetensors", tmp_path / "large.safetensors"
    keywords = {"width": 4, "blocks": (1, 1, 1)}
    header = checkpoint.Header(task="derain", network="unet", keywords=keywords)
    checkpoint.save(small, random_restorer(blocks=(1, 1, 1)), header)
    script("more_blocks").main([str(small), ",".join(map(str, blocks)), "-o", str(large)])
    (before, _), (after, grown) = map(checkpoint.load, (small, large))
    picture = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        assert torch.allclose(after(picture), before(picture), atol=1e-5)
        assert not torch.allclose(before(picture), picture, atol=1e-2)
    assert tuple(grown.keywords["blocks"]) == blocks
    assert sum(p.numel() for p in after.parameters()) > sum(p.numel() for p in before.parameters())
