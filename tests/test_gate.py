"""The gating network: the windows that it sees, their statistics, and its file."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_restore.errors import UserError
from ssl_restore.networks import gate


@pytest.mark.parametrize(
    ("size", "seen", "share"),
    [
        ((1, 1), 0.7, 1),
        ((5, 128), 0.7, 1),
        ((321, 481), 0.7, 0.5),
        ((257, 16), 0.7, 0.7),
        ((321, 481), 1.0, 1),
        ((768, 200), 1.0, 1),
    ],
)
def test_windows_lie_in_the_picture_reach_its_edges_and_cover_what_is_asked(size, seen, share):
    covered = np.zeros(size, bool)
    found = gate.places(*size, seen)
    for rows, columns in found:
        assert rows.start >= 0
        assert columns.start >= 0
        covered[rows, columns] = True
    assert covered[0, 0]
    assert covered[-1, -1]
    assert share <= covered.mean() <= min(1, share + 0.15)
    parts = [covered[place].shape for place in found]
    assert len(set(parts)) == 1
    assert max(parts[0]) <= gate.WINDOW_PX


def test_windows_of_a_large_picture_are_few_and_reach_its_corners():
    found = gate.places(3000, 4000, 0.7)
    assert len(found) == gate.ALONG**2
    assert found[0] == (slice(0, 256), slice(0, 256))
    assert found[-1] == (slice(2744, 3000), slice(3744, 4000))


def maps_of(count, seed=0):
    stream = torch.Generator().manual_seed(seed)
    shapes = (4, 16, 12), (8, 8, 6)
    return [torch.randn(count, *shape, generator=stream) for shape in shapes]


def test_statistics_are_those_of_a_loop_over_features_and_windows():
    maps = maps_of(3)
    expected = []
    for features in maps:
        values = [features[:, channel].numpy() for channel in range(features.shape[1])]
        expected += [value.mean() for value in values]
        expected += [math.log(math.sqrt(value.var() + 1e-6)) for value in values]
        expected += [math.log(max(value.max(), 1e-3)) for value in values]
    assert np.allclose(gate.statistics(maps), expected, atol=1e-5)
    net = gate.Gate(12).eval()
    assert torch.allclose(net(maps), net.told(torch.tensor(expected)[None].float())[0], atol=1e-5)
    assert torch.allclose(net(maps), net([features.flip(0) for features in maps]), atol=1e-5)


def test_a_saved_gate_tells_the_same_and_one_of_another_version_is_refused(tmp_path, monkeypatch):
    net, path = gate.Gate(12, width=5).eval(), tmp_path / "gate.safetensors"
    net.mean.fill_(0.3)
    net.save(path)
    before = torch.random.get_rng_state()
    assert torch.equal(gate.load(path)(maps_of(1)), net(maps_of(1)))
    assert torch.equal(before, torch.random.get_rng_state())
    monkeypatch.setattr(gate, "FORMAT", 2)
    with pytest.raises(UserError, match="gate of another version; install ssl-restore again"):
        gate.load(path)
