"""What is drawn on photographs because a derainer takes it for rain."""

from __future__ import annotations

import pytest
import torch

from ssl_restore.objectives import patterns
from ssl_restore.objectives.patterns import foliage, patterned


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("draw", [foliage, patterned])
def test_they_stay_in_range_and_are_seen(draw):
    flat = torch.full((64, 3, 64, 64), 0.4)
    drawn = draw(flat, 1.0, stream())
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert drawn.flatten(1).std(1).median() > 0.05


@pytest.mark.parametrize("draw", [foliage, patterned])
def test_they_come_in_their_share_and_leave_the_rest_alone(draw):
    photographs = torch.rand(200, 3, 16, 16, generator=stream())
    drawn = draw(photographs, 0.3, stream(1))
    changed = (drawn != photographs).flatten(1).any(1)
    assert 0.2 < changed.float().mean() < 0.4
    assert torch.equal(draw(photographs, 0.0, stream(1)), photographs)


def test_foliage_is_the_darkened_photograph_before_a_brighter_sky_of_one_colour():
    photograph = torch.rand(200, 3, 48, 48, generator=stream()) * 0.5
    drawn = foliage(photograph, 1.0, stream(1))
    shade = (drawn / photograph.clamp_min(1e-3)).flatten(1).quantile(0.01, dim=1)
    assert (shade < 0.9).float().mean() > 0.8  # some of it shows in most of them
    brightest = drawn.flatten(2).amax(2)  # (B, 3), of the sky
    assert (brightest.amax(1) > 0.45).float().mean() > 0.9
    assert (brightest.amax(1) - brightest.amin(1)).median() < 0.15


@pytest.mark.parametrize(("upright", "low", "high"), [(1.0, 0.95, 1.05), (2.0, 0.3, 0.6)])
def test_pieces_of_sky_are_as_upright_as_asked(monkeypatch, upright, low, high):
    """Squared differences down and across are alike for round ones."""
    monkeypatch.setattr(patterns, "UPRIGHT", (upright, upright))
    drawn = foliage(torch.full((300, 3, 64, 64), 0.2), 1.0, stream())
    down, across = (drawn.diff(dim=side).square().mean((1, 2, 3)) for side in (2, 3))
    assert low < (down.sum() / across.sum()) < high


def test_single_gaps_of_sky_are_few_and_their_leaves_are_dark(monkeypatch):
    monkeypatch.setattr(patterns, "GAPS", 1.0)
    drawn = foliage(torch.full((200, 3, 64, 64), 0.4), 1.0, stream()).mean(dim=1)
    sky = (drawn > 0.45).float().mean(dim=(1, 2))
    assert 0.005 < sky.median() < 0.15
    assert drawn.flatten(1).median(dim=1).values.max() < 0.3
